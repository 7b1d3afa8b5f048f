import numpy as np
import pytest
import trimesh

from img2world.core.errors import ExportError
from img2world.export.collider import check_collider, write_collider
from img2world.meshing.surface import Surface


def boxes() -> list[Surface]:
    low, high = trimesh.creation.box((1, 2, 3)), trimesh.creation.box()
    high.apply_translation([0, -5, 1])
    return [Surface(np.asarray(box.vertices), np.asarray(box.faces, np.int32)) for box in (low, high)]


def test_pieces_have_the_names_that_engines_look_for(tmp_path):
    write_collider(boxes(), tmp_path / "collider.glb", convex=True)
    check_collider(boxes(), tmp_path / "collider.glb", convex=True)
    scene = trimesh.load_scene(tmp_path / "collider.glb", process=False)
    assert set(scene.graph.nodes_geometry) == {"world_00-convcolonly", "world_01-convcolonly"}
    assert set(scene.geometry) == {"UCX_world_00", "UCX_world_01"}
    upper = scene.geometry["UCX_world_01"]
    np.testing.assert_allclose(upper.bounds, [[-0.5, 4.5, -1.5], [0.5, 5.5, -0.5]])  # +Y up
    assert upper.volume == pytest.approx(1)
    assert upper.visual.kind is None or not upper.visual.defined


def test_a_surface_that_is_not_convex_has_another_name(tmp_path):
    write_collider(boxes()[:1], tmp_path / "collider.glb", convex=False)
    scene = trimesh.load_scene(tmp_path / "collider.glb", process=False)
    assert list(scene.graph.nodes_geometry) == ["world_00-colonly"]
    assert "UCX" not in "".join(scene.geometry)


def test_another_shape_is_detected(tmp_path):
    write_collider(boxes(), tmp_path / "collider.glb", convex=True)
    for shapes in (boxes()[::-1], [*boxes(), boxes()[0]]):
        with pytest.raises(ExportError, match="reads back wrong"):
            check_collider(shapes, tmp_path / "collider.glb", convex=True)

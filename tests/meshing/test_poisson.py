import sys
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from img2world.core.errors import MissingPackageError
from img2world.meshing.grids import BoxGrid, FrustumGrid
from img2world.meshing.poisson import oriented_points, poisson_surface
from img2world.meshing.reconstruct import render_depth_maps, scene_grid
from img2world.meshing.viewpoints import object_viewpoints, opaque_extent, scene_viewpoints


@pytest.fixture(scope="module")
def ball_maps(balls_scene):
    extent = opaque_extent(balls_scene.gaussians)
    return render_depth_maps(balls_scene.gaussians, object_viewpoints(balls_scene, extent, 80))


GRID = BoxGrid(low=(-0.4, -0.5, -0.4), step=0.02, shape=(48, 48, 48))


def test_points_lie_on_the_balls_and_normals_point_outwards(ball_maps, balls):
    points, normals = (np.concatenate(part) for part in zip(*oriented_points(ball_maps, GRID), strict=True))
    offsets = GRID.to_world(points)[:, None] - [ball.center for ball in balls]
    distances = np.linalg.norm(offsets, axis=2) - [ball.radius for ball in balls]
    nearest = np.abs(distances).argmin(1)
    assert np.quantile(np.abs(distances).min(1), 0.95) < GRID.step
    outwards = offsets[np.arange(len(points)), nearest]
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    assert (np.einsum("ni,ni->n", normals, outwards) > 0.7).mean() > 0.95


def test_normals_point_at_the_cameras_in_a_frustum(balls_scene):
    """Of cameras that look one way, in whose grid depth is logarithmic."""
    few = replace(balls_scene, cameras=balls_scene.cameras.select(np.array([0, 1, 11])))
    maps = render_depth_maps(balls_scene.gaussians, scene_viewpoints(few, 96))
    grid = scene_grid(maps, 48)
    assert isinstance(grid, FrustumGrid)
    points, normals = (np.concatenate(part) for part in zip(*oriented_points(maps, grid), strict=True))
    assert (normals[:, 2] < 0).mean() > 0.9
    np.testing.assert_allclose(grid.to_index(grid.to_world(points)), points, atol=1e-6)


def test_the_surface_is_closed_and_as_large_as_the_balls(ball_maps, balls):
    pytest.importorskip("open3d", reason="needs pip install 'img2world[open3d]'")
    nothing = np.empty((0, 3))
    surface = poisson_surface(ball_maps, GRID, closed=(nothing, nothing))
    mesh = trimesh.Trimesh(GRID.to_world(surface.vertices), surface.faces, process=False)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(sum(4 / 3 * np.pi * ball.radius**3 for ball in balls), rel=0.1)


def test_without_open3d_the_error_says_how_to_get_it(ball_maps, monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(MissingPackageError, match="Open3D") as error:
        poisson_surface(ball_maps, GRID)
    assert "img2world[open3d]" in error.value.hint

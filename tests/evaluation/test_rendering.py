import numpy as np
import pytest
import trimesh
from numpy.testing import assert_allclose
from PIL import Image as PillowImage
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from evaluation.assets import load_asset, normalize_mesh
from evaluation.rendering import Lighting, render_asset, seeded_lighting
from evaluation.textures import linear_from_srgb
from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras
from img2world.layered.object_layers import object_camera


def ring(num_views: int, size: int, elevation_deg: float = 20.0) -> Cameras:
    camera = object_camera(size)
    azimuths = np.arange(num_views) * 2 * np.pi / num_views
    return Cameras(
        world_from_cam=on_sphere(azimuths, np.full(num_views, np.radians(elevation_deg))),
        intrinsics=np.repeat(camera.intrinsics, num_views, 0),
        width=size,
        height=size,
    )


def intersections(origin, directions, mesh):
    """Nearest and farthest intersections of rays with all triangles, one by one (Möller and Trumbore 1997)."""
    first, last = np.full(len(directions), np.inf), np.zeros(len(directions))
    for a, b, c in mesh.vertices[mesh.faces].astype(np.float64):
        across = np.cross(directions, c - a)
        volume = across @ (b - a)
        safe = np.where(np.abs(volume) < 1e-14, np.inf, volume)
        u = across @ (origin - a) / safe
        other = np.cross(origin - a, b - a)
        v = directions @ other / safe
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & np.isfinite(safe)
        along = (c - a) @ other / safe
        first, last = (
            np.where(hit, np.minimum(first, along), first),
            np.where(hit, np.maximum(last, along), last),
        )
    return first, last


@pytest.mark.parametrize("name", ["box.glb", "torus.glb"])
def test_first_and_last_depth_match_ray_casting(asset_folder, name):
    mesh = normalize_mesh(load_asset(asset_folder / name), 0.24)
    cameras = ring(3, 32).select([1])
    rendered = render_asset(mesh, cameras, last_surface=True)
    rows, columns = np.mgrid[:32, :32].reshape(2, -1)
    rays = np.stack([columns + 0.5, rows + 0.5, np.ones(1024)]).T @ np.linalg.inv(cameras.intrinsics[0]).T
    pose = cameras.world_from_cam[0].astype(np.float64)
    # Directions have z = 1 in camera space, so distances along them are depths.
    first, last = intersections(pose[:3, 3], rays @ pose[:3, :3].T, mesh)
    drawn, hit = rendered.depth[0].reshape(-1), last > 0
    # Rays that graze an edge may miss by rounding.
    assert (hit != (drawn > 0)).sum() <= 4
    both = hit & (drawn > 0)
    assert both.sum() > 100
    assert np.quantile(np.abs(drawn - first)[both], 0.99) < 1e-5
    assert np.quantile(np.abs(rendered.last_depth[0].reshape(-1) - last)[both], 0.99) < 1e-5
    assert (last - first)[both].max() > 0.1


def test_white_box_follows_lamberts_law(tmp_path):
    box = trimesh.creation.box(extents=(1, 1, 1))
    box.visual.vertex_colors = np.full((8, 4), 255, np.uint8)
    box.unmerge_vertices()
    box.export(tmp_path / "box.glb")
    mesh = normalize_mesh(load_asset(tmp_path / "box.glb"), 0.24)
    lighting = Lighting(direction=(0.0, 0.0, -1.0), ambient=0.2)
    rendered = render_asset(mesh, ring(1, 64, 0.0), lighting=lighting)
    # The front face looks at the lamp: 0.2 * 0.85 + 0.8 of the light.
    center = linear_from_srgb(rendered.rgb[0, 32, 32] / 255)
    assert_allclose(center, 0.2 * 0.85 + 0.8, atol=0.01)


def test_texture_is_upright_and_not_mirrored(tmp_path):
    """A square with red, green / blue, white quadrants shows them so to a camera in front of it (+Z)."""
    image = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8).repeat(8, 0).repeat(8, 1)
    square = trimesh.Trimesh(
        [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]],
        [[0, 1, 2], [0, 2, 3]],
        visual=TextureVisuals(
            uv=[[0, 0], [1, 0], [1, 1], [0, 1]],
            material=PBRMaterial(baseColorTexture=PillowImage.fromarray(image)),
        ),
        process=False,
    )
    square.export(tmp_path / "square.glb")
    mesh = normalize_mesh(load_asset(tmp_path / "square.glb"), 0.2)
    rgb = render_asset(mesh, ring(1, 64, 0.0), lighting=Lighting(ambient=1.0)).rgb[0].astype(int)
    assert rgb[25, 25].argmax() == 0
    assert rgb[25, 39].argmax() == 1
    assert rgb[39, 25].argmax() == 2
    assert rgb[39, 39].min() > 200


def test_depth_does_not_depend_on_supersampling(asset_folder):
    mesh = normalize_mesh(load_asset(asset_folder / "torus.glb"), 0.24)
    even, odd = (render_asset(mesh, ring(1, 48), supersample=count) for count in (2, 3))
    assert_allclose(even.depth, odd.depth, atol=1e-6)
    assert (even.alpha[even.depth == 0] < 255).all()
    inside = (even.alpha == 255) & (odd.alpha == 255)
    assert np.abs(even.rgb[inside].astype(int) - odd.rgb[inside]).mean() < 6


def test_seeds_determine_the_lighting():
    assert seeded_lighting(3) == seeded_lighting(3)
    assert seeded_lighting(3) != seeded_lighting(4)
    assert seeded_lighting(5).direction[1] < 0

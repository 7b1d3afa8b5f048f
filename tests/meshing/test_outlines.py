import numpy as np
import pytest
import trimesh

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.views import Views
from img2world.meshing.outlines import fit_outlines
from img2world.meshing.surface import Surface
from img2world.meshing.texture import in_camera
from img2world.render.triangles import rasterize_triangles

SIZE = 96


def coverage(surface: Surface, camera: Cameras, fineness: int = 4) -> np.ndarray:
    """Return which part of each pixel is covered, 0 to 255."""
    fine = camera.resized(SIZE * fineness, SIZE * fineness)
    in_cam = in_camera(surface.vertices, fine)
    hit = rasterize_triangles(in_cam, surface.faces, np.ones(len(in_cam), np.float32), fine).face >= 0
    return np.round(255 * hit.reshape(SIZE, fineness, SIZE, fineness).mean((1, 3))).astype(np.uint8)


def ball(scale: tuple[float, float, float], offset: tuple[float, float, float]) -> Surface:
    mesh = trimesh.creation.icosphere(4)
    return Surface(0.3 * np.asarray(mesh.vertices) * scale + offset, np.asarray(mesh.faces, np.int32))


def views_of(surface: Surface, *, alpha: bool = True) -> Views:
    azimuths = 2 * np.pi * np.arange(8) / 8
    cameras = Cameras(
        world_from_cam=on_sphere(azimuths, np.full(8, 0.2)),
        intrinsics=np.tile(intrinsics_from_fov(1.0, SIZE, SIZE), (8, 1, 1)),
        width=SIZE,
        height=SIZE,
    )
    masks = np.stack([coverage(surface, cameras.select([i])) for i in range(8)])
    return Views(
        rgb=np.zeros((*masks.shape, 3), np.uint8),
        alpha=masks if alpha else None,
        cameras=cameras,
        confidence=np.ones(8, np.float32),
        points=np.empty((0, 3), np.float32),
        point_colors=np.empty((0, 3), np.uint8),
        solver="commanded",
    )


def differences(surface: Surface, views: Views) -> list[float]:
    """Return the mean number of pixels, along the outline, by which a surface and the views differ."""
    around = 2 * np.pi * 0.3 * SIZE
    return [
        np.abs(coverage(surface, views.cameras.select([i])).astype(float) - views.alpha[i]).sum() / 255 / around
        for i in range(len(views))
    ]


@pytest.mark.parametrize(
    ("scale", "offset"),
    [((1.03, 1.03, 1.03), (0, 0, 0)), ((0.97, 1.0, 0.97), (0, 0.005, 0)), ((1, 1.04, 1), (0.01, 0, 0))],
)
def test_outlines_move_to_where_the_views_show_them(scale, offset):
    views = views_of(ball((1, 1, 1), (0, 0, 0)))
    wrong = ball(scale, offset)
    fitted = fit_outlines(wrong, views, 0.02)
    before, after = differences(wrong, views), differences(fitted, views)
    assert after[0] < 0.15
    assert after[0] < before[0] / 3
    assert np.mean(after) < 0.7 * np.mean(before)
    # No spikes: what is no outline stays, and nothing goes farther than the outline has to.
    assert np.linalg.norm(fitted.vertices - wrong.vertices, axis=1).max() < 0.03


def test_right_outlines_views_without_alpha_and_coarse_views_change_nothing():
    right = ball((1, 1, 1), (0, 0, 0))
    views = views_of(right)
    assert (
        np.linalg.norm(fit_outlines(right, views, 0.02).vertices - right.vertices, axis=1).max() < 0.007
    )  # two thirds of a pixel
    assert fit_outlines(right, views_of(right, alpha=False), 0.02) is right
    wrong = ball((1.05, 1, 1), (0, 0, 0))
    assert np.array_equal(fit_outlines(wrong, views, 0.005).vertices, wrong.vertices)

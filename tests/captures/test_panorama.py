"""Perspective views of a panorama whose pixels show their own direction."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.captures.metadata import Panorama
from img2world.captures.panorama import cut_rig, cut_view, load_photo
from img2world.captures.photos import frames_from_folder
from img2world.core.image import Image
from img2world.core.progress import silent

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf GPano:ProjectionType="equirectangular"/></x:xmpmeta>'


def directions(width: int = 720, height: int = 360) -> np.ndarray:
    """A panorama that shows x, y, z of the direction of each pixel as colours; +Z is its middle, +Y down."""
    longitude = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    latitude = ((np.arange(height) + 0.5) / height - 0.5) * np.pi
    rays = np.stack(
        np.broadcast_arrays(
            np.cos(latitude)[:, None] * np.sin(longitude),
            np.sin(latitude)[:, None],
            np.cos(latitude)[:, None] * np.cos(longitude),
        ),
        -1,
    )
    return np.round(127.5 + 127.5 * rays).astype(np.uint8)


def expected(view: Image, yaw_deg: float) -> np.ndarray:
    """The directions that a level pinhole camera sees, turned to the right."""
    assert view.focal is not None
    row, column = np.mgrid[: view.height, : view.width]
    rays = np.stack(
        [(column + 0.5 - view.width / 2) / view.focal, (row + 0.5 - view.height / 2) / view.focal, np.ones(row.shape)],
        -1,
    )
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    yaw = np.radians(yaw_deg)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    return 127.5 + 127.5 * rays @ turn.T


@pytest.mark.parametrize("yaw", [0, 60, 180, 300])
@pytest.mark.parametrize("crop", [False, True])
def test_views_show_their_directions(yaw: int, crop: bool):
    rgb, panorama = directions(), Panorama(width=720, full_width=720, full_height=360)
    if crop:
        rgb = rgb[40:330, 100:640]
        panorama = Panorama(width=540, full_width=720, full_height=360, left=100, top=40)
    view = cut_view(Image(rgb=rgb), panorama, yaw_deg=float(yaw), fov_deg=75.0, aspect=1.5, max_side=2048)
    assert view.width / view.height == pytest.approx(1.5, abs=0.01)
    shown = view.rgb.any(-1)
    if crop and yaw == 180:
        assert not shown.any()
        return
    # Half a degree, that is one pixel of the panorama, is 1.1 levels.
    error = (view.rgb.astype(float) - expected(view, yaw))[shown]
    assert np.abs(error).max() < 2
    assert abs(error).mean() < 0.5
    assert shown.mean() > 0.99


def test_a_single_panorama_becomes_the_view_forward_with_a_warning(tmp_path: Path):
    PillowImage.fromarray(directions()).save(tmp_path / "a.jpg", quality=95, xmp=XMP)
    with pytest.warns(UserWarning, match=r"panorama.*75 degrees wide: a\.jpg"):
        image = load_photo(tmp_path / "a.jpg")
    assert image.focal is not None
    assert 2 * np.degrees(np.arctan(image.width / 2 / image.focal)) == pytest.approx(75, abs=0.1)
    assert np.abs(image.rgb[image.height // 2, image.width // 2] - np.array([127.5, 127.5, 255])).max() < 6
    PillowImage.fromarray(directions()).save(tmp_path / "b.jpg")
    assert load_photo(tmp_path / "b.jpg").width == 720


def test_panoramas_among_photos_become_the_views_of_a_rig(tmp_path: Path):
    for name, rgb in {"a.jpg": directions(), "b.jpg": directions()[:, ::-1]}.items():
        PillowImage.fromarray(rgb).save(tmp_path / name, xmp=XMP)
    frames = frames_from_folder(tmp_path, num_frames=9, sizes=(640, 960), max_photos=9, progress=silent)
    assert len(frames) == 12
    assert frames.inventory is not None
    assert frames.inventory.line() == "2 of 2 pictures used"
    assert frames.focals == pytest.approx(np.full(12, frames.rgb.shape[2] / 2))  # 90 degrees
    assert len(cut_rig(Image(rgb=directions()), Panorama(width=720, full_width=720, full_height=360), 960)) == 6

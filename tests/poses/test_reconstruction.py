"""Conversion of reconstructions that pycolmap itself made up, with and without lens distortion."""

import numpy as np
import pycolmap
import pytest

from img2world.poses.reconstruction import is_plausible, placed_images, rank, sparse_model
from img2world.poses.triangulation import reprojection_errors, triangulate

WIDTH, HEIGHT = 160, 120


def synthesize(model: str = "SIMPLE_PINHOLE", extra: tuple[float, ...] = (), *, focal: float = 150.0):
    """A reconstruction of six frames of one camera that all see 80 points."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, 6, 80
    options.camera_width, options.camera_height = WIDTH, HEIGHT
    options.camera_model_id = getattr(pycolmap.CameraModelId, model)
    options.camera_params = [focal, WIDTH / 2, HEIGHT / 2, *extra]
    pycolmap.set_random_seed(0)
    reconstruction = pycolmap.synthesize_dataset(options)
    for i in reconstruction.reg_image_ids():
        reconstruction.image(i).name = f"{2 * i:04d}.png"
    return reconstruction


@pytest.fixture(scope="module")
def pinhole():
    return synthesize()


@pytest.mark.parametrize(("model", "extra"), [("SIMPLE_PINHOLE", ()), ("RADIAL", (0.2, 0.05))])
def test_undistorted_observations_agree_with_the_cameras_and_points(model, extra):
    reconstruction = synthesize(model, extra)
    found = sparse_model(reconstruction, WIDTH, HEIGHT)
    assert len(found.placed) == 6
    assert (np.diff(found.placed) == 2).all()
    assert len(found.tracks) > 50
    assert reprojection_errors(found.tracks, found.camera_parameters).max() < 1e-6
    # Points and tracks are both in the order of pycolmap's ids.
    assert np.allclose(triangulate(found.tracks, found.camera_parameters), found.points, atol=1e-6)
    assert found.num_observations.tolist() == [image.num_points3D for image in placed_images(reconstruction)]
    assert np.allclose(found.view_errors, 0, atol=1e-3)


def test_an_undistorted_camera_needs_no_map(pinhole):
    found = sparse_model(pinhole, WIDTH, HEIGHT)
    assert found.distorted_xy.size == 0
    assert found.maps.tolist() == [-1] * 6
    assert (found.intrinsics == [[150, 0, 80], [0, 150, 60], [0, 0, 1]]).all()


def test_the_map_leads_to_the_distorted_pixels():
    k1 = 0.2
    found = sparse_model(synthesize("SIMPLE_RADIAL", (k1,)), WIDTH, HEIGHT)
    assert found.distorted_xy.shape == (1, HEIGHT, WIDTH, 2)
    row, column = 30, 130
    rays = np.linalg.solve(found.intrinsics[0], [column + 0.5, row + 0.5, 1.0])[:2]
    distorted = 150 * rays * (1 + k1 * (rays @ rays)) + [80, 60]  # COLMAP's definition of the model.
    assert np.allclose(found.distorted_xy[0, row, column], distorted, atol=1e-3)


def test_a_picture_smaller_than_its_frame_lies_in_the_corner():
    """The principal point stays where it is, and there is nothing beyond the picture."""
    small = sparse_model(synthesize("SIMPLE_RADIAL", (0.2,)), WIDTH, HEIGHT)
    large = sparse_model(synthesize("SIMPLE_RADIAL", (0.2,)), 2 * WIDTH, HEIGHT + 10)
    assert np.array_equal(large.intrinsics, small.intrinsics)
    assert np.array_equal(large.distorted_xy[0, :HEIGHT, :WIDTH], small.distorted_xy[0])
    assert (large.distorted_xy[0, HEIGHT:] == -1).all()
    assert (large.distorted_xy[0, :, WIDTH:] == -1).all()


def test_implausible_lenses_are_noticed(pinhole):
    assert is_plausible(pinhole)
    assert not is_plausible(synthesize(focal=30.0))
    assert not is_plausible(synthesize(focal=900.0))


def test_images_with_few_points_are_not_placed():
    reconstruction = synthesize()
    last = max(reconstruction.reg_image_ids())
    for index, point in enumerate(reconstruction.image(last).points2D):
        if point.has_point3D() and index > 5:
            reconstruction.delete_observation(last, index)
    names = [image.name for image in placed_images(reconstruction)]
    assert len(names) == 5
    assert f"{2 * last:04d}.png" not in names
    assert names == sorted(names)
    assert rank(reconstruction) == (5, reconstruction.num_points3D())
    assert rank(reconstruction) < rank(synthesize())
    found = sparse_model(reconstruction, WIDTH, HEIGHT)
    assert 2 * last not in found.placed
    assert found.tracks.frame_ids.max() == 4


def test_a_model_without_points_keeps_its_types():
    """Lists that are empty become arrays of the types that others have."""
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=64, height=48, params=[60, 32, 24], camera_id=1)
    model.add_camera_with_trivial_rig(camera)
    for i in range(2):
        image = pycolmap.Image(name=f"{i:04d}.png", camera_id=1, image_id=i + 1, keypoints=np.zeros((0, 2)))
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    empty, full = sparse_model(model, 64, 48), sparse_model(synthesize(), WIDTH, HEIGHT)
    for name, array in vars(full).items():
        assert getattr(empty, name).dtype == array.dtype, name
        assert getattr(empty, name).ndim == array.ndim, name
    assert empty.points.shape == (0, 3)

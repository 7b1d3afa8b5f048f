import numpy as np
import pytest
import torch
from skimage import data

from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.errors import MissingPackageError
from img2world.core.subject import ObjectGeometry
from img2world.depth import predict
from img2world.depth.network import DIRECTIONS, MULTIPLE, OUTPUTS, GeometryNetwork
from img2world.depth.predict import AREA, PHOTO_SIDE, network, predict_object, predict_scene, working_size
from img2world.layered.object_layers import CutOut, object_camera, shell_surfaces


@pytest.mark.parametrize("weights", [predict.OBJECT_WEIGHTS, predict.SCENE_WEIGHTS])
def test_shipped_weights_fit_the_network(weights):
    for name, values in network(weights).state_dict().items():
        assert torch.isfinite(values).all(), name
    maps, stance = network(weights)(torch.zeros(1, 6, 48, 64))
    assert maps.shape == (1, OUTPUTS, 48, 64)
    assert stance.shape == (1, DIRECTIONS + 2)


def test_result_does_not_depend_on_the_number_of_threads():
    rgb = data.coffee()[::2, ::2]
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(predict_scene(rgb))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].inverse_depth, other.inverse_depth)
        np.testing.assert_array_equal(results[0].sky, other.sky)


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea", "rocket"])
def test_scenes_have_depth(name):
    rgb = getattr(data, name)()
    found = predict_scene(rgb)
    width, height = working_size(rgb.shape[1], rgb.shape[0], area=PHOTO_SIDE**2, multiple=32)
    assert found.inverse_depth.shape == found.sky.shape == (height, width)
    assert found.inverse_depth.min() > 0
    assert np.std(np.log(found.inverse_depth)) > 0.05
    assert 0 <= found.sky.min() <= found.sky.max() <= 1


def test_a_mirrored_picture_has_mirrored_depth():
    rgb = np.ascontiguousarray(data.coffee()[:256, :384])
    found, mirrored = predict_scene(rgb), predict_scene(np.ascontiguousarray(rgb[:, ::-1]))
    # Only the resizing's rounding differs: the network sees both pictures both times.
    np.testing.assert_allclose(found.inverse_depth, mirrored.inverse_depth[:, ::-1], rtol=0.02)


def test_ground_is_nearer_below():
    # On a floor that is seen from above depth grows upwards: the network has to have learned that much.
    y, x = np.mgrid[0:240, 0:320]
    floor = ((np.floor(x / 20) + np.floor(4000 / (y + 60.0))) % 2 * 90 + 80).astype(np.uint8)
    near = predict_scene(np.dstack([floor] * 3)).inverse_depth
    assert near[-16:].mean() > 1.3 * near[:16].mean()


def test_a_ball_is_thick_in_the_middle_and_thin_at_its_rim():
    size = 192
    y, x = np.mgrid[0:size, 0:size] + 0.5 - size / 2
    radius = np.hypot(x, y) / (0.37 * size)
    alpha = (radius < 1).astype(np.float32)
    light = 0.35 + 0.6 * np.sqrt(np.clip(1 - radius**2, 0, 1))
    rgb = (light[..., None] * np.array([0.8, 0.5, 0.3])).astype(np.float32)
    found = predict_object(rgb, alpha)
    middle, rim = radius < 0.25, (radius > 0.85) & (radius < 0.95)
    assert found.front[middle].mean() < found.front[rim].mean() - 0.05
    assert found.thickness[middle].mean() > 1.5 * found.thickness[rim].mean()
    assert found.front.shape == found.thickness.shape == (size, size)
    assert (found.thickness >= 0).all()
    assert found.predicted_error.shape == (size, size)
    assert 0 < found.predicted_error.mean() < 0.3


def test_what_is_doubted_of_an_object_lies_mostly_behind():
    size = 128
    alpha = np.zeros((size, size), np.float32)
    alpha[20:-20, 20:-20] = 1
    cut, camera = CutOut(rgb=np.full((size, size, 3), 0.5, np.float32), alpha=alpha), object_camera(size)
    planes = np.full(DIRECTIONS + 1, 1 / (DIRECTIONS + 1), np.float32)
    surfaces = []
    for doubt in (0.0, 0.08):
        guess = ObjectGeometry(
            front=np.full_like(alpha, -0.1),
            thickness=np.full_like(alpha, 0.2),
            predicted_error=np.full_like(alpha, doubt),
            symmetry_planes=planes,
            elevation=0.2,
        )
        middle, half, _ = shell_surfaces(cut, guess, camera)
        surfaces.append((middle - half, middle + half))
    inner = (slice(50, -50), slice(50, -50))
    nearer, farther = ((surfaces[1][i] - surfaces[0][i])[inner].mean() for i in (0, 1))
    assert nearer < 0 < farther
    assert farther > 1.5 * -nearer
    # The whole is as much thicker as there is doubt.
    frame = INPUT_DISTANCE * size / camera.intrinsics[0, 0, 0]
    assert farther - nearer == pytest.approx(0.08 * frame, rel=0.05)


@pytest.mark.parametrize("size", [(512, 512), (640, 480), (3000, 400), (90, 1600)])
def test_any_picture_is_looked_at_in_about_its_proportions(size):
    width, height = working_size(*size)
    assert width % MULTIPLE == height % MULTIPLE == 0
    assert 0.5 * AREA < width * height < 1.5 * AREA
    if max(size) / min(size) < 2:
        assert width / height == pytest.approx(size[0] / size[1], rel=0.15)


def test_missing_weights_are_said(monkeypatch, tmp_path):
    network.cache_clear()
    monkeypatch.setattr("img2world.depth.weights.resource_folder", lambda name: tmp_path)
    with pytest.raises(MissingPackageError, match="weights are missing"):
        predict_scene(data.coffee()[:300, :400])
    network.cache_clear()


def test_the_network_takes_any_multiple_of_its_block():
    small = GeometryNetwork((16, 24, 32))
    for height, width in ((16, 16), (48, 32), (64, 112)):
        maps, _ = small(torch.rand(2, 6, height, width))
        assert maps.shape == (2, OUTPUTS, height, width)

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from img2world.core.cameras import Cameras
from img2world.core.conventions import NEAR
from img2world.core.errors import Img2WorldError
from img2world.render import rasterize, semantics
from img2world.render.extension import native_module
from img2world.render.splats import CameraTensors, Splats, camera_tensors

BACKGROUND = (0.2, 0.5, 0.8)
LEVELS = native_module().simd_levels()


def draw(splats, camera, backend="native", channels=("rgb", "alpha", "depth"), **style):
    """Render, and backpropagate a random sum of the channels."""
    drawn = rasterize(splats, camera, background=BACKGROUND, backend=backend, **style)
    rng = np.random.default_rng(5)
    loss = torch.zeros((), dtype=splats.means.dtype)
    for name in ("rgb", "alpha", "depth"):
        values = getattr(drawn, name)
        weights = torch.tensor(rng.normal(size=values.shape)).to(values)
        if name in channels:
            loss = loss + (values * weights).sum()
    loss.backward()
    return drawn


def relative_error(actual, expected):
    return float((actual - expected).norm() / expected.norm())


def assert_same_picture(actual, expected):
    # float32 sums of up to a hundred contributions, and a transmittance of at most 1e-4 where blending stops.
    np.testing.assert_allclose(actual.rgb.detach(), expected.rgb.detach(), atol=1e-4, rtol=0)
    np.testing.assert_allclose(actual.alpha.detach(), expected.alpha.detach(), atol=1e-4, rtol=0)
    # A depth of about 3 is divided by an alpha that may be as low as 1/255 with an error of 1e-7.
    np.testing.assert_allclose(actual.depth.detach(), expected.depth.detach(), atol=5e-4, rtol=0)
    np.testing.assert_array_equal(actual.radii, expected.radii)


@pytest.mark.parametrize("simd", LEVELS)
@pytest.mark.parametrize(("bases", "width", "height"), [(1, 48, 40), (4, 37, 29), (9, 8, 8), (16, 61, 3)])
def test_matches_reference(simd, bases, width, height, make_splats, make_camera, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_SIMD", simd)
    camera, truth = make_camera(width, height), make_splats(300, bases=bases, dtype=torch.float64)
    splats = make_splats(300, bases=bases)
    for scene in (truth, splats):
        # So faint that blending stops nowhere.
        with torch.no_grad():
            scene.logit_opacities.sub_(3.0)
    expected, actual = draw(truth, camera, "reference"), draw(splats, camera)
    assert_same_picture(actual, expected)
    for name, tensor, true in zip(Splats.__dataclass_fields__, splats.tensors(), truth.tensors(), strict=True):
        # float32 against float64. Sums about the centre of a tile, up to 11 pixels away, are shifted to a Gaussian
        # that may be one pixel large, which costs two digits of its second moments. Observed: 2e-5, for quaternions.
        assert relative_error(tensor.grad, true.grad) < 1e-4, name
    assert relative_error(actual.screen_means.grad, expected.screen_means.grad) < 2e-5


@pytest.mark.parametrize("channels", [("rgb",), ("alpha",), ("depth",), ("rgb", "depth")])
def test_each_channel_has_its_gradient(channels, make_splats, make_camera):
    camera, truth, splats = make_camera(40, 30), make_splats(80, dtype=torch.float64), make_splats(80)
    draw(truth, camera, "reference", channels)
    draw(splats, camera, "native", channels)
    for name, tensor, true in zip(Splats.__dataclass_fields__, splats.tensors(), truth.tensors(), strict=True):
        if name == "sh" and "rgb" not in channels:
            assert not tensor.grad.any()
        else:
            # Depth is divided by alpha = 1 - transmittance, whose relative error is 1e-5 where it is 1/255.
            assert relative_error(tensor.grad, true.grad) < 1e-4, name


def test_blending_stops_early_in_opaque_crowds(make_splats, make_camera):
    # Hundreds of opaque Gaussians on each pixel: nearly all are hidden entirely.
    camera, truth, splats = make_camera(40, 30), make_splats(600, dtype=torch.float64), make_splats(600)
    for scene in (truth, splats):
        with torch.no_grad():
            scene.log_scales.add_(1.0)
            scene.logit_opacities.add_(5.0)
    expected, actual = draw(truth, camera, "reference"), draw(splats, camera)
    assert_same_picture(actual, expected)
    for name, tensor, true in zip(Splats.__dataclass_fields__, splats.tensors(), truth.tensors(), strict=True):
        # At most 1e-4 of the light is lost, but gradients are small everywhere: opacities are near 1.
        assert relative_error(tensor.grad, true.grad) < 2e-2, name


@pytest.mark.parametrize("simd", LEVELS)
def test_threads_do_not_change_a_bit(simd, make_splats, make_camera, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_SIMD", simd)
    results = []
    for threads in (1, 2, 3, 7):
        monkeypatch.setenv("IMG2WORLD_THREADS", str(threads))
        splats = make_splats(9000, bases=4)
        drawn = draw(splats, make_camera(150, 100))
        results.append(
            [drawn.rgb, drawn.alpha, drawn.depth, drawn.screen_means.grad, *(t.grad for t in splats.tensors())]
        )
    assert results[0][0].std() > 0.05
    for other in results[1:]:
        for expected, actual in zip(results[0], other, strict=True):
            assert expected.detach().numpy().tobytes() == actual.detach().numpy().tobytes()


def test_many_bands_of_sums_add_up(make_splats):
    # 6400 Gaussians over nearly all of 192 tiles are more than one band of 2^20 entries; each half is less than one.
    pose, width, height = np.eye(4, dtype=np.float32)[None], 256, 192
    upstream = torch.tensor(np.random.default_rng(2).normal(size=(height, width, 3)), dtype=torch.float32)

    def gradients(first_row, stop_row):
        splats = make_splats(6400)
        with torch.no_grad():
            # Near the centre, so that neither half clamps their slopes at its edge.
            splats.means.copy_(splats.means * 0.05 + torch.tensor([0.0, 0.0, 2.85]))
            splats.log_scales.add_(3.0)
            splats.logit_opacities.sub_(3.5)
        intrinsics = np.array([[[200, 0, width / 2], [0, 200, height / 2 - first_row], [0, 0, 1]]], np.float32)
        camera = Cameras(world_from_cam=pose, intrinsics=intrinsics, width=width, height=stop_row - first_row)
        rgb = rasterize(splats, camera, backend="native").rgb
        assert (rgb.grad_fn.num_entries > 1 << 20) == (stop_row - first_row == height)
        rgb.backward(upstream[first_row:stop_row])
        return [tensor.grad for tensor in splats.tensors()]

    whole, upper, lower = gradients(0, height), gradients(0, height // 2), gradients(height // 2, height)
    for name, expected, above, below in zip(Splats.__dataclass_fields__, whole, upper, lower, strict=True):
        # Only the order of float32 sums differs; rotations of nearly round shapes are small differences of them.
        assert relative_error(above + below, expected) < 1e-4, name


@pytest.mark.parametrize("simd", LEVELS)
@pytest.mark.parametrize("style", ["antialiased", "colors"])
def test_styles_match_reference(simd, style, make_splats, make_camera, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_SIMD", simd)
    camera, truth, splats = make_camera(48, 40), make_splats(300, dtype=torch.float64), make_splats(300)
    colors = torch.tensor(np.random.default_rng(8).normal(size=(300, 3)), dtype=torch.float32)
    styles = []
    for scene in (splats, truth):
        with torch.no_grad():
            # Thinner than a pixel, where antialiasing matters.
            scene.log_scales.sub_(2.0)
            scene.logit_opacities.add_(3.0)
        own = colors.detach().clone().to(scene.means).requires_grad_()
        styles.append({"antialiased": True} if style == "antialiased" else {"colors": own})
    actual, expected = draw(splats, camera, **styles[0]), draw(truth, camera, "reference", **styles[1])
    assert_same_picture(actual, expected)
    for name, tensor, true in zip(Splats.__dataclass_fields__, splats.tensors(), truth.tensors(), strict=True):
        if name == "sh" and style == "colors":
            assert tensor.grad is None or not tensor.grad.any()
        else:
            assert relative_error(tensor.grad, true.grad) < 2e-4, name
    if style == "colors":
        assert relative_error(styles[0]["colors"].grad, styles[1]["colors"].grad) < 2e-4
    else:
        plain = rasterize(splats, camera, background=BACKGROUND, backend="native")
        assert (actual.rgb - plain.rgb).abs().max() > 0.02


@pytest.mark.parametrize("simd", LEVELS)
@pytest.mark.parametrize(("bases", "antialiased"), [(1, False), (9, False), (4, True)])
def test_gradients_of_the_camera_match_reference(simd, bases, antialiased, make_splats, make_camera, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_SIMD", simd)
    gradients = []
    for dtype, backend in ((torch.float32, "native"), (torch.float64, "reference")):
        camera = camera_tensors(make_camera(48, 40), dtype=dtype)
        camera = CameraTensors(
            cam_from_world=camera.cam_from_world.requires_grad_(),
            intrinsics=camera.intrinsics.requires_grad_(),
            width=camera.width,
            height=camera.height,
        )
        splats = make_splats(300, bases=bases, dtype=dtype)
        with torch.no_grad():
            # Some beside the image, whose slopes are clamped at its edge.
            splats.means[:40, 0] += 2.0
            splats.log_scales[:40] += 1.0
        draw(splats, camera, backend, antialiased=antialiased)
        gradients.append((camera.cam_from_world.grad, camera.intrinsics.grad))
    for name, actual, expected in zip(("cam_from_world", "intrinsics"), *gradients, strict=True):
        assert expected.abs().max() > 1
        assert relative_error(actual, expected) < 5e-5, name


def test_second_backward_pass_is_refused(make_splats, make_camera):
    drawn = rasterize(make_splats(20), make_camera(20, 10), backend="native")
    drawn.rgb.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="have been reused"):
        drawn.alpha.sum().backward()


def test_other_images_may_be_drawn_before_the_backward_pass(make_splats, make_camera):
    alone, between, camera = make_splats(50), make_splats(50), make_camera(40, 30)
    draw(alone, camera)
    drawn = rasterize(between, camera, background=BACKGROUND, backend="native")
    draw(make_splats(80, seed=2), make_camera(64, 48))
    rng = np.random.default_rng(5)
    sum(
        (values * torch.tensor(rng.normal(size=values.shape)).to(values)).sum()
        for values in (drawn.rgb, drawn.alpha, drawn.depth)
    ).backward()
    for expected, actual in zip(alone.tensors(), between.tensors(), strict=True):
        np.testing.assert_array_equal(actual.grad, expected.grad)


def test_empty_scene_is_background(make_splats, make_camera):
    splats = make_splats(0)
    drawn = draw(splats, make_camera(20, 10))
    np.testing.assert_array_equal(drawn.rgb.detach(), np.broadcast_to(np.float32(BACKGROUND), (10, 20, 3)))
    assert not drawn.alpha.any()
    assert splats.means.grad.shape == (0, 3)


def test_gaussians_out_of_sight_are_not_drawn(make_splats, make_camera):
    splats, camera = make_splats(4), make_camera(20, 10)
    with torch.no_grad():
        splats.means[:] = torch.tensor([[0.0, 0.0, -3.0], [0.0, 0.0, NEAR / 2], [50.0, 0.0, 3.0], [0.0, 0.0, 3.0]])
        splats.logit_opacities[3] = -9.0
    drawn = draw(splats, camera)
    assert not drawn.radii.any()
    assert not any(tensor.grad.any() for tensor in splats.tensors())


ABSURD = st.sampled_from([0.0, -0.0, 1e-38, 1e-7, 0.5, -1.0, 3.0, 30.0, 88.0, -88.0, 1e5, -1e9, 1e20, -3e38, 3e38])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.lists(ABSURD, min_size=23, max_size=23), min_size=1, max_size=6))
def test_absurd_gaussians_make_no_nan(make_camera, values):
    rows = torch.tensor(values, dtype=torch.float32)
    parts = torch.split(rows, [3, 4, 3, 1, 12], dim=1)
    parts = [parts[0], parts[1], parts[2], parts[3][:, 0], parts[4].reshape(-1, 4, 3)]
    splats = Splats(**{n: p.clone().requires_grad_() for n, p in zip(Splats.__dataclass_fields__, parts, strict=True)})
    drawn = draw(splats, make_camera(20, 17))
    for name in ("rgb", "alpha", "depth"):
        assert torch.isfinite(getattr(drawn, name)).all(), name
    for name, tensor in zip(Splats.__dataclass_fields__, splats.tensors(), strict=True):
        assert torch.isfinite(tensor.grad).all(), name


@pytest.mark.parametrize(
    ("name", "index"), [("means", (17, 2)), ("quats", (3, 0)), ("sh", (5, 3, 1)), ("logit_opacities", (9,))]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_values_that_are_not_finite_are_named(backend, name, index, value, make_splats, make_camera):
    splats = make_splats(20, bases=4)
    with torch.no_grad():
        getattr(splats, name)[index] = value
    with pytest.raises(Img2WorldError) as error:
        rasterize(splats, make_camera(20, 10), backend=backend)
    assert str(error.value).startswith(f"{name} holds {value} at index {index}")


def test_wrong_types_are_refused(make_splats, make_camera):
    with pytest.raises(TypeError, match="float64"):
        rasterize(make_splats(3, dtype=torch.float64), make_camera(20, 10), backend="native")


def test_constants_match_semantics():
    constants = native_module().CONSTANTS
    assert constants.pop("NEAR") == pytest.approx(NEAR, rel=1e-6)
    for name, value in constants.items():
        assert value == pytest.approx(getattr(semantics, name), rel=1e-6), name

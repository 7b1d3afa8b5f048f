import numpy as np
import torch

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import SH_C0
from img2world.core.sh import sh_basis
from img2world.render import rasterize, reference
from img2world.render.splats import Rendering, Splats, camera_tensors


def single(mean, log_scale, logit, dc=(0.0, 0.0, 0.0), quat=(1.0, 0.0, 0.0, 0.0)):
    """Return one Gaussian in float64."""
    values = ([mean], [quat], [log_scale], [logit], [[dc]])
    tensors = [torch.tensor(value).double() for value in values]
    return Splats(**dict(zip(Splats.__dataclass_fields__, tensors, strict=True)))


def plain_camera(width=32, height=24):
    pose = np.eye(4, dtype=np.float32)[None]
    return Cameras(
        world_from_cam=pose, intrinsics=intrinsics_from_fov(1.0, width, height)[None], width=width, height=height
    )


def test_one_round_gaussian_matches_the_paper():
    # On the optical axis a ball of deviation s at depth z is a disc of variance (f s / z)² + 0.3.
    camera = camera_tensors(plain_camera(), dtype=torch.float64)
    drawn = reference.rasterize(
        single((0.0, 0.0, 2.0), (np.log(0.1),) * 3, 0.4, (1.0, 0.0, -1.0)), camera, background=(0.1, 0.2, 0.3)
    )
    x, y = np.meshgrid(np.arange(32) + 0.5 - 16, np.arange(24) + 0.5 - 12)
    variance = (float(camera.intrinsics[0, 0]) * 0.1 / 2) ** 2 + 0.3
    alpha = 1 / (1 + np.exp(-0.4)) * np.exp(-0.5 * (x * x + y * y) / variance)
    alpha[alpha < 1 / 255] = 0
    np.testing.assert_allclose(drawn.alpha, alpha, atol=1e-12)
    for channel, (dc, behind) in enumerate([(1.0, 0.1), (0.0, 0.2), (-1.0, 0.3)]):
        color = 0.5 + SH_C0 * dc
        np.testing.assert_allclose(drawn.rgb[..., channel], alpha * color + (1 - alpha) * behind, atol=1e-12)
    np.testing.assert_allclose(drawn.depth, np.where(alpha > 0, 2.0, 0.0), atol=1e-12)


def test_axes_and_rotations_have_the_right_signs():
    # A long Gaussian along world +X is wide in the image; rotated by 90° about the optical axis it is tall.
    camera = camera_tensors(plain_camera(), dtype=torch.float64)
    flat = (np.log(0.4), np.log(0.05), np.log(0.05))
    wide = reference.rasterize(single((0.3, -0.2, 2.0), flat, 3.0), camera, background=(0.0, 0.0, 0.0)).alpha
    tall = reference.rasterize(
        single((0.3, -0.2, 2.0), flat, 3.0, quat=(1.0, 0.0, 0.0, 1.0)), camera, background=(0.0, 0.0, 0.0)
    ).alpha
    row, column = divmod(int(wide.argmax()), 32)
    assert (row, column) == (12 - 3, 16 + 4)  # +X is right, -Y is up
    assert (wide > 0.1).sum(1).max() > 3 * (wide > 0.1).sum(0).max()
    assert (tall > 0.1).sum(0).max() > 3 * (tall > 0.1).sum(1).max()


def test_nearer_gaussians_hide_farther_ones():
    camera = camera_tensors(plain_camera(), dtype=torch.float64)
    red, blue = (3.0, -3.0, -3.0), (-3.0, -3.0, 3.0)
    near, far = single((0.0, 0.0, 1.0), (-1.0,) * 3, 9.0, red), single((0.0, 0.0, 3.0), (0.0,) * 3, 9.0, blue)
    for first, second in ((near, far), (far, near)):
        both = Splats(**{n: torch.cat([getattr(first, n), getattr(second, n)]) for n in Splats.__dataclass_fields__})
        pixel = reference.rasterize(both, camera, background=(0.0, 0.0, 0.0)).rgb[12, 16]
        assert pixel[0] > 1.2
        assert pixel[2] < 0.01


def test_colors_match_core_sh(make_splats, make_camera):
    splats, camera = make_splats(20, bases=16, dtype=torch.float64), make_camera(32, 24)
    means = splats.means.detach().numpy() - camera.centers_in_world[0].astype(np.float64)
    basis = sh_basis(means / np.linalg.norm(means, axis=1, keepdims=True), 3)
    expected = np.maximum(0, 0.5 + np.einsum("nk,nkc->nc", basis, splats.sh.detach().numpy()))
    np.testing.assert_allclose(
        reference.project(splats, camera_tensors(camera, dtype=torch.float64)).rgb.detach(), expected, atol=1e-7
    )


def test_gradients_are_exact(make_splats, make_camera):
    splats, camera = make_splats(4, bases=4, dtype=torch.float64, seed=4), make_camera(6, 5)
    view = camera_tensors(camera, dtype=torch.float64)

    def draw(*tensors):
        drawn = reference.rasterize(
            Splats(**dict(zip(Splats.__dataclass_fields__, tensors, strict=True))), view, background=(0.2, 0.5, 0.8)
        )
        return drawn.rgb, drawn.alpha, drawn.depth

    # Fast: along random directions instead of for every number.
    assert torch.autograd.gradcheck(draw, splats.tensors(), eps=1e-7, atol=1e-5, fast_mode=True)


def test_bands_do_not_change_the_picture(make_splats, make_camera, monkeypatch):
    # The bands are recomputed in the backward pass; the gradient of the screen means must survive that.
    results: list[tuple[Rendering, Splats]] = []
    for chunk in (1 << 30, 40 * 33 * 5):
        monkeypatch.setattr(reference, "CHUNK", chunk)
        splats = make_splats(40, bases=4, dtype=torch.float64)
        drawn = rasterize(splats, make_camera(33, 23), background=(1.0, 1.0, 1.0), backend="reference")
        (drawn.rgb.square().sum() + drawn.depth.sum()).backward()
        results.append((drawn, splats))
    (whole, splats), (banded, banded_splats) = results
    # Equal to the last bit on some processors; on others sums over fewer rows have another order.
    torch.testing.assert_close(banded.rgb, whole.rgb, rtol=1e-15, atol=1e-15)
    torch.testing.assert_close(banded.screen_means.grad, whole.screen_means.grad, rtol=1e-12, atol=1e-12)
    for expected, actual in zip(splats.tensors(), banded_splats.tensors(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-12, atol=1e-12)

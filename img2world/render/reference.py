"""Gaussian splatting in plain torch: slow, short, any float type. The other rasterizers are tested against it.

Source: Kerbl et al. 2023, "3D Gaussian Splatting for Real-Time Radiance Field Rendering", sections 4
and 6; the projection is that of Zwicker et al. 2001, "EWA Splatting", equations 23 to 29.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from img2world.core.conventions import NEAR, SH_C0
from img2world.core.sh import C1, C2, C3, sh_degree
from img2world.render.semantics import (
    FAR,
    JACOBIAN_MARGIN,
    LOW_PASS,
    MAX_ALPHA,
    MAX_EXTENT,
    MIN_ALPHA,
    MIN_QUAT_NORM,
)
from img2world.render.splats import CameraTensors, Rendering, Splats, matrices_from_quats

CHUNK = 1 << 22
"""Gaussian-pixel pairs held in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Projected:
    """Gaussians in the image plane."""

    means: Float[Tensor, "N 2"]
    """Pixels."""
    covariances: Float[Tensor, "N 3"]
    """xx, xy, yy in px², low-pass included."""
    determinants: Float[Tensor, "N"]
    depths: Float[Tensor, "N"]
    opacities: Float[Tensor, "N"]
    rgb: Float[Tensor, "N 3"]


def rasterize(
    splats: Splats,
    camera: CameraTensors,
    *,
    background: tuple[float, float, float],
    antialiased: bool = False,
    colors: Float[Tensor, "N 3"] | None = None,
) -> Rendering:
    """Draw Gaussians as one camera sees them. Every Gaussian is evaluated at every pixel."""
    splats.check_finite()
    with torch.no_grad():
        everything = project(splats, camera, antialiased=antialiased, colors=colors)
        radii = _radii(splats, everything, camera)
    # Only what is drawn takes part in the graph: zero times an overflowed Jacobian would be NaN.
    drawn = torch.nonzero(radii)[:, 0]
    visible = Splats(**{name: getattr(splats, name)[drawn] for name in Splats.__dataclass_fields__})
    seen = project(visible, camera, antialiased=antialiased, colors=None if colors is None else colors[drawn])
    screen_means = torch.nan_to_num(everything.means).index_copy(0, drawn, seen.means)
    if screen_means.requires_grad:
        screen_means.retain_grad()
    seen = Projected(**{**vars(seen), "means": screen_means[drawn]})
    channels = blend(seen, camera, background)
    rgb, alpha, depth_sum = channels[..., :3], channels[..., 3], channels[..., 4]
    depth = torch.where(alpha > 0, depth_sum / torch.where(alpha > 0, alpha, 1), 0)
    return Rendering(rgb=rgb, alpha=alpha, depth=depth, screen_means=screen_means, radii=radii)


def project(
    splats: Splats, camera: CameraTensors, *, antialiased: bool = False, colors: Float[Tensor, "N 3"] | None = None
) -> Projected:
    """Project Gaussians into the image plane. Those with a depth <= 0 are meaningless; mask them."""
    focal, center = camera.intrinsics.diagonal()[:2], camera.intrinsics[:2, 2]
    size = torch.tensor([camera.width, camera.height]).to(splats.means)
    rotation = camera.cam_from_world[:3, :3]

    in_cam = splats.means @ rotation.T + camera.cam_from_world[:3, 3]  # [N, 3]
    slopes = in_cam[:, :2] / in_cam[:, 2:]  # [N, 2]
    margin = JACOBIAN_MARGIN * size
    clamped = slopes.clamp((-center - margin) / focal, (size - center + margin) / focal)
    # Rows of the Jacobian of the projection with respect to world coordinates: [N, 2, 3].
    jacobian = (focal / in_cam[:, 2:])[..., None] * (rotation[:2] - clamped[..., None] * rotation[2])
    spread = jacobian @ (matrices_from_quats(splats.quats) * splats.log_scales.exp()[:, None, :])  # [N, 2, 3]
    xx, xy, yy = ((spread[:, i] * spread[:, j]).sum(-1) for i, j in ((0, 0), (0, 1), (1, 1)))
    without_low_pass, determinants = _determinants(spread)
    opacities = torch.sigmoid(splats.logit_opacities)
    if antialiased:
        opacities = opacities * (without_low_pass.clamp(min=1e-30) / determinants).sqrt()
    return Projected(
        means=slopes * focal + center,
        covariances=torch.stack([xx + LOW_PASS, xy, yy + LOW_PASS], -1),
        determinants=determinants,
        depths=in_cam[:, 2],
        opacities=opacities,
        rgb=_colors(splats, camera.center_in_world) if colors is None else colors,
    )


def blend(seen: Projected, camera: CameraTensors, background: tuple[float, float, float]) -> Float[Tensor, "H W 5"]:
    """Blend front to back: red, green, blue including the background, alpha, and the alpha-weighted sum of depths."""
    order = torch.argsort(seen.depths.detach(), stable=True)
    ordered = [getattr(seen, name)[order] for name in Projected.__dataclass_fields__]
    rows = max(1, CHUNK // max(1, len(order) * camera.width))
    bands = []
    for start in range(0, camera.height, rows):
        stop = min(start + rows, camera.height)
        if torch.is_grad_enabled() and rows < camera.height:
            band = checkpoint(_blend_rows, start, stop, camera.width, background, *ordered, use_reentrant=False)
        else:
            band = _blend_rows(start, stop, camera.width, background, *ordered)
        bands.append(band)
    return torch.cat(bands)


def _blend_rows(
    start: int,
    stop: int,
    width: int,
    background: tuple[float, float, float],
    means: Float[Tensor, "N 2"],
    covariances: Float[Tensor, "N 3"],
    determinants: Float[Tensor, "N"],
    depths: Float[Tensor, "N"],
    opacities: Float[Tensor, "N"],
    rgb: Float[Tensor, "N 3"],
) -> Float[Tensor, "R W 5"]:
    """Return the channels of `blend` for some rows of the image, from Gaussians sorted front to back."""
    like = {"dtype": means.dtype, "device": means.device}
    y = torch.arange(start, stop, **like) + 0.5
    x = torch.arange(width, **like) + 0.5
    dx, dy = x - means[:, :1], y - means[:, 1:]  # [N, W], [N, R]
    xx, xy, yy = (covariances / determinants[:, None]).T[:, :, None, None]  # [N, 1, 1] each
    dx, dy = dx[:, None, :], dy[:, :, None]
    distance = yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy  # [N, R, W], squared Mahalanobis
    # Rounding must not make a Gaussian brighter than its centre.
    alpha = opacities[:, None, None] * torch.exp(-0.5 * distance.clamp(min=0))
    alpha = torch.where(alpha >= MIN_ALPHA, alpha.clamp(max=MAX_ALPHA), 0)
    transmittance = torch.cumprod(torch.cat([torch.ones_like(alpha[:1]), 1 - alpha]), 0)  # [N + 1, R, W]
    weights = alpha * transmittance[:-1]
    values = torch.cat([rgb, torch.ones_like(rgb[:, :1]), depths[:, None]], -1)  # [N, 5]
    behind = torch.tensor([*background, 0.0, 0.0], **like)
    return torch.einsum("nrw,nc->rwc", weights, values) + transmittance[-1, :, :, None] * behind


def _determinants(spread: Float[Tensor, "N 2 3"]) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Return the determinants of spread @ spread.T, without and with LOW_PASS on its diagonal."""
    # The sum of squared minors (Cauchy-Binet) has no cancellation: xx * yy - xy² is negative for long thin Gaussians.
    minors = torch.linalg.cross(spread[:, 0], spread[:, 1])
    without = (minors * minors).sum(-1)
    return without, LOW_PASS**2 + LOW_PASS * (spread * spread).sum((-2, -1)) + without


def _colors(splats: Splats, center: Float[Tensor, "3"]) -> Float[Tensor, "N 3"]:
    """Return the colours seen from a camera at `center`, never below zero."""
    directions = torch.nn.functional.normalize(splats.means - center, dim=-1)
    basis = _sh_basis(directions, sh_degree(splats.sh.shape[1]))
    return (0.5 + (basis[:, :, None] * splats.sh).sum(1)).clamp(min=0)


def _sh_basis(directions: Float[Tensor, "N 3"], degree: int) -> Float[Tensor, "N K"]:
    """Evaluate `core.sh.sh_basis` with tensors."""
    x, y, z = directions.unbind(-1)
    bases = [torch.full_like(x, SH_C0)]
    if degree > 0:
        bases += [-C1 * y, C1 * z, -C1 * x]
    if degree > 1:
        bases += [C2[0] * x * y, C2[1] * y * z, C2[2] * (2 * z * z - x * x - y * y)]
        bases += [C2[3] * x * z, C2[4] * (x * x - y * y)]
    if degree > 2:
        bases += [C3[0] * y * (3 * x * x - y * y), C3[1] * x * y * z, C3[2] * y * (4 * z * z - x * x - y * y)]
        bases += [C3[3] * z * (2 * z * z - 3 * x * x - 3 * y * y), C3[4] * x * (4 * z * z - x * x - y * y)]
        bases += [C3[5] * z * (x * x - y * y), C3[6] * x * (x * x - 3 * y * y)]
    return torch.stack(bases, -1)


def _radii(splats: Splats, projected: Projected, camera: CameraTensors) -> Int32[Tensor, "N"]:
    """Return half the larger side of each box where alpha >= 1/255, rounded up, 0 for what is not drawn."""
    strength = (projected.opacities / MIN_ALPHA).log().clamp(min=0)
    sides = (2 * strength[:, None] * projected.covariances[:, ::2]).sqrt().ceil()  # [N, 2]
    size = torch.tensor([camera.width, camera.height], device=sides.device)
    on_screen = ((projected.means + sides > 0) & (projected.means - sides < size)).all(-1)
    drawn = on_screen & _can_be_drawn(splats, projected) & (projected.opacities >= MIN_ALPHA)
    return torch.where(drawn, sides.amax(-1), 0).to(torch.int32)


def _can_be_drawn(splats: Splats, projected: Projected) -> Bool[Tensor, "N"]:
    """Tell which Gaussians are in front of the camera, finite and small enough to be drawn."""
    norms = splats.quats.norm(dim=-1)
    return (
        (projected.depths > NEAR)
        & (projected.depths < FAR)
        & (projected.means.abs() < MAX_EXTENT).all(-1)
        & (projected.covariances[:, ::2] < MAX_EXTENT**2).all(-1)
        & (projected.rgb.abs() < MAX_EXTENT).all(-1)
        & (norms > MIN_QUAT_NORM)
        & (norms < torch.inf)
    )

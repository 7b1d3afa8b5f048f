"""Written files hold the right scene, as decoders without code of the package tell; planted faults are found."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import splat_decoders as decoders
from known_scene import (
    RDF,
    RUB,
    Splat,
    Tolerance,
    appearance,
    check_same,
    gaussians_from,
    harmonics_at,
    known_splats,
    splats_from,
    turned,
)

from img2world.core.gaussians import Gaussians
from img2world.formats.files import read_splats, write_splats


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format under test."""

    suffix: str
    decode: Callable[[Path], list[Splat]]
    frame: np.ndarray
    tolerance: Tolerance
    max_degree: int = 3
    options: dict[str, Any]


def entry(
    suffix: str, decode: Callable[[Path], list[Splat]], frame: np.ndarray, tolerance: Tolerance, max_degree: int = 3,
    **options: Any,
) -> Format:  # fmt: skip
    return Format(
        suffix=suffix, decode=decode, frame=frame, tolerance=tolerance, max_degree=max_degree, options=options
    )


BYTE = 0.5 / 255 + 1e-6
"""Half a step of a byte."""

FORMATS = {
    "ply": entry(".ply", decoders.decode_ply, RDF, Tolerance()),
    # Positions: 11 bits of 2.7 units. Harmonics: half a step of 8/256 each.
    "compressed_ply": entry(
        ".compressed.ply", decoders.decode_compressed_ply, RDF,
        Tolerance(center=1.4e-3, covariance=6e-3, opacity=BYTE, color=0.08),
    ),
    # Quaternions: a step of 1/128.
    "splat": entry(
        ".splat", decoders.decode_splat, RDF, Tolerance(covariance=0.02, opacity=BYTE, color=BYTE), max_degree=0
    ),
    "ksplat0": entry(
        ".ksplat", decoders.decode_ksplat, RDF, Tolerance(opacity=BYTE, color=BYTE), max_degree=2, level=0
    ),
    # Half-precision scales, quaternions and harmonics.
    "ksplat1": entry(
        ".ksplat", decoders.decode_ksplat, RDF, Tolerance(center=1e-4, covariance=2e-3, opacity=BYTE, color=3e-3),
        max_degree=2, level=1,
    ),
    # Quaternions: a step of 1/723. Colors: bytes of a range of 1.88.
    "spz3": entry(".spz", decoders.decode_spz, RUB, Tolerance(covariance=5e-3, opacity=BYTE, color=4e-3)),
    "spz4": entry(".spz", decoders.decode_spz, RUB, Tolerance(covariance=5e-3, opacity=BYTE, color=4e-3), version=4),
    # Quaternions: a step of 1/180. Codebooks hold the few values to about 1/16,000 of their range.
    "sog": entry(
        ".sog", decoders.decode_sog, RDF, Tolerance(center=5e-5, covariance=0.015, opacity=BYTE, color=1e-3)
    ),
    "sog_files": entry(
        ".meta.json", decoders.decode_sog, RDF, Tolerance(center=5e-5, covariance=0.015, opacity=BYTE, color=1e-3)
    ),
    "glb": entry(".glb", decoders.decode_glb, RUB, Tolerance()),
    "usdc": entry(".usdc", decoders.decode_usd, RUB, Tolerance()),
    "usda": entry(".usda", decoders.decode_usd, RUB, Tolerance()),
    "usdz": entry(".usdz", decoders.decode_usd, RUB, Tolerance()),
}  # fmt: skip


def check_file(form: Format, gaussians: Gaussians, degree: int, folder: Path) -> Path:
    """Write Gaussians and compare the file with the known scene."""
    path = folder / f"scene{form.suffix}"
    write_splats(gaussians, path, form.options)
    expected = turned(appearance(known_splats(degree)), form.frame)
    check_same(appearance(form.decode(path), form.frame), expected, form.tolerance)
    return path


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("name", FORMATS)
def test_the_known_scene_is_in_the_file(name, degree, tmp_path):
    form = FORMATS[name]
    degree = min(degree, form.max_degree)
    path = check_file(form, gaussians_from(known_splats(degree)), degree, tmp_path)
    # What is read back is what the decoder finds, in the axes of the scene.
    found = read_splats(path)
    assert found.broken == 0
    theirs = turned(appearance(form.decode(path), form.frame), form.frame.T)
    check_same(appearance(splats_from(found.gaussians)), theirs, Tolerance(center=2e-6))


# ---- faults ----


def linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def edit(**edits: Callable[[np.ndarray], np.ndarray]) -> Callable[[Gaussians], Gaussians]:
    """Return a fault that edits some of the arrays."""

    def fault(gaussians: Gaussians) -> Gaussians:
        arrays = {
            name: np.ascontiguousarray(change(getattr(gaussians, name)), np.float32) for name, change in edits.items()
        }
        return replace(gaussians, **arrays)

    return fault


def channel_major(sh: np.ndarray) -> np.ndarray:
    rest = sh[:, 1:]
    return np.concatenate([sh[:, :1], rest.transpose(0, 2, 1).reshape(rest.shape)], 1)


def with_linear_colors(sh: np.ndarray) -> np.ndarray:
    constant = 2 * np.sqrt(np.pi)
    return np.concatenate([(linear(0.5 + sh[:, :1] / constant) - 0.5) * constant, sh[:, 1:]], 1)


def with_orders_descending(sh: np.ndarray) -> np.ndarray:
    bands = [sh[:, degree**2 : (degree + 1) ** 2][:, ::-1] for degree in range(4)]
    return np.concatenate(bands, 1)


def signs(count: int, *negative: int) -> np.ndarray:
    return np.array([-1 if i in negative else 1 for i in range(count)], np.float32)


FAULTS = {
    "axes of positions swapped": ("center", edit(means=lambda means: means[:, [0, 2, 1]])),
    "positions mirrored": ("center", edit(means=lambda means: means * signs(3, 0))),
    "positions turned by half": ("center", edit(means=lambda means: means * signs(3, 1, 2))),
    "whole scene mirrored": (
        "center", edit(means=lambda means: means * signs(3, 0), quats=lambda quats: quats * signs(4, 2, 3)),
    ),
    "rotations not turned": ("covariance", edit(quats=lambda quats: quats * signs(4, 2, 3))),
    "rotations inverted": ("covariance", edit(quats=lambda quats: quats * signs(4, 0))),
    "quaternions xyzw": ("covariance", edit(quats=lambda quats: quats[:, [1, 2, 3, 0]])),
    "quaternions zxyw": ("covariance", edit(quats=lambda quats: quats[:, [3, 0, 1, 2]])),
    "axes of scales swapped": ("covariance", edit(log_scales=lambda scales: scales[:, [1, 0, 2]])),
    "scales for their logarithms": ("covariance", edit(log_scales=np.exp)),
    "variances for scales": ("covariance", edit(log_scales=lambda scales: 2 * scales)),
    "opacities for logits": ("opacity", edit(logit_opacities=lambda logits: 1 / (1 + np.exp(-logits)))),
    "colors in linear light": ("color", edit(sh=with_linear_colors)),
    "red and blue swapped": ("color", edit(sh=lambda sh: sh[..., ::-1])),
    "signs of degree 1": ("color", edit(sh=lambda sh: sh * signs(sh.shape[1], 1, 2, 3)[:, None])),
    "harmonics not turned": ("color", edit(sh=lambda sh: sh * signs(sh.shape[1], 1, 2)[:, None])),
    "harmonics channel-major": ("color", edit(sh=channel_major)),
    "orders descending": ("color", edit(sh=with_orders_descending)),
}  # fmt: skip
NEED_HARMONICS = {"signs of degree 1", "harmonics not turned", "harmonics channel-major", "orders descending"}


PLANTED = [
    (name, fault)
    for name, form in FORMATS.items()
    for fault in FAULTS
    if name not in ("usda", "usdz", "sog_files") and (form.max_degree > 0 or fault not in NEED_HARMONICS)
]


@pytest.mark.parametrize(("name", "fault"), PLANTED)
def test_a_planted_fault_is_found(name, fault, tmp_path):
    form = FORMATS[name]
    degree = form.max_degree
    quantity, plant = FAULTS[fault]
    with pytest.raises(AssertionError, match=rf"\b{quantity}\b"):
        check_file(form, plant(gaussians_from(known_splats(degree))), degree, tmp_path)


def test_harmonics_are_those_of_the_published_formula():
    """The polynomials that the specification of KHR_gaussian_splatting lists."""
    x, y, z = np.array([0.48, -0.6, 0.64])
    published = [
        0.2820947917738781,
        -0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x,
        1.092548430592079 * x * y, -1.092548430592079 * y * z, 0.31539156525252 * (2 * z * z - x * x - y * y),
        -1.092548430592079 * x * z, 0.5462742152960395 * (x * x - y * y),
        -0.5900435899266435 * y * (3 * x * x - y * y), 2.890611442640554 * x * y * z,
        -0.4570457994644657 * y * (4 * z * z - x * x - y * y),
        0.3731763325901154 * z * (2 * z * z - 3 * x * x - 3 * y * y),
        -0.4570457994644657 * x * (4 * z * z - x * x - y * y), 1.445305721320277 * z * (x * x - y * y),
        -0.5900435899266435 * x * (x * x - 3 * y * y),
    ]  # fmt: skip
    np.testing.assert_allclose(harmonics_at(float(x), float(y), float(z)), published, atol=1e-12)

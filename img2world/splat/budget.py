"""Choice of the length of a training and its number of Gaussians, by the views and the quality asked for."""

from dataclasses import dataclass
from typing import Literal

from img2world.core.views import Views

Quality = Literal["draft", "normal", "high"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Steps and Gaussians of a training."""

    steps: int
    max_gaussians: int


@dataclass(frozen=True, kw_only=True)
class _Rate:
    """Spending of a quality: steps for any scene, more for each view, and Gaussians by pixels, all within limits."""

    base_steps: int
    steps_per_view: int
    max_steps: int
    gaussians_per_megapixel: int
    min_gaussians: int
    max_gaussians: int


RATES: dict[Quality, _Rate] = {
    "draft": _Rate(
        base_steps=500,
        steps_per_view=10,
        max_steps=1_500,
        gaussians_per_megapixel=1_000,
        min_gaussians=30_000,
        max_gaussians=60_000,
    ),
    "normal": _Rate(
        base_steps=800,
        steps_per_view=35,
        max_steps=3_000,
        gaussians_per_megapixel=3_000,
        min_gaussians=80_000,
        max_gaussians=150_000,
    ),
    "high": _Rate(
        base_steps=6_000,
        steps_per_view=90,
        max_steps=30_000,
        gaussians_per_megapixel=15_000,
        min_gaussians=120_000,
        max_gaussians=1_000_000,
    ),
}


def budget(quality: Quality, views: Views) -> Budget:
    """Return steps and Gaussians for a training. More views show more of a scene, and larger ones more detail."""
    rate = RATES[quality]
    megapixels = len(views) * views.cameras.width * views.cameras.height / 1e6
    gaussians = round(rate.gaussians_per_megapixel * megapixels)
    return Budget(
        steps=min(rate.base_steps + rate.steps_per_view * len(views), rate.max_steps),
        max_gaussians=min(max(gaussians, rate.min_gaussians), rate.max_gaussians),
    )

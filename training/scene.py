"""What a made place is: things, light, and where pictures are taken from."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from training.assembly import Composition


@dataclass(frozen=True, kw_only=True)
class Light:
    """What lights a place: one light with shadows, and the sky's or room's own light."""

    place: Float[np.ndarray, "3"]
    """Where it stands, or the direction towards it."""
    is_near: bool
    strength: float
    ambient: float
    reach: float = 1.0
    """Square of the distance at which a near light has its strength."""
    fog: float = 0.0
    horizon: tuple[float, float, float] = (0.8, 0.85, 0.9)
    zenith: tuple[float, float, float] = (0.35, 0.5, 0.8)
    cloudiness: float = 0.0
    softness: float = 1.5
    """Blur of the shadows in pixels of the shadow map."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """Where a picture is taken from. Axes are those of the place, +Y up."""

    eye: Float[np.ndarray, "3"]
    target: Float[np.ndarray, "3"]
    fov: float
    """Along the longer side, radians."""
    roll: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """A composition, its light and some shots of it."""

    composition: Composition
    light: Light
    shots: tuple[Shot, ...]
    kind: str


def daylight(rng: np.random.Generator, *, fog: float = 0.0) -> Light:
    """Sun or an overcast or evening sky."""
    direction = np.array([rng.uniform(-1, 1), rng.uniform(0.25, 1.5), rng.uniform(-1, 1)])
    sunny = rng.random() < 0.65
    zenith, horizon = rng.uniform(0.15, 0.9, 3), rng.uniform(0.5, 1, 3)
    if rng.random() < 0.6:
        zenith = np.array([0.25, 0.45, 0.8]) * rng.uniform(0.6, 1.15)
        horizon = np.array([0.75, 0.83, 0.92]) * rng.uniform(0.8, 1.08)
    ambient = rng.uniform(0.3, 0.55) if sunny else rng.uniform(0.6, 0.9)
    return Light(
        place=direction / np.linalg.norm(direction),
        is_near=False,
        strength=rng.uniform(0.5, 1.1) if sunny else 0.15,
        ambient=ambient,
        fog=fog,
        horizon=tuple(horizon.tolist()),
        zenith=tuple(zenith.tolist()),
        cloudiness=float(rng.choice([0, 0.5, 0.9])),
        softness=float(rng.choice([1.0, 2.0, 4.0])),
    )

"""A procedural scene: its geometry, its lighting and its viewpoints. Axes are those of the scene, +Y up."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from training.assembly import Assembly


@dataclass(frozen=True, kw_only=True)
class SceneLighting:
    """One light source that casts shadows, ambient light, sky and fog."""

    position: Float[np.ndarray, "3"]
    """Position of a near light, or unit direction towards a distant one."""
    is_near: bool
    strength: float
    ambient: float
    reach: float = 1.0
    """Square of the distance at which a near light has its nominal strength."""
    fog: float = 0.0
    horizon: tuple[float, float, float] = (0.8, 0.85, 0.9)
    zenith: tuple[float, float, float] = (0.35, 0.5, 0.8)
    cloudiness: float = 0.0
    softness: float = 1.5
    """Blur radius of shadow edges in pixels of the shadow map."""


@dataclass(frozen=True, kw_only=True)
class Viewpoint:
    """Pose and field of view of a camera."""

    eye: Float[np.ndarray, "3"]
    target: Float[np.ndarray, "3"]
    fov: float
    """Field of view along the longer side, in radians."""
    roll: float = 0.0

    def focal(self, side: int) -> float:
        """Return the focal length in pixels of an image whose longer side has `side` pixels."""
        return 0.5 * side / np.tan(self.fov / 2)


@dataclass(frozen=True, kw_only=True)
class ProceduralScene:
    """Geometry, lighting and viewpoints of a scene."""

    assembly: Assembly
    lighting: SceneLighting
    viewpoints: tuple[Viewpoint, ...]
    kind: str


def daylight(rng: np.random.Generator, *, fog: float = 0.0) -> SceneLighting:
    """Return random sunlight, or the light of an overcast or evening sky."""
    direction = np.array([rng.uniform(-1, 1), rng.uniform(0.25, 1.5), rng.uniform(-1, 1)])
    sunny = rng.random() < 0.65
    zenith, horizon = rng.uniform(0.15, 0.9, 3), rng.uniform(0.5, 1, 3)
    if rng.random() < 0.6:
        zenith = np.array([0.25, 0.45, 0.8]) * rng.uniform(0.6, 1.15)
        horizon = np.array([0.75, 0.83, 0.92]) * rng.uniform(0.8, 1.08)
    ambient = rng.uniform(0.3, 0.55) if sunny else rng.uniform(0.6, 0.9)
    return SceneLighting(
        position=direction / np.linalg.norm(direction),
        is_near=False,
        strength=rng.uniform(0.5, 1.1) if sunny else 0.15,
        ambient=ambient,
        fog=fog,
        horizon=tuple(horizon.tolist()),
        zenith=tuple(zenith.tolist()),
        cloudiness=float(rng.choice([0, 0.5, 0.9])),
        softness=float(rng.choice([1.0, 2.0, 4.0])),
    )


def centered_lens(focal: float, width: int, height: int) -> Float[np.ndarray, "4"]:
    """Return fx, fy, cx, cy of a camera with square pixels and a centred principal point."""
    return np.array([focal, focal, width / 2, height / 2])

"""Surface materials and their random generation."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Material:
    """Appearance of a surface."""

    texture: int
    """Index in the texture bank."""
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gloss: float = 0.0
    """Strength of specular highlights and of the sky's reflection, 0 to 1."""
    shininess: float = 20.0
    """Exponent of the specular highlight."""
    emission: float = 0.0
    """Emitted light, added to the incoming light."""
    repeat: float = 1.0
    """Repetitions of the texture per unit of its coordinates."""


@dataclass(frozen=True, kw_only=True)
class MaterialSampler:
    """Draws random materials over a bank of `num_textures` textures."""

    rng: np.random.Generator
    num_textures: int

    def sample(
        self, *, base: tuple[float, float, float] | None = None, repeat: float = 1.0, emission: float = 0.0
    ) -> Material:
        """Draw a material, tinted towards `base` if one is given."""
        rng = self.rng
        tint = rng.uniform(0.55, 1.15, 3) if base is None else np.array(base) * rng.uniform(0.7, 1.3, 3) * 1.4
        gloss = float(rng.choice([0.0, 0.0, 0.1, 0.4, 0.8]))
        return Material(
            texture=int(rng.integers(self.num_textures)),
            tint=(float(tint[0]), float(tint[1]), float(tint[2])),
            gloss=gloss,
            shininess=float(rng.uniform(5, 80)),
            emission=emission,
            repeat=repeat * float(rng.choice([0.5, 1, 1, 2, 3])),
        )

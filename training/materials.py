"""Seeded materials."""

from dataclasses import dataclass

import numpy as np

from training.assembly import Material


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Gives seeded materials from a bank of textures to what is being made."""

    rng: np.random.Generator
    num_textures: int

    def material(
        self, *, base: tuple[float, float, float] | None = None, repeat: float = 1.0, glow: float = 0.0
    ) -> Material:
        """A seeded material, tinted towards a base colour if one is given."""
        rng = self.rng
        tint = rng.uniform(0.55, 1.15, 3) if base is None else np.array(base) * rng.uniform(0.7, 1.3, 3) * 1.4
        gloss = float(rng.choice([0.0, 0.0, 0.1, 0.4, 0.8]))
        return Material(
            texture=int(rng.integers(self.num_textures)),
            tint=(float(tint[0]), float(tint[1]), float(tint[2])),
            gloss=gloss,
            sharpness=float(rng.uniform(5, 80)),
            glow=glow,
            repeat=repeat * float(rng.choice([0.5, 1, 1, 2, 3])),
        )

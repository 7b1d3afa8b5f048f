"""Moving scenes of animated characters, such as the CC0 ones of KayKit, one for each clip."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from evaluation.assets import AssetError, find_assets
from evaluation.moving_scenes import Kinds, MovingScene, fitted_scene
from evaluation.skinned_assets import HINT, SkinnedAsset, has_clips, load_skinned
from img2world.core.rotation import rotation_about

USUAL_CLIPS = ("walking a", "cheer", "1h melee attack chop", "sit floor down")
"""Clips that are measured unless others are asked for."""

STILL = 1e-3
"""Way relative to the character's height that is no motion."""


def character_kinds(assets: Path) -> Kinds:
    """Return a kind of scene for each clip in the characters of a folder, a file or a manifest, as "knight cheer".

    Seeds turn the character. Files without clips, and clips in which nothing moves, are left out. Raises AssetError as
    `load_skinned` does, and when no clip is left.
    """
    kinds: Kinds = {}
    for path in filter(has_clips, find_assets(assets)):
        asset = load_skinned(path)
        kinds |= {
            f"{path.stem} {clip}".replace("_", " ").lower(): _scene_of(asset, clip)
            for clip in asset.clips
            if asset.duration(clip) > 0
        }
    if not kinds:
        raise AssetError(f"there is no character with a clip in which it moves: {assets}", hint=HINT)
    return kinds


def usual_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of the usual clips, or all if there are none of these."""
    kinds = tuple(kinds)
    return tuple(kind for kind in kinds if kind.endswith(USUAL_CLIPS)) or kinds


def _scene_of(asset: SkinnedAsset, clip: str) -> Callable[[np.random.Generator], MovingScene]:
    """Return the kind of scene that shows a clip."""

    def make(rng: np.random.Generator) -> MovingScene:
        turn = rotation_about(np.array([0.0, 1.0, 0.0]), rng.uniform(0, 2 * np.pi))
        seconds = asset.duration(clip)

        def place(time: float) -> np.ndarray:
            return asset.posed(clip, time * seconds)[0] @ turn.T

        places = np.stack([place(float(time)) for time in np.linspace(0, 1, 9)])
        moving = np.ptp(places, axis=0).max(1) > STILL * np.ptp(places[0, :, 1])
        return fitted_scene(asset.mesh_at(clip, 0.0), place, moving)

    return make

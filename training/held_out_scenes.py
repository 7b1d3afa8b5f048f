"""Write made places as posed photos: `python -m training.held_out_scenes OUT [--count N]`.

None was trained on, and `img2world eval orbit --scenes OUT` judges what is made of the first photo of each.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from img2world.core.cameras import concatenate_cameras
from img2world.core.views import Views
from training.held_out import SEED
from training.materials import Maker
from training.scene_kinds import PLACES
from training.sequences import Filming, Sequence, level_shot, still, turned_shot
from training.views import Studio

NUM_VIEWS = 21

HALF_ARC = np.radians(15.0)

KINDS = tuple(PLACES)


def arc_before(filming: Filming, kind: str, number: int, size: int) -> Sequence | None:
    """A place of a kind from an arc of 15 degrees to either side of the photo, which comes first.

    None where a camera would stand in something or see little.
    """
    rng = np.random.default_rng((filming.studio.seed, 6, KINDS.index(kind), number))
    place = PLACES[kind](Maker(rng=rng, num_textures=len(filming.studio.bank)), 1)
    world, light = still(place)
    found = level_shot(place, world, size, size)
    if found is None:
        return None
    first, unit = found
    phase = np.arange(1, NUM_VIEWS) * (2 * np.pi / NUM_VIEWS)
    others = [turned_shot(first, float(HALF_ARC * np.sin(angle)), 0.0, np.zeros(3)) for angle in phase]
    return filming.filmed(
        world, light, [first, *others], unit, rng, width=size, height=size, is_object=False, kind=kind
    )


def views_of(sequence: Sequence) -> Views:
    """A sequence as posed photos with depth."""
    frames = sequence.frames
    return Views(
        rgb=np.stack([frame.rgb for frame in frames]),
        cameras=concatenate_cameras([frame.camera for frame in frames]),
        confidence=np.ones(len(frames), np.float32),
        points=np.zeros((0, 3), np.float32),
        point_colors=np.zeros((0, 3), np.uint8),
        solver="given",
        depth=np.stack([np.where(frame.known, frame.depth, 0) for frame in frames]).astype(np.float32),
    )


def written(out: Path, count: int, size: int) -> Iterator[Path]:
    """The folders of `count` places, of all kinds in turn."""
    filming = Filming(Studio(SEED, textures=160))
    for kind in KINDS:
        number = 0
        for place in range(count // len(KINDS)):
            sequence = None
            while sequence is None:
                sequence = arc_before(filming, kind, number, size)
                number += 1
            folder = out / f"{kind}-{place:02d}"
            folder.mkdir(parents=True, exist_ok=True)
            views_of(sequence).save(folder)
            yield folder


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()
    for folder in written(options.out, options.count, options.size):
        print(folder)


if __name__ == "__main__":
    main()

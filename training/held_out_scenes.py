"""Write procedural scenes as posed photos: `python -m training.held_out_scenes OUT [--count N]`.

No network was trained on them; `python -m evaluation orbit --scenes OUT` evaluates videos made from their first photos.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from img2world.core.cameras import concatenate_cameras
from img2world.core.views import Views
from training.held_out import SEED, collect
from training.materials import MaterialSampler
from training.scene_kinds import SCENE_MAKERS
from training.sequences import FrameSequence, SequenceGenerator, orbit_viewpoint, prepare_scene
from training.views import ViewGenerator

NUM_VIEWS = 21

HALF_ARC = np.radians(15.0)

KINDS = tuple(SCENE_MAKERS)


def make_arc_sequence(
    generator: SequenceGenerator, kind: str, number: int, size: int, *, num_views: int = NUM_VIEWS
) -> FrameSequence | None:
    """Return a scene along an arc of 15 degrees to either side of the photo, which comes first.

    Return None where a camera is inside a surface or sees next to nothing.
    """
    rng = np.random.default_rng((generator.seed, 6, KINDS.index(kind), number))
    scene = SCENE_MAKERS[kind](MaterialSampler(rng=rng, num_textures=len(generator.views.bank)), 1)
    prepared = prepare_scene(scene, size, size)
    if prepared is None:
        return None
    mesh, lighting, first, unit = prepared
    azimuths = HALF_ARC * np.sin(np.arange(1, num_views) * (2 * np.pi / num_views))
    viewpoints = [first, *(orbit_viewpoint(first, float(azimuth), 0.0, np.zeros(3)) for azimuth in azimuths)]
    return generator.render_sequence(mesh, lighting, viewpoints, unit, rng, width=size, height=size, kind=kind)


def views_from_sequence(sequence: FrameSequence) -> Views:
    """Return a sequence as posed photos with depth."""
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


def write_scenes(out: Path, count: int, size: int) -> Iterator[Path]:
    """Write `count` scenes, as many of each kind, and yield their folders."""
    generator = SequenceGenerator(ViewGenerator(SEED, textures=160))
    for kind in KINDS:
        sequences = collect(
            lambda number, kind=kind: make_arc_sequence(generator, kind, number, size), count // len(KINDS)
        )
        for i, sequence in enumerate(sequences):
            folder = out / f"{kind}-{i:02d}"
            folder.mkdir(parents=True, exist_ok=True)
            views_from_sequence(sequence).save(folder)
            yield folder


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=24, help="number of scenes, the same number of each kind")
    parser.add_argument("--size", type=int, default=256, help="pixels along each side")
    options = parser.parse_args()
    for folder in write_scenes(options.out, options.count, options.size):
        print(folder)


if __name__ == "__main__":
    main()

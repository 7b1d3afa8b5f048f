"""Clips of a room and of an object, and the faults that can be put into them."""

from collections.abc import Callable

import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere, orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.frames import Frames
from img2world.doctor.transitions import Clip, Transition, compare_frames, downscale
from img2world.video.synthetic import SyntheticVideo

SIZE, COUNT = 128, 18


def make_frames(rgb: np.ndarray) -> Frames:
    return Frames(rgb=np.ascontiguousarray(rgb), times=np.arange(len(rgb)) / 16)


def render_clip(poses: np.ndarray, kind: str, *, seed: int = 0, fov: float = 0.9) -> Frames:
    cameras = Cameras(
        world_from_cam=poses.astype(np.float32),
        intrinsics=np.repeat(intrinsics_from_fov(fov, SIZE, SIZE)[None], len(poses), 0),
        width=SIZE,
        height=SIZE,
    )
    return make_frames(SyntheticVideo(kind=kind).generate(None, cameras, seed=seed).rgb)


@pytest.fixture(scope="session")
def frames_of() -> Callable[[np.ndarray], Frames]:
    return make_frames


@pytest.fixture(scope="session")
def render() -> Callable[..., Frames]:
    return render_clip


@pytest.fixture(scope="session")
def sideways() -> np.ndarray:
    """Poses of a camera that moves around a room."""
    return on_sphere(np.linspace(-0.45, 0.45, COUNT), np.full(COUNT, 0.2))


@pytest.fixture(scope="session")
def room(sideways) -> Frames:
    return render_clip(sideways, "room")


@pytest.fixture(scope="session")
def thing() -> Frames:
    """An orbit around an object on white."""
    return render_clip(orbit(COUNT, elevation=0.2), "object", fov=0.7)


@pytest.fixture(scope="session")
def compared() -> Callable[[np.ndarray], tuple[Clip, list[Transition]]]:
    """Downscales a clip and compares its neighbouring frames."""

    def compare(rgb: np.ndarray) -> tuple[Clip, list[Transition]]:
        clip = downscale(make_frames(rgb))
        return clip, [compare_frames(clip, i, i + 1) for i in range(len(clip) - 1)]

    return compare

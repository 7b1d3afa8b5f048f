"""Small scenes and cameras in general position."""

import numpy as np
import pytest
import torch

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.rotation import rotation_about
from img2world.render.splats import Splats


def make_camera(width: int, height: int) -> Cameras:
    """Return a rotated camera away from the origin, with unequal focal lengths and an off-centre principal point."""
    intrinsics = intrinsics_from_fov(1.0, width, height)
    intrinsics[1, 1] *= 1.05
    intrinsics[:2, 2] += (0.07 * width, -0.05 * height)
    world_from_cam = np.eye(4, dtype=np.float32)
    world_from_cam[:3, :3] = rotation_about(np.array([0.3, 1.0, 0.2]), 0.2)
    world_from_cam[:3, 3] = (0.3, -0.2, 0.1)
    return Cameras(world_from_cam=world_from_cam[None], intrinsics=intrinsics[None], width=width, height=height)


def make_splats(count: int, *, bases: int = 1, dtype: torch.dtype = torch.float32, seed: int = 0) -> Splats:
    """Return a cloud in front of the camera, with the same float32 values whatever the type."""
    rng = np.random.default_rng(seed)
    arrays = {
        "means": rng.normal(size=(count, 3)) * 0.8 + (0, 0, 3),
        "quats": rng.normal(size=(count, 4)),
        "log_scales": rng.normal(size=(count, 3)) * 0.5 - 2,
        "logit_opacities": rng.normal(size=count) * 1.5,
        "sh": rng.normal(size=(count, bases, 3)) * 0.5,
    }
    tensors = {name: torch.tensor(array.astype(np.float32)).to(dtype) for name, array in arrays.items()}
    return Splats(**{name: tensor.requires_grad_() for name, tensor in tensors.items()})


@pytest.fixture(name="make_camera")
def make_camera_fixture():
    return make_camera


@pytest.fixture(name="make_splats")
def make_splats_fixture():
    return make_splats

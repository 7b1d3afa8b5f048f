import numpy as np
import torch

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.render import rasterize
from img2world.render.splats import Splats, camera_tensors, gaussian_normals


def disc(quat):
    """Return one large, flat, opaque disc two units in front of the camera, thin along its own z."""
    return Splats(
        means=torch.tensor([[0.0, 0, 2]], dtype=torch.float64),
        quats=torch.tensor([quat], dtype=torch.float64, requires_grad=True),
        log_scales=torch.log(torch.tensor([[0.5, 0.5, 0.001]], dtype=torch.float64)),
        logit_opacities=torch.tensor([9.0], dtype=torch.float64),
        sh=torch.zeros(1, 1, 3, dtype=torch.float64),
    )


def camera(turn=0.0):
    """Return a camera at the origin, rotated about y."""
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    return Cameras(world_from_cam=pose[None], intrinsics=intrinsics_from_fov(1.2, 33, 33)[None], width=33, height=33)


def test_the_normal_of_a_disc_is_drawn_towards_the_camera():
    view = camera_tensors(camera(), dtype=torch.float64)
    for quat in ([1.0, 0, 0, 0], [0.0, 1, 0, 0]):  # Upright and upside down: the same disc.
        splats = disc(quat)
        drawn = rasterize(splats, view, colors=gaussian_normals(splats, view), backend="reference").rgb
        torch.testing.assert_close(
            drawn[16, 16].detach(), 0.999 * torch.tensor([0, 0, -1.0]).double(), atol=1e-3, rtol=0
        )


def test_normals_follow_the_rotation_of_the_disc_in_camera_space():
    half = np.radians(30) / 2
    splats = disc([np.cos(half), 0, np.sin(half), 0])  # Its normal is rotated by 30 degrees about y.
    in_world = -torch.tensor([np.sin(np.radians(30)), 0, np.cos(np.radians(30))])
    straight = gaussian_normals(splats, camera_tensors(camera(), dtype=torch.float64))
    torch.testing.assert_close(straight[0].detach(), in_world.double())
    turned = gaussian_normals(splats, camera_tensors(camera(np.radians(30)), dtype=torch.float64))
    torch.testing.assert_close(turned[0].detach(), torch.tensor([0, 0, -1.0]).double(), atol=1e-6, rtol=0)


def test_the_gradient_of_normals_matches_finite_differences():
    view = camera_tensors(camera(), dtype=torch.float64)
    splats = disc([0.9, 0.1, 0.3, -0.2])

    def normals(quats):
        return gaussian_normals(Splats(**{**vars(splats), "quats": quats}), view)

    assert torch.autograd.gradcheck(normals, splats.quats)

"""Inputs and outputs of rasterizers: torch tensors on one device."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from img2world.core.cameras import Cameras
from img2world.core.errors import Img2WorldError
from img2world.core.gaussians import Gaussians
from img2world.core.sh import sh_degree


@dataclass(frozen=True, kw_only=True)
class Splats:
    """Gaussians as tensors, in the same stored form as `core.Gaussians`."""

    means: Float[Tensor, "N 3"]
    quats: Float[Tensor, "N 4"]
    """wxyz; need not have unit length."""
    log_scales: Float[Tensor, "N 3"]
    logit_opacities: Float[Tensor, "N"]
    sh: Float[Tensor, "N K 3"]

    def __post_init__(self) -> None:
        count, bases = len(self.means), self.sh.shape[1] if self.sh.ndim == 3 else 0
        shapes = {"means": (3,), "quats": (4,), "log_scales": (3,), "logit_opacities": (), "sh": (bases, 3)}
        for name, rest in shapes.items():
            if tuple(getattr(self, name).shape) != (count, *rest):
                raise ValueError(f"{name} has shape {tuple(getattr(self, name).shape)}, needs {(count, *rest)}")
        sh_degree(bases)
        if len(kinds := {(tensor.dtype, tensor.device) for tensor in self.tensors()}) > 1:
            raise TypeError(f"the tensors differ in type or device: {sorted(map(str, kinds))}")

    def __len__(self) -> int:
        return len(self.means)

    def tensors(self) -> tuple[Tensor, ...]:
        """Return means, quats, log_scales, logit_opacities, sh."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def check_finite(self) -> None:
        """Raise Img2WorldError naming the first value that is NaN or infinite."""
        for field, tensor in zip(fields(self), self.tensors(), strict=True):
            if not torch.isfinite(tensor).all():
                raise not_finite_error(field.name, tensor)


@dataclass(frozen=True, kw_only=True)
class CameraTensors:
    """One camera whose pose and intrinsics may be optimized: images are differentiable with respect to both."""

    cam_from_world: Float[Tensor, "4 4"]
    """Its upper three rows are used."""
    intrinsics: Float[Tensor, "3 3"]
    width: int
    height: int

    @property
    def center_in_world(self) -> Float[Tensor, "3"]:
        """The camera's position, provided that its pose is rigid."""
        return -self.cam_from_world[:3, :3].T @ self.cam_from_world[:3, 3]


def camera_tensors(
    camera: Cameras, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> CameraTensors:
    """Return the one camera as tensors."""
    return CameraTensors(
        cam_from_world=torch.tensor(camera.cam_from_world[0], dtype=dtype, device=device),
        intrinsics=torch.tensor(camera.intrinsics[0], dtype=dtype, device=device),
        width=camera.width,
        height=camera.height,
    )


def matrices_from_quats(quats: Float[Tensor, "*N 4"]) -> Float[Tensor, "*N 3 3"]:
    """Return the rotation matrices of wxyz quaternions of any length above zero."""
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def gaussian_normals(splats: Splats, camera: CameraTensors) -> Float[Tensor, "N 3"]:
    """Return the unit directions in which the Gaussians are thinnest, in camera space, pointing towards the camera.

    Drawn as `colors`, they make a normal map, differentiable with respect to the quaternions.
    """
    thinnest = splats.log_scales.argmin(1)
    rows = torch.arange(len(splats), device=thinnest.device)
    in_world = matrices_from_quats(splats.quats)[rows, :, thinnest]  # [N, 3]
    to_camera = camera.center_in_world - splats.means
    facing = torch.where((in_world * to_camera).sum(1, keepdim=True) < 0, -in_world, in_world)
    return facing @ camera.cam_from_world[:3, :3].T


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """The image of Gaussians in one camera."""

    rgb: Float[Tensor, "H W 3"]
    """sRGB including the background, not clipped."""
    alpha: Float[Tensor, "H W"]
    depth: Float[Tensor, "H W"]
    """Alpha-weighted mean of camera z, divided by alpha; 0 where alpha is 0."""
    screen_means: Float[Tensor, "N 2"]
    """Projected centres in pixels. After `backward()` its `.grad` holds the gradient with respect to
    them, which densification needs; no other use of it is differentiable in every backend."""
    radii: Int32[Tensor, "N"]
    """Half the larger side in pixels of the box where alpha >= 1/255, rounded up; 0 if not drawn."""


def not_finite_error(name: str, tensor: Tensor) -> Img2WorldError:
    """Return the error that names the first NaN or infinite value of a tensor."""
    index = tuple(torch.nonzero(~torch.isfinite(tensor))[0].tolist())
    return Img2WorldError(
        f"{name} holds {tensor[index].item()} at index {index}, needs finite numbers",
        hint="lower the learning rates, or check the step that made the Gaussians",
    )


def splats_from_gaussians(gaussians: Gaussians, *, device: str = "cpu") -> Splats:
    """Copy Gaussians into tensors."""
    # Copied by NumPy: torch would wake a pool of threads, which then spin on the cores that the rasterizer is to use.
    arrays = {field.name: getattr(gaussians, field.name).copy() for field in fields(Gaussians)}
    return Splats(**{name: torch.from_numpy(array).to(device) for name, array in arrays.items()})


def gaussians_from_splats(splats: Splats) -> Gaussians:
    """Copy tensors into NumPy arrays, without their graph."""
    arrays = zip(fields(Splats), splats.tensors(), strict=True)
    return Gaussians(**{field.name: tensor.detach().float().cpu().numpy().copy() for field, tensor in arrays})

"""A reconstructed world: Gaussians, their motion, and the cameras they were made from."""

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from img2world.core.cameras import Cameras, cameras_from_transforms, transforms_from_cameras
from img2world.core.errors import RunFolderError
from img2world.core.gaussians import Gaussians
from img2world.core.motion import Motion
from img2world.core.supported_region import SupportedRegion

MIN_OPACITY = 1e-6
"""Opacity of a Gaussian that is not there: its logit must be finite."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Gaussians with the cameras they were trained on."""

    gaussians: Gaussians
    cameras: Cameras
    """The cameras of the views, from which the scene is known to look right."""
    background: tuple[float, float, float]
    """The sRGB colour behind the Gaussians, 0 to 1."""
    is_object: bool
    """True for an object to look at from around, False for a scene to stand in."""
    motion: Motion | None = None
    asset_from_world: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    """Similarity from the world to the frame of exported files, once the scene is measured; not saved."""
    supported: SupportedRegion | None = None
    """Region in which the scene may be looked at, once it is measured; not saved."""

    @property
    def start(self) -> float:
        """Seconds of the first key, 0 for a scene that stands still."""
        return 0.0 if self.motion is None else float(self.motion.key_times[0])

    def at(self, time: float) -> Gaussians:
        """Return the Gaussians at a time in seconds."""
        return gaussians_at(self.gaussians, self.motion, time)

    def save(self, path: Path) -> None:
        """Write one safetensors file, the same bytes for the same scene."""
        arrays = {field.name: getattr(self.gaussians, field.name) for field in fields(Gaussians)}
        if self.motion is not None:
            motion = {f"motion.{field.name}": getattr(self.motion, field.name) for field in fields(Motion)}
            arrays |= {name: array for name, array in motion.items() if array is not None}
        names = [""] * len(self.cameras)
        metadata = {"background": self.background, "is_object": self.is_object}
        metadata["cameras"] = transforms_from_cameras(self.cameras, names)
        # A single metadata key, since safetensors does not fix the order of several.
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}, path, {"scene": json.dumps(metadata)}
        )

    @classmethod
    def load(cls, path: Path) -> "Scene":
        """Read a scene that `save` wrote. Raises RunFolderError when the file is not a scene."""
        try:
            with safe_open(path, "numpy") as file:
                metadata = json.loads(file.metadata()["scene"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise RunFolderError(
                f"the scene file cannot be read: {error}", hint="redo it with `img2world splat RUN --fresh`"
            ) from error
        motion = {name.removeprefix("motion."): array for name, array in arrays.items() if name.startswith("motion.")}
        return cls(
            gaussians=Gaussians(**{field.name: arrays[field.name] for field in fields(Gaussians)}),
            cameras=cameras_from_transforms(metadata["cameras"]),
            background=tuple(metadata["background"]),
            is_object=metadata["is_object"],
            motion=Motion(**motion) if motion else None,
        )


def gaussians_at(gaussians: Gaussians, motion: Motion | None, time: float) -> Gaussians:
    """Return Gaussians where their motion has brought them at a time in seconds, as opaque as they are then."""
    if motion is None:
        return gaussians
    means, quats = motion.move(gaussians.means, gaussians.quats, time)
    moved = replace(gaussians, means=means, quats=quats)
    if motion.windows is None:
        return moved
    opacities = (gaussians.opacities * motion.presence(time)).clip(MIN_OPACITY, 1 - MIN_OPACITY)
    return replace(moved, logit_opacities=np.log(opacities / (1 - opacities)).astype(np.float32))

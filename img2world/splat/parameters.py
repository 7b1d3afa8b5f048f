"""The tensors that are trained, with their Adam state; rows can be added and removed in between."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Bool, Int32
from torch import Tensor

from img2world.core.gaussians import Gaussians
from img2world.core.sh import sh_degree
from img2world.render.adam import adam_step
from img2world.render.splats import Splats, gaussians_from_splats

SPLAT_FIELDS = tuple(Splats.__dataclass_fields__)

Rows = dict[str, Tensor]
"""Tensors by name with one row for each Gaussian: means, quats, log_scales, logit_opacities and sh."""


class Parameters:
    """Gaussians under training."""

    def __init__(self, gaussians: Gaussians, extra: Mapping[str, Tensor] = {}, *, device: str = "cpu") -> None:
        """Take Gaussians and further rows of theirs, of which those of floating point are trained, too."""
        self.values: Rows = _rows(gaussians, extra, device)
        for value in self.values.values():
            value.requires_grad_(value.is_floating_point())
        # Running means of the gradients and of their squares.
        self._moments = {name: (torch.zeros_like(v), torch.zeros_like(v)) for name, v in self.values.items()}
        self._steps = 0

    def __len__(self) -> int:
        return len(self.values["means"])

    @property
    def sh_degree(self) -> int:
        """Degree 0 to 3 of the colours."""
        return sh_degree(self.values["sh"].shape[1])

    def splats(self) -> Splats:
        """Return the Gaussians to rasterize, differentiable back to these parameters."""
        return Splats(**{name: self.values[name] for name in SPLAT_FIELDS})

    def gaussians(self) -> Gaussians:
        """Return a copy as plain arrays, with unit quaternions."""
        gaussians = gaussians_from_splats(self.splats())
        gaussians.quats[:] /= (gaussians.quats**2).sum(1, keepdims=True) ** 0.5
        return gaussians

    def step(self, rates: Mapping[str, float], radii: Int32[Tensor, "N"] | None = None) -> None:
        """Take one step of Adam down the gradients that `backward` left, and clear them.

        `rates` are learning rates by name; `sh` has two, "dc" for the constant colour and "rest". With the radii of a
        rendering, only the Gaussians that it shows change.
        """
        self._steps += 1
        for name, value in self.values.items():
            if value.grad is not None:
                columns = np.full(value.shape[1:].numel(), rates["rest" if name == "sh" else name], np.float32)
                if name == "sh":
                    columns[:3] = rates["dc"]
                moments = self._moments[name]
                adam_step(value, value.grad, *moments, radii=radii, step=self._steps, rates=columns)
                value.grad = None

    def raise_sh_degree(self) -> None:
        """Add a band to the colours, zero at first."""
        zeros = torch.zeros(len(self), 2 * self.sh_degree + 3, 3)
        self._replace("sh", lambda old: torch.cat([old, zeros], 1), lambda old: torch.cat([old, zeros], 1))

    def edit(self, keep: Bool[Tensor, "N"], added: Rows) -> None:
        """Remove the rows that are not kept, then append new ones, whose Adam state is zero."""
        for name, rows in added.items():
            self._replace(
                name,
                lambda old, rows=rows: torch.cat([old[keep], rows]),
                lambda old, rows=rows: torch.cat([old[keep], torch.zeros_like(rows)]),
            )

    def append(self, gaussians: Gaussians, extra: Mapping[str, Tensor], max_gaussians: int) -> None:
        """Append Gaussians with their further rows; where there are too many, the faintest of the others make room."""
        excess = max(len(self) + len(gaussians) - max_gaussians, 0)
        opacities = self.values["logit_opacities"].detach()
        keep = torch.ones_like(opacities, dtype=torch.bool)
        keep[torch.argsort(opacities, stable=True)[:excess]] = False
        self.edit(keep, _rows(gaussians, extra, opacities.device))

    def _replace(self, name: str, change: Callable[[Tensor], Tensor], change_state: Callable[[Tensor], Tensor]) -> None:
        """Replace a tensor and its moments by changed ones."""
        changed = change(self.values[name].detach())
        self.values[name] = changed.requires_grad_(changed.is_floating_point())
        mean, square = self._moments[name]
        self._moments[name] = (change_state(mean), change_state(square))


def _rows(gaussians: Gaussians, extra: Mapping[str, Tensor], device: torch.device | str) -> Rows:
    """Return copies of Gaussians and of further rows of theirs on a device."""
    rows = {name: torch.tensor(getattr(gaussians, name), device=device) for name in SPLAT_FIELDS}
    return rows | {name: value.clone().to(device) for name, value in extra.items()}

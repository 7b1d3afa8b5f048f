"""Gaussians under training on the CPU: our rasterizer, Adam and adaptive density control."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from torch import Tensor

from img2world.core.gaussians import Gaussians
from img2world.render import Color, rasterize
from img2world.render.splats import CameraTensors, Rendering
from img2world.splat.densify import MIN_OPACITY, Densification, ScreenGradients, densify
from img2world.splat.limits import limit_scales
from img2world.splat.parameters import Parameters


class CpuModel:
    """Gaussians, with the state of Adam and of densification."""

    device = "cpu"

    def __init__(self, start: Gaussians, densification: Densification, *, rasterizer: str, background: Color) -> None:
        self.scene_depth, self.background = densification.scene_depth, background
        self._densification, self._rasterizer, self._step = densification, rasterizer, 0
        self._parameters = Parameters(start)
        self._gradients = ScreenGradients(len(start))
        self._last: tuple[CameraTensors, Rendering] | None = None

    def __len__(self) -> int:
        return len(self._parameters)

    @property
    def sh_degree(self) -> int:
        """Degree 0 to 3 of the colours so far."""
        return self._parameters.sh_degree

    def raise_sh_degree(self) -> None:
        """Add a band to the colours, zero at first."""
        self._parameters.raise_sh_degree()

    def rasterize(self, camera: CameraTensors) -> Rendering:
        """Render what one camera sees. Raises Img2WorldError when a parameter is not finite."""
        splats = self._parameters.splats()
        rendering = rasterize(splats, camera, background=self.background, backend=self._rasterizer)
        self._last = camera, rendering
        return rendering

    def step(self, loss: Float[Tensor, ""], rates: dict[str, float], rng: np.random.Generator) -> None:
        """Descend the loss of the last rendering at the given learning rates, and densify when it is time."""
        assert self._last is not None  # The loss is that of a rendering.
        camera, rendering = self._last
        loss.backward()
        self._gradients.accumulate(rendering)
        self._parameters.step(rates, rendering.radii)
        values = self._parameters.values
        limit_scales(values["log_scales"], values["means"], camera.center_in_world, rendering.radii > 0)
        if self._densification.is_due(self._step):
            densify(self._parameters, self._gradients.mean(), self._densification, rng)
            self._gradients = ScreenGradients(len(self))
        self._step += 1

    def stop_growing(self) -> None:
        """Add and remove no more Gaussians."""
        self._densification = replace(self._densification, steps=0)

    def gaussians(self) -> Gaussians:
        """Return a copy of the Gaussians that are visible at all."""
        gaussians = self._parameters.gaussians()
        return gaussians.select(gaussians.opacities >= MIN_OPACITY)

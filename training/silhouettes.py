"""Differentiable silhouettes of predicted solids from other sides, where most of the errors of an orbit show."""

import numpy as np
import torch
from torch import Tensor

from img2world.layered.object_layers import OBJECT_FOV

NUM_SIDES = 4
"""Number of sides from which each object is seen."""

SAMPLES, SPACING = 8, 2
"""Points on each line of sight between front and back, and the step between the rows and columns that are used."""

CELLS, CELL_SIZE = 56, 1 / 40
"""Cells of a silhouette along each side, and the side of a cell relative to the frame's width."""

OPACITY = 3.0
"""Optical depth of one point: a cell with one point is 95 % covered."""

PERSPECTIVE = 2 * float(np.tan(OBJECT_FOV / 2))
"""Growth of the frame's width per width of depth, with the lens assumed for objects."""

MEAN_ELEVATION_DEG, ELEVATION_RANGE_DEG, ORBIT_AMPLITUDE_DEG = 14.0, 12.0, 20.0
"""Elevation of photos of objects and its variation, and the amplitude by which an orbit rises and falls."""

GOLDEN, PLASTIC, PLASTIC_SQUARED = 0.6180339887, 0.7548776662, 0.5698402910
"""Multiples of these numbers modulo 1 form a low-discrepancy sequence (Roberts 2018, on quasirandom sequences)."""


def silhouette_error(near: Tensor, far: Tensor, true_near: Tensor, true_far: Tensor, known: Tensor) -> Tensor:
    """Return the squared difference of silhouettes relative to the true ones, [B], from depths [B, S, S].

    Depths are relative to the frame's width and 0 at the solid's centre. Only points near an edge of the silhouette
    have a gradient, so the error refines solids that are about right and cannot find those far off.
    """
    truth = render_silhouettes(true_near, true_far, known).detach()
    difference = (render_silhouettes(near, far, known) - truth).square().sum(-1)
    return (difference / (truth.sum(-1) + 4)).mean(-1)


def render_silhouettes(near: Tensor, far: Tensor, known: Tensor) -> Tensor:
    """Return the coverage, 0 to 1, of cells [B, NUM_SIDES, CELLS²] by the solid between two depths [B, S, S].

    Points along each line of sight where `known` is true are splatted bilinearly to the four cells around them.
    """
    count, size = known.shape[:2]
    index, row, column = known[:, ::SPACING, ::SPACING].nonzero(as_tuple=True)
    row, column = SPACING * row, SPACING * column
    first, last = near[index, row, column][:, None], far[index, row, column][:, None]
    z = first + (torch.arange(SAMPLES) + 0.5) / SAMPLES * (last - first)  # [P, SAMPLES]
    scale = 1 + PERSPECTIVE * z
    x = ((column + 0.5) / size - 0.5)[:, None] * scale
    y = ((row + 0.5) / size - 0.5)[:, None] * scale
    rotations = side_rotations(count).to(z.dtype)[index]
    u, v = torch.einsum("pvij,jps->ivps", rotations, torch.stack([x, y, z])) / CELL_SIZE + (CELLS - 1) / 2
    left, top = (values.detach().floor().clamp(0, CELLS - 2) for values in (u, v))
    right, down = (u - left).clamp(0, 1), (v - top).clamp(0, 1)
    image = index * NUM_SIDES + torch.arange(NUM_SIDES)[:, None]  # [VIEWS, P]
    corner = (image[..., None] * CELLS + top.long()) * CELLS + left.long()
    points = z.new_zeros(count * NUM_SIDES * CELLS**2)
    for offset, fraction in (
        (0, (1 - right) * (1 - down)),
        (1, right * (1 - down)),
        (CELLS, (1 - right) * down),
        (CELLS + 1, right * down),
    ):
        points = points.index_add(0, (corner + offset).flatten(), fraction.flatten())
    return 1 - torch.exp(-OPACITY * points.view(count, NUM_SIDES, -1))


def side_rotations(count: int) -> Tensor:
    """Return the first two rows of world rotations [count, NUM_SIDES, 2, 3], different for each object but fixed.

    They are those of orbits around an object photographed from above, about an axis that leans towards the camera.
    """
    number = torch.arange(count * NUM_SIDES, dtype=torch.float64)
    azimuth, elevation, raised = (2 * (number * step).frac() - 1 for step in (GOLDEN, PLASTIC, PLASTIC_SQUARED))
    azimuth = np.radians(90) + np.radians(72) * azimuth
    elevation = np.radians(MEAN_ELEVATION_DEG) + np.radians(ELEVATION_RANGE_DEG) * elevation
    raised = elevation + np.radians(ORBIT_AMPLITUDE_DEG) * raised
    one, zero = torch.ones_like(azimuth), torch.zeros_like(azimuth)

    def rotation_x(angle: Tensor) -> Tensor:
        c, s = angle.cos(), angle.sin()
        return torch.stack([one, zero, zero, zero, c, -s, zero, s, c], -1).view(-1, 3, 3)

    c, s = azimuth.cos(), azimuth.sin()
    random_rotation_y = torch.stack([c, zero, s, zero, one, zero, -s, zero, c], -1).view(-1, 3, 3)
    return (rotation_x(raised) @ random_rotation_y @ rotation_x(-elevation))[:, :2].view(count, NUM_SIDES, 2, 3)

"""Outlines of guessed solids from other sides, differentiable: most of what is wrong in an orbit lies between them."""

import numpy as np
import torch
from torch import Tensor

from img2world.layered.object_layers import OBJECT_FOV

VIEWS = 4
"""Sides that each object is seen from."""

SAMPLES, SPACING = 8, 2
"""Points on each line of sight between front and back, and every how many rows and columns there is one."""

CELLS, CELL = 56, 1 / 40
"""Cells of an outline along each side, and the side of a cell relative to the frame's width."""

OPACITY = 3.0
"""A cell with one point in it is 95 % covered."""

PERSPECTIVE = 2 * float(np.tan(OBJECT_FOV / 2))
"""How much wider the frame is, one of its widths farther away, by the lens that objects are taken to be seen by."""

LEAN_DEG, LEANS_BY_DEG, RISES_BY_DEG = 14.0, 12.0, 20.0
"""How far above an object its photo is taken, and how much that varies; how far an orbit rises and sinks from there."""

GOLDEN, PLASTIC, PLASTIC_SQUARED = 0.6180339887, 0.7548776662, 0.5698402910
"""Multiples of these, without their whole parts, are spread evenly (Roberts 2018, on quasirandom sequences)."""


def outline_error(near: Tensor, far: Tensor, true_near: Tensor, true_far: Tensor, known: Tensor) -> Tensor:
    """Squared difference of the solids' outlines in shares of the true ones, [B], from depths [B, S, S].

    Depths are relative to the frame's width and 0 in the solid's middle. The error has a slope where they decide where
    an outline ends, so it improves what is about right and does not find what is quite elsewhere.
    """
    truth = outlines(true_near, true_far, known).detach()
    apart = (outlines(near, far, known) - truth).square().sum(-1)
    return (apart / (truth.sum(-1) + 4)).mean(-1)


def outlines(near: Tensor, far: Tensor, known: Tensor) -> Tensor:
    """Cover, 0 to 1, of the cells [B, VIEWS, CELLS²] by what is between two depths [B, S, S] where `known`.

    Points along each line of sight are splatted to the four cells around them.
    """
    count, size = known.shape[:2]
    picture, row, column = known[:, ::SPACING, ::SPACING].nonzero(as_tuple=True)
    row, column = SPACING * row, SPACING * column
    first, last = near[picture, row, column][:, None], far[picture, row, column][:, None]
    z = first + (torch.arange(SAMPLES) + 0.5) / SAMPLES * (last - first)  # [P, SAMPLES]
    wider = 1 + PERSPECTIVE * z
    x = ((column + 0.5) / size - 0.5)[:, None] * wider
    y = ((row + 0.5) / size - 0.5)[:, None] * wider
    turns = side_views(count).to(z.dtype)[picture]
    u, v = torch.einsum("pvij,jps->ivps", turns, torch.stack([x, y, z])) / CELL + (CELLS - 1) / 2
    left, top = (values.detach().floor().clamp(0, CELLS - 2) for values in (u, v))
    right, down = (u - left).clamp(0, 1), (v - top).clamp(0, 1)
    image = picture * VIEWS + torch.arange(VIEWS)[:, None]  # [VIEWS, P]
    corner = (image[..., None] * CELLS + top.long()) * CELLS + left.long()
    points = z.new_zeros(count * VIEWS * CELLS**2)
    for offset, share in (
        (0, (1 - right) * (1 - down)),
        (1, right * (1 - down)),
        (CELLS, (1 - right) * down),
        (CELLS + 1, right * down),
    ):
        points = points.index_add(0, (corner + offset).flatten(), share.flatten())
    return 1 - torch.exp(-OPACITY * points.view(count, VIEWS, -1))


def side_views(count: int) -> Tensor:
    """The first two rows of turns of the world, [count, VIEWS, 2, 3]: others for each object, always the same ones.

    They are those of orbits around what is photographed from above: about an axis that leans towards the camera.
    """
    number = torch.arange(count * VIEWS, dtype=torch.float64)
    turn, lean, rise = (2 * (number * step).frac() - 1 for step in (GOLDEN, PLASTIC, PLASTIC_SQUARED))
    turn = np.radians(90) + np.radians(72) * turn
    lean = np.radians(LEAN_DEG) + np.radians(LEANS_BY_DEG) * lean
    rise = lean + np.radians(RISES_BY_DEG) * rise
    one, zero = torch.ones_like(turn), torch.zeros_like(turn)

    def about_x(angle: Tensor) -> Tensor:
        c, s = angle.cos(), angle.sin()
        return torch.stack([one, zero, zero, zero, c, -s, zero, s, c], -1).view(-1, 3, 3)

    c, s = turn.cos(), turn.sin()
    about_y = torch.stack([c, zero, s, zero, one, zero, -s, zero, c], -1).view(-1, 3, 3)
    return (about_x(rise) @ about_y @ about_x(-lean))[:, :2].view(count, VIEWS, 2, 3)

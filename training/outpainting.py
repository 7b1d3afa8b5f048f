"""What there is to learn of what lies beside a picture: places drawn wider than the picture is."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from img2world.geometry.fill import fill_smooth
from img2world.geometry.nano_geo import DIRECTIONS, Channel, NanoGeo
from img2world.geometry.outpaint import soft_cover
from img2world.geometry.scene_world import MARGIN
from training import raster
from training.drawing import draw
from training.held_out import SEED
from training.photo import photographed
from training.place import Place
from training.stream import Batch, batch_of
from training.views import Studio, View

SHARE_OF_PERFECT = 0.6
"""Of the pictures: large photos, which become small before they are looked at, have few faults left."""


class WideStudio(Studio):
    """Makes views whose `rgb` is a picture with the colours at its border going on, and `hidden_rgb` the truth."""

    def place_views(self, rng: np.random.Generator, place: Place, *, width: int, height: int) -> list[View]:
        """The shots of a place, the picture being the middle of each."""
        world = place.composition.finished()
        margin = round(max(width, height) * MARGIN / (1 + 2 * MARGIN))
        views = []
        for shot in place.shots:
            focal = 0.5 * (max(width, height) - 2 * margin) / np.tan(shot.fov / 2)
            lens = np.array([focal, focal, width / 2, height / 2])
            drawn = draw(
                world, place.light, shot, lens, self.bank, rng, width=width, height=height, hidden=raster.OTHER_THING
            )
            depth = drawn.depth[drawn.known]
            if len(depth) > 0.05 * drawn.known.size and (depth < 0.25).mean() < 0.03:
                perfect, seen = bool(rng.random() < SHARE_OF_PERFECT), drawn.linear[margin:-margin, margin:-margin]
                wide = photographed(drawn.linear, rng, perfect=perfect, exposed_for=seen)
                views.append(wide_view(wide, margin, kind=place.kind))
        return views


def wide_view(wide: np.ndarray, margin: int, *, kind: str) -> View:
    """A picture [H, W, 3] of bytes as a view of which all but `margin` pixels at each side are given."""
    known = np.pad(np.ones((wide.shape[0] - 2 * margin, wide.shape[1] - 2 * margin), bool), margin)
    smooth = fill_smooth(wide.astype(np.float32), known)
    nothing = np.zeros(known.shape, np.float32)
    return View(
        rgb=np.round(smooth).astype(np.uint8),
        alpha=soft_cover(known),
        is_object=False,
        known=known,
        front=nothing,
        hidden_known=~known,
        hidden=nothing,
        hidden_rgb=wide,
        planes=np.zeros(DIRECTIONS + 1, np.float32),
        elevation=np.nan,
        kind=kind,
    )


def drawn_beside(maps: Tensor, batch: Batch) -> Tensor:
    """The network's pictures [B, 3, H, W], as `outpaint.outpainted` draws them when it is trusted wholly."""
    return batch.rgb + maps[:, Channel.RGB].float() / 2 * (1 - batch.inputs[:, 3:4])


def outpaint_loss(maps: Tensor, batch: Batch) -> Tensor:
    """Squared error beside the pictures: each counts by its logarithm, as decibels do, and as it is."""
    each = errors(drawn_beside(maps, batch), batch)
    return (each + 1e-3).log().mean() + 20 * each.mean()


def errors(drawn: Tensor, batch: Batch) -> Tensor:
    """Mean squared error beside each picture."""
    weight = batch.hidden_known.float()
    return ((drawn - batch.hidden_rgb).square().mean(1) * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)


def held_out_margins(count: int, *, textures: int = 160) -> tuple[View, ...]:
    """`count` views of other seeds and textures than any training's."""
    studio, number = WideStudio(SEED, textures=textures, objects=0), 0
    views: list[View] = []
    while len(views) < count:
        views += studio.views(number, count=1, width=96, height=96)
        number += 1
    return tuple(views[:count])


def outpaint_table(network: NanoGeo, views: Sequence[View], *, batch: int = 20) -> dict[str, float]:
    """Mean PSNR in dB beside the pictures: drawn, and with the colours at their borders going on (`_before`)."""
    rows: dict[str, list[float]] = {"beside": [], "beside_before": []}
    for start in range(0, len(views), batch):
        given = batch_of(views[start : start + batch])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            maps, _ = network(given.inputs.contiguous(memory_format=torch.channels_last))
        for name, drawn in (("beside", drawn_beside(maps, given).clamp(0, 1)), ("beside_before", given.rgb)):
            rows[name] += (-10 * errors(drawn, given).clamp(min=1e-6).log10()).tolist()
    return {name: round(float(np.mean(values)), 3) for name, values in rows.items()} | {
        "gain": round(float(np.mean(rows["beside"]) - np.mean(rows["beside_before"])), 3)
    }

"""What there is to learn of what a picture does not show: places drawn wider than it is, and without some things."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from img2world.depth.network import DIRECTIONS, Channel, NanoGeo
from img2world.layered.inpaint import fill_smooth
from img2world.layered.outpaint import soft_cover
from img2world.layered.scene_layers import MARGIN
from training import raster
from training.assembly import World
from training.renderer import FAR, Drawn, cam_from_place, draw, lamp_of
from training.held_out import SEED
from training.camera_effects import photographed
from training.scene import Place, Shot
from training.stream import Batch, batch_of
from training.views import Studio, View

SHARE_OF_PERFECT = 0.6
"""Of the pictures: large photos, which become small before they are looked at, have few faults left."""

SHARE_OF_CLEARED = 0.7
"""Of the pictures, from which things are taken, so that what stands behind them is to be told."""

LARGEST = 0.6
"""Things longer than this share of the place, as its ground and its walls are, stay."""

MOST = 0.5
"""Share of the picture that what is taken may hide."""

LEAST_GIVEN = 0.04
"""Share of the view that is given, at least."""

ENOUGH = 30
"""Pixels that are asked for where an error is to count."""

SHARE_OF_CUT, NEARER = 0.4, (0.05, 0.8)
"""Of the pictures, those without what is near, and how much of them that is: a layer is not told of nearer ones."""


class WideStudio(Studio):
    """Makes views whose `rgb` is a picture with its colours going on where it is not given, `hidden_rgb` the truth.

    Not given is what lies beside it, and what was hidden by things that the truth lacks.
    """

    def place_views(self, rng: np.random.Generator, place: Place, *, width: int, height: int) -> list[View]:
        """The shots of a place, the picture being the middle of each."""
        world = place.composition.finished()
        views = [self.wide_view(rng, world, place, shot, width=width, height=height) for shot in place.shots]
        return [view for view in views if view is not None]

    def wide_view(
        self, rng: np.random.Generator, world: World, place: Place, shot: Shot, *, width: int, height: int
    ) -> View | None:
        """One shot, unless it is right before something."""
        margin = margin_of(width, height)
        focal = 0.5 * (max(width, height) - 2 * margin) / np.tan(shot.fov / 2)
        lamp, clouds = lamp_of(world, place.light, shot), rng.integers(2**31)

        def drawn(shown: World) -> Drawn:
            # What was taken away keeps its shadow, as what is hidden by a thing is in it.
            return draw(
                shown, place.light, shot, np.array([focal, focal, width / 2, height / 2]), self.bank,
                np.random.default_rng(clouds), width=width, height=height, hidden=raster.NONE, lamp=lamp,
            )  # fmt: skip

        whole = drawn(world)
        depth = whole.depth[whole.known]
        if len(depth) <= 0.05 * whole.known.size or (depth < 0.25).mean() >= 0.03:
            return None
        truth, taken = whole, np.zeros(whole.known.shape, bool)
        fewer = cleared(world, shot, rng) if rng.random() < SHARE_OF_CLEARED else None
        if fewer is not None:
            without = drawn(fewer)
            hidden = whole.depth < 0.999 * without.depth
            if hidden.mean() <= MOST:
                truth, taken = without, hidden
        perfect, seen = bool(rng.random() < SHARE_OF_PERFECT), whole.linear[margin:-margin, margin:-margin]
        wide = photographed(truth.linear, rng, perfect=perfect, exposed_for=seen)
        near = np.zeros_like(taken)
        if rng.random() < SHARE_OF_CUT:
            distance = np.where(truth.known, truth.depth, FAR)
            near = distance < np.quantile(distance, rng.uniform(*NEARER))
        return partly_given(wide, taken=taken, near=near, kind=place.kind)


def margin_of(width: int, height: int) -> int:
    """Pixels on each side of a view that lie beside the picture."""
    return round(max(width, height) * MARGIN / (1 + 2 * MARGIN))


def cleared(world: World, shot: Shot, rng: np.random.Generator) -> World | None:
    """The world without one of the things before a camera, or without it and all nearer ones; None if none can go."""
    corners = world.vertices[world.faces]
    names, thing = np.unique(world.things, return_inverse=True)
    middles = (corners.mean(1) - shot.eye) @ cam_from_place(shot).T
    x, y, z = (np.bincount(thing, middles[:, axis]) / np.bincount(thing) for axis in range(3))
    low, high = np.full((len(names), 3), np.inf), np.full((len(names), 3), -np.inf)
    np.minimum.at(low, thing, corners.min(1))
    np.maximum.at(high, thing, corners.max(1))
    long = LARGEST * np.linalg.norm(world.bounds[1] - world.bounds[0])
    can_go = (z > 0) & (np.linalg.norm(high - low, axis=1) < long)
    shown = np.flatnonzero(can_go & (np.hypot(x, y) < z * np.tan(shot.fov / 2)))
    if not len(shown):
        return None
    one = rng.choice(shown)
    gone = can_go & (z <= z[one]) if rng.random() < 0.5 else np.arange(len(names)) == one
    kept = ~gone[thing]
    by_face = ("faces", "corner_normals", "corner_uv", "things", "material_of", "texel_density")
    return replace(world, **{name: getattr(world, name)[kept] for name in by_face}) if kept.any() else None


def partly_given(wide: np.ndarray, *, taken: np.ndarray, near: np.ndarray, kind: str) -> View:
    """A picture [H, W, 3] of bytes as a view of which its border, what is `taken` and what is `near` are not given.

    What is `near` is not asked for, either. If too little were given, both are.
    """
    taken, near = (cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for mask in (taken, near))
    margin = margin_of(wide.shape[1], wide.shape[0])
    picture = np.pad(np.ones((wide.shape[0] - 2 * margin, wide.shape[1] - 2 * margin), bool), margin)
    known = picture & ~taken & ~near
    if known.mean() < LEAST_GIVEN:
        known, near = picture, np.zeros_like(near)
    nothing = np.zeros(known.shape, np.float32)
    return View(
        rgb=np.round(fill_smooth(wide.astype(np.float32), known)).astype(np.uint8),
        alpha=soft_cover(known),
        is_object=False,
        known=known,
        front=nothing,
        hidden_known=~known & ~near,
        hidden=nothing,
        hidden_rgb=wide,
        planes=np.zeros(DIRECTIONS + 1, np.float32),
        elevation=np.nan,
        kind=kind,
    )


def completed(maps: Tensor, batch: Batch) -> Tensor:
    """The network's pictures [B, 3, H, W], as `outpaint.outpainted` draws them when it is trusted wholly."""
    return batch.rgb + maps[:, Channel.RGB].float() / 2 * (1 - batch.inputs[:, 3:4])


def outpaint_loss(maps: Tensor, batch: Batch) -> Tensor:
    """Squared error beside and within the pictures: each counts by its logarithm, as decibels do, and as it is."""
    error, asked = errors(completed(maps, batch), batch)
    weight = asked.float() / asked.sum().clamp(min=1)
    return (((error + 1e-3).log() + 20 * error) * weight).sum()


def errors(drawn: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Mean squared error [B, 2] beside each picture and within it, and where enough is asked for to tell."""
    margin = margin_of(drawn.shape[3], drawn.shape[2])
    within = torch.zeros(drawn.shape[2:], dtype=torch.bool)
    within[margin:-margin, margin:-margin] = True
    weight = torch.stack([batch.hidden_known & ~within, batch.hidden_known & within], 1).float()
    count = weight.sum((2, 3))
    error = ((drawn - batch.hidden_rgb).square().mean(1, keepdim=True) * weight).sum((2, 3)) / count.clamp(min=1)
    return error, count >= ENOUGH


def held_out_parts(count: int, *, textures: int = 160) -> tuple[View, ...]:
    """`count` views of other seeds and textures than any training's."""
    studio, number = WideStudio(SEED, textures=textures, objects=0), 0
    views: list[View] = []
    while len(views) < count:
        views += studio.views(number, count=1, width=96, height=96)
        number += 1
    return tuple(views[:count])


def outpaint_table(network: NanoGeo, views: Sequence[View], *, batch: int = 20) -> dict[str, float]:
    """Mean PSNR in dB beside and within the pictures: drawn, and with their colours going on (`_before`)."""
    rows: dict[str, list[float]] = {}
    for start in range(0, len(views), batch):
        given = batch_of(views[start : start + batch])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            maps, _ = network(given.inputs.contiguous(memory_format=torch.channels_last))
        for label, drawn in (("", completed(maps, given).clamp(0, 1)), ("_before", given.rgb)):
            error, asked = errors(drawn, given)
            for region, name in enumerate(("beside", "behind")):
                decibels = -10 * error[:, region].clamp(min=1e-6).log10()
                rows.setdefault(name + label, []).extend(decibels[asked[:, region]].tolist())
    means = {name: float(np.mean(values)) for name, values in rows.items() if values}
    gains = {f"{name}_gain": means[name] - means[f"{name}_before"] for name in ("beside", "behind") if name in means}
    return {name: round(value, 3) for name, value in (means | gains).items()}

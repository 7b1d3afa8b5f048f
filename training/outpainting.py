"""Training data, loss and metrics of nano-outpaint: scenes rendered wider than the photo and without some objects."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from img2world.depth.network import DIRECTIONS, Channel, GeometryNetwork
from img2world.layered.inpaint import fill_smooth
from img2world.layered.outpaint import feather
from training import raster
from training.assembly import SceneMesh
from training.camera_effects import take_photo
from training.geo_batches import GeoBatch, make_batch
from training.geo_metrics import collect_views
from training.held_out import SEED
from training.renderer import MAX_DEPTH, RenderBuffers, cam_from_scene, render_shadow_map, render_view
from training.scene import ProceduralScene, Viewpoint, centered_lens
from training.views import View, ViewGenerator

MARGIN = 0.2
"""Width of the surroundings on each side of a photo, relative to its longer side."""

CLEAN_FRACTION = 0.6
"""Fraction of photos without blur, noise and compression, as large photos are after they were reduced in size."""

REMOVAL_FRACTION = 0.7
"""Fraction of images from which objects are removed, so that the network learns what stands behind them."""

MAX_OBJECT_SIZE = 0.6
"""Objects larger than this fraction of the scene, such as ground and walls, are not removed."""

MAX_REMOVED = 0.5
"""Largest fraction of the image that removed objects may cover."""

MIN_KNOWN = 0.04
"""Least fraction of the view that is known."""

MIN_PIXELS = 30
"""A region needs this many pixels for its error to count."""

NEAR_CUT_FRACTION, NEAR_CUT_RANGE = 0.4, (0.05, 0.8)
"""Fraction of images without their nearest part, and the range of its size: deeper layers do not know nearer ones."""


class OutpaintViewGenerator(ViewGenerator):
    """Generates views whose `hidden_rgb` is the truth and whose `rgb` is known in part and filled smoothly elsewhere.

    Unknown are the border around the photo and what removed objects had covered.
    """

    def scene_views(self, rng: np.random.Generator, scene: ProceduralScene, *, width: int, height: int) -> list[View]:
        """Return wide views from a scene's viewpoints, the photo being the centre of each."""
        mesh = scene.assembly.build()
        views = [
            self.wide_view(rng, mesh, scene, viewpoint, width=width, height=height) for viewpoint in scene.viewpoints
        ]
        return [view for view in views if view is not None]

    def wide_view(
        self,
        rng: np.random.Generator,
        mesh: SceneMesh,
        scene: ProceduralScene,
        viewpoint: Viewpoint,
        *,
        width: int,
        height: int,
    ) -> View | None:
        """Return the view from one viewpoint, or None if that is right in front of a surface."""
        margin = margin_of(width, height)
        lens = centered_lens(viewpoint.focal(max(width, height) - 2 * margin), width, height)
        shadows, sky_seed = render_shadow_map(mesh, scene.lighting, viewpoint), rng.integers(2**31)

        def render(shown: SceneMesh) -> RenderBuffers:
            # The shadows of removed objects stay: they also lie on what the objects hide.
            return render_view(
                shown, scene.lighting, viewpoint, lens, self.bank, np.random.default_rng(sky_seed),
                width=width, height=height, hidden=raster.NONE, shadows=shadows,
            )  # fmt: skip

        whole = render(mesh)
        depth = whole.depth[whole.known]
        if len(depth) <= 0.05 * whole.known.size or (depth < 0.25).mean() >= 0.03:
            return None
        truth, removed = whole, np.zeros(whole.known.shape, bool)
        reduced_mesh = remove_objects(mesh, viewpoint, rng) if rng.random() < REMOVAL_FRACTION else None
        if reduced_mesh is not None:
            reduced = render(reduced_mesh)
            changed = whole.depth < 0.999 * reduced.depth
            if changed.mean() <= MAX_REMOVED:
                truth, removed = reduced, changed
        is_clean, photo = bool(rng.random() < CLEAN_FRACTION), whole.linear[margin:-margin, margin:-margin]
        wide = take_photo(truth.linear, rng, perfect=is_clean, exposed_for=photo)
        near = np.zeros_like(removed)
        if rng.random() < NEAR_CUT_FRACTION:
            distance = np.where(truth.known, truth.depth, MAX_DEPTH)
            near = distance < np.quantile(distance, rng.uniform(*NEAR_CUT_RANGE))
        return make_partial_view(wide, removed=removed, near=near, kind=scene.kind)


def margin_of(width: int, height: int) -> int:
    """Return the pixels on each side of a view that lie beside the photo."""
    return round(max(width, height) * MARGIN / (1 + 2 * MARGIN))


def remove_objects(mesh: SceneMesh, viewpoint: Viewpoint, rng: np.random.Generator) -> SceneMesh | None:
    """Return the mesh without a random visible object, or without it and all nearer ones; None if none is left."""
    corners = mesh.vertices[mesh.faces]
    ids, object_of_face = np.unique(mesh.object_ids, return_inverse=True)
    centers = (corners.mean(1) - viewpoint.eye) @ cam_from_scene(viewpoint).T
    x, y, z = (np.bincount(object_of_face, centers[:, axis]) / np.bincount(object_of_face) for axis in range(3))
    low, high = np.full((len(ids), 3), np.inf), np.full((len(ids), 3), -np.inf)
    np.minimum.at(low, object_of_face, corners.min(1))
    np.maximum.at(high, object_of_face, corners.max(1))
    max_size = MAX_OBJECT_SIZE * np.linalg.norm(mesh.bounds[1] - mesh.bounds[0])
    removable = (z > 0) & (np.linalg.norm(high - low, axis=1) < max_size)
    visible = np.flatnonzero(removable & (np.hypot(x, y) < z * np.tan(viewpoint.fov / 2)))
    if not len(visible):
        return None
    chosen = rng.choice(visible)
    removed = removable & (z <= z[chosen]) if rng.random() < 0.5 else np.arange(len(ids)) == chosen
    kept = ~removed[object_of_face]
    face_arrays = ("faces", "corner_normals", "corner_uv", "object_ids", "face_materials", "texel_density")
    return replace(mesh, **{name: getattr(mesh, name)[kept] for name in face_arrays}) if kept.any() else None


def make_partial_view(
    wide: UInt8[np.ndarray, "H W 3"], *, removed: Bool[np.ndarray, "H W"], near: Bool[np.ndarray, "H W"], kind: str
) -> View:
    """Return an image as a view whose border, `removed` and `near` pixels are unknown.

    Near pixels are not predicted, either. If too little were known, all pixels of the photo are.
    """
    removed, near = (cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for mask in (removed, near))
    margin = margin_of(wide.shape[1], wide.shape[0])
    photo = np.pad(np.ones((wide.shape[0] - 2 * margin, wide.shape[1] - 2 * margin), bool), margin)
    known = photo & ~removed & ~near
    if known.mean() < MIN_KNOWN:
        known, near = photo, np.zeros_like(near)
    zeros = np.zeros(known.shape, np.float32)
    return View(
        rgb=np.round(fill_smooth(wide.astype(np.float32), known)).astype(np.uint8),
        alpha=feather(known),
        is_object=False,
        known=known,
        front=zeros,
        hidden_known=~known & ~near,
        hidden=zeros,
        hidden_rgb=wide,
        planes=np.zeros(DIRECTIONS + 1, np.float32),
        elevation=np.nan,
        kind=kind,
    )


def compose_output(maps: Tensor, batch: GeoBatch) -> Tensor:
    """Return the network's images [B, 3, H, W], as `outpaint.outpaint` composes them at full weight."""
    return batch.rgb + maps[:, Channel.RGB].float() / 2 * (1 - batch.inputs[:, 3:4])


def outpaint_loss(maps: Tensor, batch: GeoBatch) -> Tensor:
    """Return the loss: the squared errors beside and within the photos and their logarithms, as in PSNR."""
    error, is_counted = region_errors(compose_output(maps, batch), batch)
    weight = is_counted.float() / is_counted.sum().clamp(min=1)
    return (((error + 1e-3).log() + 20 * error) * weight).sum()


def region_errors(images: Tensor, batch: GeoBatch) -> tuple[Tensor, Tensor]:
    """Return the mean squared errors [B, 2] beside and within each photo, and where there are enough pixels."""
    margin = margin_of(images.shape[3], images.shape[2])
    within = torch.zeros(images.shape[2:], dtype=torch.bool)
    within[margin:-margin, margin:-margin] = True
    weight = torch.stack([batch.hidden_known & ~within, batch.hidden_known & within], 1).float()
    count = weight.sum((2, 3))
    error = ((images - batch.hidden_rgb).square().mean(1, keepdim=True) * weight).sum((2, 3)) / count.clamp(min=1)
    return error, count >= MIN_PIXELS


@lru_cache(maxsize=1)
def held_out_partial_views(count: int, *, textures: int = 160) -> tuple[View, ...]:
    """Return `count` views with other seeds and textures than any training's."""
    return collect_views(OutpaintViewGenerator(SEED, textures=textures, object_fraction=0), count, 96)


def outpaint_metrics(network: GeometryNetwork, views: Sequence[View], *, batch: int = 20) -> dict[str, float]:
    """Return the mean PSNR in dB beside and within the photos, of the output and of the smooth fill (`_before`)."""
    rows: dict[str, list[float]] = {}
    for start in range(0, len(views), batch):
        inputs = make_batch(views[start : start + batch])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            maps, _ = network(inputs.inputs.contiguous(memory_format=torch.channels_last))
        for label, images in (("", compose_output(maps, inputs).clamp(0, 1)), ("_before", inputs.rgb)):
            error, is_counted = region_errors(images, inputs)
            psnr = -10 * error.clamp(min=1e-6).log10()
            for region, name in enumerate(("beside", "behind")):
                rows.setdefault(name + label, []).extend(psnr[:, region][is_counted[:, region]].tolist())
    means = {name: float(np.mean(values)) for name, values in rows.items() if values}
    gains = {f"{name}_gain": means[name] - means[f"{name}_before"] for name in ("beside", "behind") if name in means}
    return {name: round(value, 3) for name, value in (means | gains).items()}

"""Cut what photos or a video turn around out of all views, consistently.

The cut-out network says for each picture what stands out, but not always the same thing, and seldom where a cup ends
and the table begins. Where the cameras look, what most views agree on (the visual hull), the colours of the thing and
of its surroundings, and the look of the support without the thing decide together, as in Campbell et al., "Automatic
3D object segmentation in multiple views using volumetric graph-cuts", IVC 2010; votes take the place of the graph cut.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from img2world.core.cameras import Cameras
from img2world.core.errors import SubjectError
from img2world.core.metric import transformed_views, turned_up
from img2world.core.progress import Progress, silent
from img2world.core.views import Views
from img2world.isolation.aim import HINT, Aim, find_aim
from img2world.isolation.evidence import Colors, closer, count_colors, cover_of, crop_to, match_exposures, network_map
from img2world.isolation.hull import Hull, closer_grid, first_grid, main_part, silhouette, vote, without_below
from img2world.isolation.outline import alpha_of
from img2world.isolation.plate import Plate, completed, make_plate
from img2world.isolation.points import points_on
from img2world.isolation.support import find_support, settle_support
from img2world.layered.saliency import CutoutModel
from img2world.meshing.grids import BoxGrid

WORKING_SIDE = 320
"""Longer side in pixels of the pictures in which the subject is looked for; outlines are refined in the views."""

FIRST_GRID, GRIDS = 64, (72, 96, 112)
"""Grid points along the longest side of what is looked at, in the first round and the following."""

FIRST_AGREEMENT = 0.55
"""Mean probability over the views above which a point belongs to the subject, in the first round."""

MAX_MISSES, MAX_MISSED_VIEWS = 0.17, 1.5
"""Fraction of the views, and of few views their number, that may contradict in the last round."""

MIN_OVERLAP = 0.5
"""Overlap (intersection over union) of a view's own evidence with the hull's outline, below which it is left out."""

NO_OVERLAP, FULL_OVERLAP = 0.25, 0.8
"""Overlaps up to which a view has no weight in the vote, and from which it has full weight."""

CLOSE_ROUND = 1
"""Round in which the network is shown more detail: by then, the subject is known roughly."""

MIN_AGREEING = 0.5
"""Fraction of the views that must agree."""

SURROUNDINGS = 0.1
"""Width of the surroundings of an outline in which evidence is compared with it, relative to the picture."""

HULL_SIGMA = 1.0
"""Standard deviation of the hull's surface in grid steps."""


Maps = list[Float32[np.ndarray, "h w"]]
Masks = list[Bool[np.ndarray, "h w"]]


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """Views of the subject alone, and how they were found."""

    views: Views
    kept: Int[np.ndarray, "K"]
    """Index of each view among those that were given."""
    overlap: Float64[np.ndarray, "V"]
    """Of every given view, how well its own evidence fits the outline of the subject (intersection over union)."""
    reason: str
    """How it was found, in one phrase."""

    @property
    def mean_overlap(self) -> float:
        """Mean overlap of the views that are kept."""
        return float(self.overlap[self.kept].mean())

    def as_json(self) -> dict[str, Any]:
        """Return what was found as a JSON object, with the kind and reason of a subject."""
        return {
            "kind": "object",
            "reason": self.reason,
            "left_out": np.setdiff1d(np.arange(len(self.overlap)), self.kept).tolist(),
            "overlap": [round(value, 4) for value in self.overlap.tolist()],
        }


@dataclass(frozen=True, kw_only=True)
class Small:
    """The views at the size at which the subject is looked for."""

    rgb: list[Float32[np.ndarray, "h w 3"]]
    valid: list[Bool[np.ndarray, "h w"]]
    cameras: Cameras

    @classmethod
    def of(cls, views: Views) -> "Small":
        """Scale views down."""
        import cv2

        scale = min(1.0, WORKING_SIDE / max(views.rgb.shape[1:3]))
        size = round(views.cameras.width * scale), round(views.cameras.height * scale)
        rgb = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32) for picture in views.rgb]
        masks = np.full(views.rgb.shape[:3], 255, np.uint8) if views.mask is None else views.mask
        valid = [cv2.resize(mask, size, interpolation=cv2.INTER_AREA) == 255 for mask in masks]
        return cls(rgb=rgb, valid=valid, cameras=views.cameras.resized(*size))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the subject is to be looked for."""

    aim: Aim
    support: Float64[np.ndarray, "4"] | None
    """The plane on which it stands, see `find_support`."""


def isolate_subject(views: Views, *, model: CutoutModel = "builtin", progress: Progress = silent) -> Isolation:
    """Return views of what the cameras turn around, on white, with alpha and only the points on it.

    It stands upright on its support, if it has one, around the origin.

    `model` names the cut-out network. Views that have an alpha are returned as they are. Views that contradict the
    others are left out. Raises SubjectError when the cameras turn around nothing or the views do not agree on a thing,
    and what `find_saliency` raises.
    """
    if views.alpha is not None:
        every, overlap = np.arange(len(views)), np.ones(len(views))
        return Isolation(views=views, kept=every, overlap=overlap, reason="the views are transparent beside it")
    if model == "none":
        raise SubjectError("subject.model is none, --subject needs a cut-out network", hint="leave subject.model out")
    aim = find_aim(views.cameras)
    small = Small.of(views)
    support = find_support(views.points, views.cameras, aim)
    if support is not None:
        support = settle_support(support, small.rgb, small.cameras, aim)
    place = Place(aim=aim, support=support)
    network = _network(views, small, model, progress)
    plate = _plate(network, small, None, place)
    if plate is not None:
        small = replace(small, rgb=match_exposures(small.rgb, plate, small.valid, small.cameras))
        plate = _plate(network, small, None, place)
    cover = _covers(network, small, plate, None)
    weights = aim.aimed.astype(np.float64)
    hull = _carved(cover, weights, small, first_grid(aim, FIRST_GRID), FIRST_AGREEMENT, place)
    # The views agree better with each round.
    last = 1 - max(MAX_MISSES, MAX_MISSED_VIEWS / len(views))
    agreements = np.linspace(FIRST_AGREEMENT, last, len(GRIDS) + 1)[1:].tolist()
    for round_, (resolution, agreement) in enumerate(zip(GRIDS, agreements, strict=True)):
        outlines = _outlines(hull, small.cameras)
        if round_ == CLOSE_ROUND:
            network = _closer(network, outlines, views, model, progress)
        colors = count_colors(small.rgb, outlines, small.valid)
        bare = _plate(network, small, outlines, place)
        cover = _covers(network, small, bare and plate and completed(bare, plate), colors)
        weights = np.clip((_overlaps(cover, outlines, small) - NO_OVERLAP) / (FULL_OVERLAP - NO_OVERLAP), 0, 1)
        hull = _carved(cover, weights, small, closer_grid(hull, resolution), agreement, place)
    overlap = _overlaps(cover, _outlines(hull, small.cameras), small)
    kept = np.flatnonzero(overlap >= MIN_OVERLAP)
    if len(kept) < max(2, MIN_AGREEING * len(views)):
        raise SubjectError(
            f"no subject stands out: {len(kept)} of {len(views)} views agree on one, needs {MIN_AGREEING:.0%}",
            hint=HINT,
        )
    isolated = _cut_out(views, kept, hull, cover, progress)
    if support is not None:
        # Of a thing on a table many photos are taken with the camera turned, but tables are level.
        isolated = turned_up(isolated, support[:3])
    isolated = _centered(isolated)
    below = "no table or ground was found below it" if support is None else "without what it stands on"
    return Isolation(views=isolated, kept=kept, overlap=overlap, reason=f"what the cameras turn around, {below}")


def _network(views: Views, small: Small, model: CutoutModel, progress: Progress) -> Maps:
    """Return what the network says of each whole view."""
    maps = []
    for i, picture in enumerate(views.rgb):
        maps.append(network_map(picture, (small.cameras.height, small.cameras.width), model))
        progress(i + 1, len(views), step="cut-outs")
    return maps


def _closer(network: Maps, outlines: Masks, views: Views, model: CutoutModel, progress: Progress) -> Maps:
    """Return what the network says together with what it says of the surroundings of the outlines alone."""
    maps = []
    for i, (whole, outline) in enumerate(zip(network, outlines, strict=True)):
        area = crop_to(outline, views.rgb.shape[1:3])
        maps.append(whole if area is None else closer(whole, network_map(views.rgb[i], outline.shape, model, area)))
        progress(i + 1, len(views), step="details")
    return maps


def _carved(
    cover: Maps, weights: Float64[np.ndarray, "V"], small: Small, grid: BoxGrid, agreement: float, place: Place
) -> Hull:
    """Return the hull of the views' evidence above the support. Raises SubjectError when nothing is left."""
    seen = [np.where(valid, values, np.float32(np.nan)) for values, valid in zip(cover, small.valid, strict=True)]
    hull = vote(seen, weights, small.cameras, grid, agreement=agreement)
    if place.support is not None:
        hull = without_below(hull, place.support)
    hull = main_part(hull, place.aim)
    if hull.is_empty:
        raise SubjectError("no subject stands out: the views do not agree on a thing where the cameras look", hint=HINT)
    return hull


def _plate(network: Maps, small: Small, outlines: Masks | None, place: Place) -> Plate | None:
    """Return what the support looks like beside the outlines of the subject; None without a support."""
    if place.support is None:
        return None
    free = (
        small.valid if outlines is None else [valid & ~mask for valid, mask in zip(small.valid, outlines, strict=True)]
    )
    return make_plate(place.support, small.rgb, network, free, small.cameras, place.aim)


def _covers(network: Maps, small: Small, plate: Plate | None, colors: Colors | None) -> Maps:
    """Return the probability at each pixel of each view that it shows the subject."""
    return [
        cover_of(saliency, rgb, small.cameras.select([i]), plate, colors)
        for i, (saliency, rgb) in enumerate(zip(network, small.rgb, strict=True))
    ]


def _outlines(hull: Hull, cameras: Cameras) -> Masks:
    """Return where each view shows the hull."""
    surface = hull.surface()
    return [silhouette(surface, cameras.select([i])) for i in range(len(cameras))]


def _overlaps(cover: Maps, outlines: Masks, small: Small) -> Float64[np.ndarray, "V"]:
    """Return the overlap of each view's own evidence with the hull, in and near its outline; 0 where it is unseen."""
    import cv2

    size = round(SURROUNDINGS * max(small.cameras.width, small.cameras.height)) // 2 * 2 + 1
    window = np.ones((size, size), np.uint8)
    overlaps = []
    for values, outline, valid in zip(cover, outlines, small.valid, strict=True):
        near = (cv2.dilate(outline.astype(np.uint8), window) > 0) & valid
        own = (values > 0.5) & near
        union = np.count_nonzero((own | outline) & valid)
        overlaps.append(np.count_nonzero(own & outline) / union if union else 0.0)
    return np.array(overlaps)


def _centered(views: Views) -> Views:
    """Move the world such that the middle of the points is at its origin."""
    shift = np.eye(4)
    shift[:3, 3] = -(views.points.min(0) + views.points.max(0)) / 2
    return transformed_views(views, shift)


def _cut_out(views: Views, kept: Int[np.ndarray, "K"], hull: Hull, cover: Maps, progress: Progress) -> Views:
    """Return the kept views on white, with alpha, and the points on the hull."""
    surface = hull.surface()
    middle = surface.vertices.mean(0)
    # Its arrays are copies, which are overwritten to save memory.
    chosen = replace(views.select(kept), report=views.report)
    alphas = np.zeros(chosen.rgb.shape[:3], np.uint8)
    for count, i in enumerate(kept.tolist()):
        camera = views.cameras.select([i])
        depth = float((middle - camera.centers_in_world[0]) @ camera.world_from_cam[0, :3, 2])
        sigma = HULL_SIGMA * hull.grid.step * float(camera.intrinsics[0, 0, 0]) / max(depth, 1e-6)
        alphas[count] = alpha_of(views.rgb[i], silhouette(surface, camera), cover[i], sigma=max(sigma, 1.0))
        part = alphas[count, ..., None].astype(np.float32) / 255
        chosen.rgb[count] = np.round(views.rgb[i] * part + 255 * (1 - part))
        progress(count + 1, len(kept), step="outlines")
    depth = None if chosen.depth is None else np.where(alphas > 127, chosen.depth, np.float32(0))
    points, colors = points_on(hull, surface, chosen)
    return replace(chosen, alpha=alphas, depth=depth, points=points, point_colors=colors)

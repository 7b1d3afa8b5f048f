"""The figures of a world made from one photo."""

import numpy as np
from jaxtyping import Bool, Float32

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.scene import Scene
from img2world.core.subject import Subject
from img2world.layered.build import input_camera
from img2world.layered.layers import CONTINUED, INVENTED
from img2world.layered.object_layers import cut_out
from img2world.quality.edges import (
    find_contours,
    find_straight_edges,
    lengths_of,
    measure_bending,
    measure_wobble,
    worst_tenth,
)
from img2world.quality.fidelity import MIN_DETAIL, compare_views, sharpness, warp_photo
from img2world.quality.outlines import measure_shape
from img2world.quality.surfaces import measure_coverage, measure_parallax
from img2world.quality.views import View, cameras_around, draw, nearby_cameras, widest_cameras

MAX_ANGLE = np.radians(46)
"""Angle from the photo's camera up to which edges and surfaces of the photo are followed: a quarter turn around an
object, of which that is half, shows its side."""

NEARBY = 1 / 3
"""Cameras nearby are this fraction of the way to the widest ones."""

SIDE = 256
"""Longer side, in pixels, of the views in which surfaces and outlines are measured."""

SHAPE_TOLERANCE = 0.02
"""Relative difference of two proportions that count as equal: the sides of frames are rounded to even numbers."""

MAX_WOBBLE = 0.003
"""Deformation of a contour, relative to the longer side of the picture, that is seen."""

BORDER = 0.012
"""Distance from the border of the picture, relative to its longer side, up to which edges do not count."""

MIN_EDGES = 0.3
"""Minimum total length of edges, relative to the longer side of the picture, for a figure about them."""


def measure_quality(scene: Scene, subject: Subject, frames: Frames) -> dict[str, float]:
    """Return the figures of a scene made from a photo, whose first camera is the photo's; none if the photo is blank.

    - fidelity, nearby: PSNR in dB of the scene against the photo, from the photo's camera and the worse camera nearby
    - detail: sharpness from the photo's camera, 1 is the photo's
    - unseen, gap: fraction of the wider of the widest views that the photo does not show, and its largest area
    - stretched: fraction of the same view that is drawn from less than half of its resolution
    - invented, continued: fractions of the video's widest frames, or of an object in all frames, if known
    - bending: fraction of the longer side by which the worst tenth of the straight edges bends from the photo to the
      widest views; absent without long straight edges
    - wobble: fraction of the length of all contours that is deformed; absent without contours
    - parallax: fraction of the longer side by which things move against each other
    - thickness, fused, plain_back: of objects that can be looked at from all sides, see `Shape`
    """
    cameras = scene.cameras
    side = max(cameras.width, cameras.height)
    ends = widest_cameras(cameras, MAX_ANGLE)
    picture, mask = photo_in_frame(subject, cameras, scene.background)
    if sharpness(picture, mask) < MIN_DETAIL:
        # Of a blank picture any shape looks right.
        return {}
    photo, *nearby = draw(scene, cameras.select([0, *nearby_cameras(cameras, ends, NEARBY)]), side)
    match = compare_views(photo.rgb, picture, mask & photo.opaque)
    matches = [compare_views(view.rgb, *warp_photo(picture, photo, view)) for view in nearby]
    figures = {
        "fidelity": match.psnr,
        "detail": match.detail,
        "nearby": min(each.psnr for each in matches),
        **_edge_figures(picture, mask, photo, cameras.select(list(ends))),
        **origin_fractions(frames, list(ends)),
    }
    small, *widest = draw(scene, cameras.select([0, *ends]), SIDE)
    coverages = [measure_coverage(view, small, is_object=scene.is_object) for view in widest]
    figures |= {name: max(getattr(coverage, name) for coverage in coverages) for name in ("unseen", "gap", "stretched")}
    moved = cameras.select(list(ends)).resized(small.camera.width, small.camera.height)
    figures["parallax"] = measure_parallax(small, moved)
    if scene.is_object and (around := cameras_around(cameras)):
        left, back, right = draw(scene, cameras.select(around), SIDE)
        figures |= vars(measure_shape(small, [left, right], back))
    return figures


def starts_at_photo(trajectory: Cameras, subject: Subject) -> bool:
    """Tell whether the first camera of a path is that of the photo, as of all paths that are not read from a file."""
    photo = input_camera(subject, max(trajectory.width, trajectory.height))
    return bool(np.allclose(trajectory.world_from_cam[0], photo.world_from_cam[0], atol=0.01))


def photo_in_frame(
    subject: Subject, cameras: Cameras, background: tuple[float, float, float]
) -> tuple[Float32[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """Return the photo as the first camera is to show it, on a background, and the mask of its subject.

    An object fills the frame as `cut_out` frames it. A scene is cropped around the middle to the frame's shape.
    """
    import cv2

    size = (cameras.width, cameras.height)
    if subject.alpha is not None:
        cut = cut_out(subject.image, subject.alpha, max(size))
        picture = cut.rgb * cut.alpha[..., None] + (1 - cut.alpha[..., None]) * np.array(background, np.float32)
        return _cropped(picture, size), _cropped(cut.alpha, size) >= 0.5
    rgb = _cropped(subject.image.rgb, size)
    picture = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return picture, np.ones(picture.shape[:2], bool)


def _cropped(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the largest centered part of a picture that has the proportions of a width and height."""
    height, width = picture.shape[:2]
    if abs(np.log(width * shape[1] / (height * shape[0]))) < SHAPE_TOLERANCE:
        return picture
    scale = min(width / shape[0], height / shape[1])
    across, down = round(scale * shape[0]), round(scale * shape[1])
    left, top = (width - across) // 2, (height - down) // 2
    return picture[top : top + down, left : left + across]


def _edge_figures(
    picture: Float32[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"], photo: View, widest: Cameras
) -> dict[str, float]:
    """Return bending and wobble, those for which there are enough edges."""
    # Many pictures have a frame of their own.
    margin = round(BORDER * max(mask.shape))
    mask = np.pad(mask[margin:-margin, margin:-margin], margin)
    straight, contours = find_straight_edges(picture, mask), find_contours(picture, mask)
    figures, least = {}, MIN_EDGES * max(mask.shape)
    if sum(map(len, straight)) >= least:
        figures["bending"] = worst_tenth(measure_bending(straight, photo, widest), lengths_of(straight))
    if sum(map(len, contours)) >= least:
        lengths = lengths_of(contours)
        figures["wobble"] = float(lengths[measure_wobble(contours, photo, widest) > MAX_WOBBLE].sum() / lengths.sum())
    return figures


def origin_fractions(frames: Frames, widest: list[int]) -> dict[str, float]:
    """Return the fractions of the widest frames, or of an object in all frames, that are invented and continued."""
    if frames.seen is None:
        return {}
    seen = frames.seen[widest] if frames.alpha is None else frames.seen[frames.alpha > 127]
    return {"invented": float((seen == INVENTED).mean()), "continued": float((seen == CONTINUED).mean())}

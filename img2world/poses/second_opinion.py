"""A second opinion on cameras, from a judge that shares nothing with their solvers: it looks at pictures alone.

Tracks that agree with each other agree with many cameras: with those of a thing that turns, of one that deforms, or of
another side of something symmetric. A scene does not. A small one is trained on three in four of the views, and must
show the others better than their neighbours do.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8

from img2world.core.errors import SplatError
from img2world.core.frames import Frames
from img2world.core.pose_report import Grade, PoseReport
from img2world.core.views import Views
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.leave_out import LeftOut, Support, examine_support
from img2world.tracking.flow import prepare_gray_frames, track_by_flow
from img2world.tracking.object_masks import find_background_color, object_masks
from img2world.tracking.stillness import MAX_STILL, still_share
from img2world.tracking.tracks import Tracks

MIN_VIEWS = 8
"""Of fewer views, too few are left to train on and to test with."""

MAX_VIEWS = 48
"""Of more, as many at even steps are enough."""

MAX_SIDE = 160
"""Pixels. Pictures are halved until no side is longer."""

STEPS, NUM_GAUSSIANS = 200, 6000
HOLD_OUT_EVERY = 4

MIN_GAIN = 2.0
"""Decibels by which a trained scene must show new views better than the view that was taken nearest to each. On clips
of 17 kinds, right cameras gain 2 to 12, wrong ones mostly -5 to 2, and up to 3.6 before what moves by itself, which is
what other objections are for."""

MAX_UNLIKE = 2.0
"""Decibels by which views whose cameras are next to each other may be less alike than those next to each other in
time."""

SEAM_MARGIN = 1.0
"""Decibels by which the first and the last view may be less alike than neighbours usually are, and still be
neighbours."""

MAX_SEAM = 4.0
"""Angle between the first and the last camera of a video whose views are as alike as those of neighbours, in usual
steps."""

MAX_JERK = 0.6
"""RMS change of a camera's steps around an object, relative to the steps. Videos of objects on a plain background
have 0.3 on circles and 0.4 where the camera swings to and fro; wrong cameras that fit the points have 0.8 to 1.7."""

MAX_MOVING = 0.08
"""Fraction of the points that may move by themselves: with more, nothing tells for sure which part stands still."""

MAX_LENS_GAIN = 0.2
"""Fraction by which errors may fall with a focal length for each frame: of rigid rooms 0 to 0.03, where the lens zooms
0.6, where a room becomes deeper 0.3."""

MAX_FOCAL = 4.5
"""Focal length in widths of the picture. A longer lens, of less than 13 degrees, films neither phones nor generators;
it is what a solver finds where something moves in front of a camera that stands still."""

DOUBTFUL: Grade = "C"
"""Best grade of cameras against which there is an objection."""


@dataclass(frozen=True, kw_only=True)
class SecondOpinion:
    """Measurements of pictures that speak for or against cameras: PSNR in dB, after matching brightness and tint."""

    shown: float
    """Median over held-out views of how well the scene that the other views make shows them."""
    nearest: float
    """The same of the training view whose camera is nearest."""
    next_in_time: float
    """The same of the better one of the neighbours in time; equal to `nearest` for photos."""

    @property
    def gain(self) -> float:
        """Return by how much the scene is better than the best neighbour."""
        return self.shown - max(self.nearest, self.next_in_time)


def with_second_opinion(views: Views, *, ordered: bool, known_lens: bool = False) -> Views:
    """Return the views, their grade limited to C where the pictures contradict the cameras, with the reasons.

    `ordered` is True for the frames of a video; `known_lens` where the focal length was not estimated. What was
    measured is kept in the report. Views without a report, and too few to judge by, are returned as they are.
    """
    if views.report is None or len(views) < MIN_VIEWS or len(views.points) == 0:
        return views
    opinion = judge(views, ordered=ordered)
    is_object = shows_object(views.rgb, views.alpha)
    tracks = _follow(views) if ordered else Tracks.empty()
    support = _examine(tracks, views) if ordered and not is_object else Support(parts=[])
    unsupported = max(support.parts, key=lambda part: (part.is_doubtful, part.ratio), default=None)
    report = replace(
        views.report,
        gain_db=round(opinion.gain, 2),
        unsupported=0.0 if unsupported is None else round(unsupported.ratio, 2),
    )
    objections = [
        *_about_likeness(opinion),
        *(_about_path(views) if ordered and is_object else []),
        *_about_motion(tracks, views, report, unsupported),
        *_about_zoom(support),
        *([] if known_lens else _about_lens(views)),
    ]
    if objections:
        report = replace(report, grade=max(report.grade, DOUBTFUL), reasons=(*report.reasons, *objections))
    return replace(views, report=report)


def shows_object(rgb: UInt8[np.ndarray, "V H W 3"], alpha: UInt8[np.ndarray, "V H W"] | None) -> bool:
    """Tell whether frames show an object alone, so that nothing behind it tells where the camera is."""
    return alpha is not None or find_background_color(rgb) is not None


def has_known_lenses(frames: Frames) -> bool:
    """Tell whether the files tell the focal length of all frames."""
    return frames.focals is not None and bool((frames.focals > 0).all())


def judge(views: Views, *, ordered: bool) -> SecondOpinion:
    """Train a small scene on three in four of the views and compare the others with it and with their neighbours."""
    from img2world.splat.metrics import compare, unit_rgb
    from img2world.splat.optimize import GaussianSplat

    views = _small(views)
    training = GaussianSplat(
        steps=STEPS, max_gaussians=NUM_GAUSSIANS, holdout_every=HOLD_OUT_EVERY, stereo=False, sh_degree=0
    )
    held_out = training.held_out(len(views))
    try:
        scene = training.optimize(views, seed=0)
    except SplatError:
        # Cameras from which nothing can be trained are the worst.
        return SecondOpinion(shown=0.0, nearest=0.0, next_in_time=0.0)
    trained, tested = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    angles = viewing_angles(views)

    rendered = compare(scene.gaussians, views.select(tested), scene.background)
    figures = []
    for k, (rgb, _) in zip(tested.tolist(), rendered, strict=True):
        nearest = likeness(unit_rgb(views.rgb[trained[np.argmin(angles[k, trained])]]), views, k)
        neighbors = [likeness(unit_rgb(views.rgb[i]), views, k) for i in trained if abs(i - k) == 1] if ordered else []
        figures.append((likeness(rgb, views, k), nearest, max(neighbors, default=nearest)))
    shown, nearest, next_in_time = np.median(figures, axis=0).tolist()
    return SecondOpinion(shown=shown, nearest=nearest, next_in_time=next_in_time)


def likeness(image: Float[np.ndarray, "H W 3"], views: Views, i: int) -> float:
    """Return the PSNR of an image and a view where that is not masked, after matching brightness and tint."""
    from img2world.splat.metrics import match_colors, psnr, unit_rgb

    counts = np.ones(image.shape[:2], bool) if views.mask is None else views.mask[i] > 0
    pixels, truth = image[counts][:, None], unit_rgb(views.rgb[i])[counts][:, None]
    return psnr(match_colors(pixels, truth), truth) if len(truth) else 0.0


def viewing_angles(views: Views) -> Float[np.ndarray, "V V"]:
    """Return the angle in radians at which each two cameras stand, as seen from the middle of the scene's points."""
    directions = _directions(views)
    return np.arccos(np.clip(directions @ directions.T, -1, 1))


def _directions(views: Views) -> Float[np.ndarray, "V 3"]:
    """Return the unit vector to each camera from the middle of the scene's points."""
    offsets = views.cameras.centers_in_world.astype(np.float64) - np.median(views.points, axis=0)
    return offsets / np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), 1e-9)


def _about_likeness(opinion: SecondOpinion) -> list[str]:
    """Return what the likeness of pictures tells against the cameras, in phrases."""
    found = []
    if opinion.gain < MIN_GAIN:
        by = f"only {opinion.gain:.1f} dB better" if opinion.gain >= 0 else f"{-opinion.gain:.1f} dB worse"
        found.append(
            f"a scene made with these cameras shows new views {by} than the views next to them do, B needs "
            f"{MIN_GAIN:g} dB better"
        )
    if opinion.nearest < opinion.next_in_time - MAX_UNLIKE:
        found.append("views whose cameras are close look less alike than neighbours in the video")
    return found


def _about_path(views: Views) -> list[str]:
    """Return what is odd about a path around an object, in phrases."""
    found = []
    if _is_torn(views):
        found.append("the first and the last view look alike, but their cameras are far apart")
    if (jerk := _jerk(views)) > MAX_JERK:
        found.append(
            f"the camera moves around the object by fits and starts: its steps change by {jerk:.0%}, "
            f"B needs {MAX_JERK:.0%} at most"
        )
    return found


def _about_motion(tracks: Tracks, views: Views, report: PoseReport, unsupported: LeftOut | None) -> list[str]:
    """Return why something else may move than the camera, in phrases."""
    found = []
    if (share := still_share(tracks, views.cameras.width)) > MAX_STILL:
        found.append(f"{share:.0%} of the points stand still in the picture, so that the camera may stand still")
    if report.moving_share >= MAX_MOVING:
        share = f"{report.moving_share:.0%} of the points"
        found.append(f"{share} move by themselves, so that the cameras may be those of what moves")
    if unsupported is not None and unsupported.is_doubtful:
        found.append(
            f"cameras found without {unsupported.share:.0%} of the points miss these {unsupported.ratio:.1f} times as "
            "far as the others, so that they may move by themselves"
        )
    return found


def _about_zoom(support: Support) -> list[str]:
    """Return whether the lens seems to change in the course of the video, in phrases."""
    if support.lens_gain > MAX_LENS_GAIN:
        return [
            f"points fit {support.lens_gain:.0%} better if each frame may have a focal length of its own, so that the "
            "lens may zoom, or the scene change its shape"
        ]
    return []


def _about_lens(views: Views) -> list[str]:
    """Return what is odd about the estimated focal length, in phrases."""
    focal = float(np.median(views.cameras.intrinsics[:, 0, 0])) / views.cameras.width
    if focal > MAX_FOCAL:
        return [f"the focal length is {focal:.1f} widths of the picture, which no usual lens has"]
    return []


def _follow(views: Views) -> Tracks:
    """Return points of a video that are followed by optical flow."""
    masks = object_masks(Frames(rgb=views.rgb, alpha=views.alpha, times=np.arange(len(views), dtype=np.float64)))
    return track_by_flow(prepare_gray_frames(views.rgb, masks, views.mask), closed=False)


def _examine(tracks: Tracks, views: Views) -> Support:
    """Tell what the cameras of a scene rest on."""
    cameras = CameraParameters.from_cameras(views.cameras)
    return examine_support(tracks, cameras, views.cameras.width, views.cameras.height)


def _jerk(views: Views) -> float:
    """Return the RMS change of the steps between neighbouring viewing directions, relative to that of the steps."""
    steps = np.diff(_directions(views), axis=0)
    changes = np.diff(steps, axis=0)
    return float(np.sqrt(np.square(changes).sum(1).mean() / max(np.square(steps).sum(1).mean(), 1e-12)))


def _is_torn(views: Views) -> bool:
    """Tell whether the first and the last view of an object look like neighbours and are none."""
    from img2world.splat.metrics import unit_rgb

    views = _small(views)
    angles = viewing_angles(views)
    if angles[0, -1] < MAX_SEAM * float(np.median(np.diagonal(angles, 1))):
        return False
    count = len(views)
    usual = np.median([likeness(unit_rgb(views.rgb[i - 1]), views, i) for i in range(1, count)])
    apart = np.median([likeness(unit_rgb(views.rgb[i - count // 2]), views, i) for i in range(count)])
    seam = likeness(unit_rgb(views.rgb[-1]), views, 0)
    # Where neighbours are hardly more alike than other views are, likeness tells nothing.
    return bool(seam > usual - SEAM_MARGIN and seam > apart + SEAM_MARGIN)


def _small(views: Views) -> Views:
    """Return at most MAX_VIEWS of the views, small."""
    from img2world.splat.views import halve

    if len(views) > MAX_VIEWS:
        views = views.select(np.linspace(0, len(views) - 1, MAX_VIEWS).round().astype(np.int64))
    while max(views.cameras.width, views.cameras.height) > MAX_SIDE:
        views = halve(views)
    return views

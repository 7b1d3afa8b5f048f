"""True cameras of a rendered clip pass the second opinion; other cameras of the same frames do not."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere
from img2world.core.frames import Frames
from img2world.core.pose_report import PoseReport
from img2world.core.views import Views
from img2world.poses.second_opinion import MIN_GAIN, judge, with_second_opinion
from img2world.video.synthetic import SyntheticVideo

COUNT = 16


def views_of(frames: Frames, cameras, grade: str = "A") -> Views:
    """Views of an object with points on its surface, graded by a solver."""
    rng = np.random.default_rng(0)
    points, colors = [], []
    for i in range(0, len(frames), 3):
        rows, columns = np.nonzero(frames.depth[i] > 0)
        chosen = rng.permutation(len(rows))[:150]
        row, column = rows[chosen], columns[chosen]
        intrinsics, pose = cameras.intrinsics[i], cameras.world_from_cam[i]
        pixels = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], -1)
        in_cam = (pixels @ np.linalg.inv(intrinsics).T) * frames.depth[i][row, column][:, None]
        points.append(in_cam @ pose[:3, :3].T + pose[:3, 3])
        colors.append(frames.rgb[i][row, column])
    report = PoseReport(
        solver="flow-colmap", grade=grade, reasons=(), frames=tuple(range(len(frames))), total=len(frames), tracks=500,
        heldout_px=0.5, inlier_share=0.9, parallax_deg=20.0, focal_at_limit=False,
    )  # fmt: skip
    return Views(
        rgb=frames.rgb, cameras=cameras, confidence=np.ones(len(frames), np.float32), solver="flow-colmap",
        points=np.concatenate(points).astype(np.float32), point_colors=np.concatenate(colors), report=report,
    )  # fmt: skip


@pytest.fixture(scope="module")
def orbit(make_cameras):
    cameras = make_cameras(
        on_sphere(np.arange(COUNT) * 2 * np.pi / COUNT, np.full(COUNT, 0.2)), 0.7, width=128, height=128
    )
    return SyntheticVideo(supersample=1).generate(None, cameras, seed=3), cameras


def objections(views: Views) -> str:
    judged = with_second_opinion(views, ordered=True)
    assert judged.report.grade == ("C" if judged.report.reasons else "A")
    return "; ".join(judged.report.reasons)


def test_true_cameras_show_new_views(orbit):
    views = views_of(*orbit)
    assert judge(views, ordered=True).gain > MIN_GAIN + 2
    assert objections(views) == ""


def test_half_of_the_circle_does_not(orbit, make_cameras):
    frames, _ = orbit
    half = make_cameras(on_sphere(np.arange(COUNT) * np.pi / COUNT, np.full(COUNT, 0.2)), 0.7, width=128, height=128)
    found = objections(views_of(frames, half))
    assert "shows new views" in found
    assert "the first and the last view look alike" in found


def test_a_zigzag_is_not_believed(orbit, make_cameras):
    frames, _ = orbit
    azimuths = np.radians([0, -40, -10, -70, -92, -60, -80, -30, 0, 20, -10, 52, 30, 50, 20, 40])
    found = objections(
        views_of(frames, make_cameras(on_sphere(azimuths, np.full(COUNT, 0.2)), 0.7, width=128, height=128))
    )
    assert "fits and starts" in found


def test_a_lens_that_nobody_has(orbit):
    frames, cameras = orbit
    views = views_of(frames, cameras)
    long = replace(cameras, intrinsics=cameras.intrinsics * np.float32([[6], [6], [1]]))
    assert "widths of the picture" in objections(replace(views, cameras=long))
    judged = with_second_opinion(replace(views, cameras=long), ordered=True, known_lens=True)
    assert "widths" not in "; ".join(judged.report.reasons)


def test_things_that_move_by_themselves(orbit):
    frames, cameras = orbit
    views = views_of(frames, cameras)
    moving = replace(views, report=replace(views.report, moving_share=0.2, moving_frames=(3, 4)))
    assert "move by themselves" in objections(moving)


def test_few_views_are_not_judged(orbit):
    frames, cameras = orbit
    views = views_of(frames, cameras)
    few = replace(views.select(np.arange(5)), report=views.report)
    assert with_second_opinion(few, ordered=True) is few


def test_a_worse_grade_stays(orbit):
    frames, cameras = orbit
    views = views_of(frames, cameras.select(np.arange(COUNT)[::-1].copy()), grade="D")
    assert with_second_opinion(views, ordered=True).report.grade == "D"

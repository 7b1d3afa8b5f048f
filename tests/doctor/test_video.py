"""Faults put into rendered clips are found where they are, and clean clips have none."""

from dataclasses import replace

import numpy as np

from img2world.core.frames import Frames
from img2world.doctor.findings import select_rejections
from img2world.doctor.video import examine_video


def kinds(frames: Frames) -> dict[str, tuple[int, ...]]:
    return {finding.kind: finding.frames for finding in examine_video(frames)}


def test_clean_clips_are_clean(room, thing):
    assert kinds(room) == {}
    assert kinds(thing) == {}


def test_too_short(room, frames_of):
    (finding,) = examine_video(frames_of(room.rgb[:2]))
    assert (finding.kind, finding.severity) == ("too short", "reject")


def test_a_frozen_clip_is_rejected(room, frames_of):
    frozen = frames_of(np.concatenate([np.repeat(room.rgb[:1], 6, 0), room.rgb[1:4]]))
    assert select_rejections(examine_video(frozen))[0].kind == "frozen"


def test_several_faults_are_told_together_the_worst_first(room, frames_of):
    """Flicker hides neither repeated frames nor bars, nor a cut."""
    rgb = np.concatenate([room.rgb[:6], room.rgb[5:6], room.rgb[6:9], room.rgb[:8, ::-1]])
    gain = 1 + 0.15 * np.random.default_rng(0).normal(size=(len(rgb), 1, 1, 1))
    rgb = np.clip(rgb * gain, 0, 255).astype(np.uint8)
    rgb[:, :16] = rgb[:, -16:] = 3
    findings = examine_video(frames_of(rgb))
    assert [finding.kind for finding in findings if finding.severity == "reject"] == ["cut"]
    assert findings[0].kind == "cut"
    assert {"letterbox", "flicker"} < {finding.kind for finding in findings}
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities, key=["reject", "warning", "note"].index)


def test_repeated_frames_are_noted(room, frames_of):
    rgb = room.rgb[:9].copy()
    rgb[7] = rgb[6]
    assert kinds(frames_of(rgb)) == {"repeated": (7,)}


def test_photos_are_left_alone(room):
    assert examine_video(replace(room, ordered=False)) == []

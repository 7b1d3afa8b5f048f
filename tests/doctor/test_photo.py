"""Warnings about a single photo, on made subjects whose faults are known."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.image import Image
from img2world.core.subject import Foreground, ObjectGeometry, SceneGeometry, Subject
from img2world.doctor.photo import examine_photo

SIDE = 768


def texture(size: tuple[int, int]) -> np.ndarray:
    """A picture of bright and dark rows."""
    rows = np.linspace(40, 220, size[0], dtype=np.uint8)
    return np.broadcast_to(rows[:, None, None], (*size, 3)).copy()


def geometry() -> ObjectGeometry:
    flat = np.zeros((8, 8), np.float32)
    return ObjectGeometry(
        front=flat, thickness=flat, predicted_error=flat, symmetry_planes=np.zeros(37, np.float32), elevation=0.0
    )


def thing(alpha: np.ndarray) -> Subject:
    return Subject(image=Image(rgb=texture(alpha.shape)), alpha=alpha, reason="", geometry=geometry())


def scene(*alphas: np.ndarray, size=(600, 800), depths=(1.0, 4.0)) -> Subject:
    inverse = np.repeat(np.linspace(1 / depths[0], 1 / depths[1], 50)[:, None], 40, 1).astype(np.float32)
    return Subject(
        image=Image(rgb=texture(size)),
        alpha=None,
        reason="",
        geometry=SceneGeometry(inverse_depth=inverse, sky=None),
        foreground=tuple(Foreground(alpha=alpha, geometry=geometry()) for alpha in alphas),
    )


def block(rows: slice, columns: slice, size=(600, 800)) -> np.ndarray:
    alpha = np.zeros(size, np.uint8)
    alpha[rows, columns] = 255
    return alpha


def kinds(subject: Subject, frame_side: int = SIDE) -> list[str]:
    findings = examine_photo(subject, frame_side)
    assert all(finding.severity == "warning" and finding.advice for finding in findings)
    return [finding.kind for finding in findings]


def test_good_photos_have_no_warnings():
    assert kinds(thing(block(slice(20, 580), slice(100, 700)))) == []
    assert kinds(scene()) == []
    assert kinds(scene(block(slice(200, 600), slice(100, 700)))) == []


def test_an_object_cut_off_by_any_border_is_named_with_the_side():
    for rows, columns, side in (
        (slice(0, 400), slice(100, 700), "top"),
        (slice(100, 600), slice(100, 700), "bottom"),
        (slice(100, 500), slice(0, 500), "left"),
        (slice(100, 500), slice(300, 800), "right"),
    ):
        (finding,) = examine_photo(thing(block(rows, columns)), SIDE)
        assert (finding.kind, f"({side})" in finding.found) == ("cropped", True)


def test_what_leaves_a_scene_is_continued_beyond_its_border():
    assert kinds(scene(block(slice(200, 500), slice(0, 400)))) == []


def test_one_warning_of_a_kind_is_enough():
    rods = [block(slice(50, 550), slice(x, x + 8)) for x in (200, 300)]
    assert kinds(scene(*rods)) == ["thin"]


def test_a_touch_of_the_border_is_no_cut():
    alpha = block(slice(100, 500), slice(20, 700))
    alpha[290:310, :30] = 255
    assert kinds(thing(alpha)) == []


def test_rods_are_thin_and_a_body_with_a_rod_is_not():
    rods = block(slice(50, 550), slice(300, 308)) | block(slice(50, 550), slice(400, 408))
    assert kinds(thing(rods)) == ["thin"]
    assert kinds(thing(rods | block(slice(150, 450), slice(200, 500)))) == []


def test_glass_has_an_unclear_outline():
    alpha = block(slice(100, 500), slice(100, 600))
    alpha[150:450, 250:350] = 160  # 30,000 of 200,000 pixels.
    (finding,) = examine_photo(thing(alpha), SIDE)
    assert finding.kind == "unclear outline"
    assert "15%" in finding.found


def test_flat_scenes_are_named_unless_something_stands_in_front():
    assert kinds(scene(depths=(1.0, 1.2))) == ["flat"]
    assert kinds(scene(block(slice(200, 600), slice(100, 700)), depths=(1.0, 1.2))) == []
    (finding,) = examine_photo(scene(depths=(1.0, 1.2)), SIDE)
    # The middle 90 % of inverse depths between 1 and 1 / 1.2.
    near, far = 1 - 0.05 * (1 - 1 / 1.2), 1 - 0.95 * (1 - 1 / 1.2)
    assert f"{near / far:.2f} times" in finding.found


@pytest.mark.parametrize(("frame_side", "expected"), [(768, []), (1400, ["small"])])
def test_a_small_photo_is_one_that_frames_enlarge(frame_side, expected):
    assert kinds(scene(), frame_side) == expected


def test_a_small_object_in_a_large_photo_is_small():
    findings = examine_photo(thing(block(slice(200, 400), slice(300, 500))), SIDE)
    assert [finding.kind for finding in findings] == ["small"]
    # 0.74 of 768 pixels show 200.
    assert "200 pixels" in findings[0].found
    assert f"{0.74 * 768 / 200:.1f} times" in findings[0].found


@pytest.mark.parametrize(("levels", "expected"), [(0, ["blank"]), (4, ["blank"]), (40, [])])
def test_a_photo_without_contrast_is_blank(levels, expected):
    subject = scene()
    rows = np.linspace(100, 100 + levels, 600).astype(np.uint8)
    blank = np.broadcast_to(rows[:, None, None], (600, 800, 3)).copy()
    assert kinds(replace(subject, image=Image(rgb=blank))) == expected

"""Clips that are cut, spliced, mirrored or reversed at known frames, and measurements that are made up."""

import numpy as np

from img2world.doctor.continuity import _turns_back, find_broken_links, find_discontinuities
from img2world.doctor.transitions import Transition


def kinds(compared, rgb: np.ndarray) -> dict[str, tuple[int, ...]]:
    return {finding.kind: finding.frames for finding in find_discontinuities(*compared(rgb))}


def test_clean_clips_are_continuous(room, thing, compared):
    assert kinds(compared, room.rgb) == kinds(compared, thing.rgb) == {}


def test_a_cut_to_another_place(room, thing, compared):
    assert kinds(compared, np.concatenate([room.rgb[:8], thing.rgb[:8]])) == {"cut": (8,)}


def test_a_shot_of_similar_colors_is_another_shot(room, sideways, render, compared):
    other = render(sideways[:8], "room", seed=7).rgb
    similar = (other - other.mean((0, 1, 2))) / other.std((0, 1, 2)) * room.rgb.std((0, 1, 2)) + room.rgb.mean(
        (0, 1, 2)
    )
    similar = np.clip(similar, 0, 255).astype(np.uint8)
    assert kinds(compared, np.concatenate([room.rgb[:8], similar])) == {"cut": (8,)}


def test_a_missing_part_is_a_jump(room, compared):
    assert kinds(compared, np.concatenate([room.rgb[:4], room.rgb[13:]])) == {"jump": (4,)}


def test_mirrored_frames(room, compared):
    rgb = room.rgb.copy()
    rgb[7:11] = rgb[7:11, :, ::-1]
    assert kinds(compared, rgb)["mirrored"] == (7, 8, 9, 10)


def test_another_object_is_a_cut_and_another_side_a_jump(thing, render, compared):
    from img2world.core.camera_paths import orbit

    other = render(orbit(18, elevation=0.2), "object", seed=2, fov=0.7).rgb
    assert kinds(compared, np.concatenate([thing.rgb[:8], other[8:]])) == {"cut": (8,)}
    assert kinds(compared, np.concatenate([thing.rgb[:6], thing.rgb[12:]])) == {"jump": (6,)}


def test_mirrored_frames_of_an_object(thing, compared):
    for first in (4, 10):
        rgb = thing.rgb.copy()
        rgb[first : first + 4] = rgb[first : first + 4, :, ::-1]
        assert kinds(compared, rgb) == {"mirrored": tuple(range(first, first + 4))}


def test_one_dark_frame_is_no_cut(room, compared):
    rgb = room.rgb.copy()
    rgb[8] = (0.15 * rgb[8]).astype(np.uint8)
    assert "cut" not in kinds(compared, rgb)


def test_reversed_frames(room, compared):
    rgb = room.rgb.copy()
    rgb[5:15] = rgb[5:15][::-1]
    assert kinds(compared, rgb)["backwards"] == tuple(range(5, 15))


def transition(*, difference=5.0, tracked=0.9, histogram=0.1, motion=0.0) -> Transition:
    return Transition(
        difference=difference, tracked_fraction=tracked, histogram_distance=histogram, gain=1.0,
        start=np.zeros((1, 2)), end=np.array([[motion, 0.0]]),
    )  # fmt: skip


def test_many_broken_links_are_told_once(room, compared):
    clip, _ = compared(room.rgb[:9])
    (finding,) = find_discontinuities(clip, [transition(), transition(tracked=0.1, difference=20.0)] * 4)
    assert (finding.kind, finding.frames) == ("no link", (2, 4, 6, 8))


def test_a_mirrored_part_of_an_orbit_turns_the_other_way():
    """The mirror image of most things is what is seen from the other side."""
    turning = [transition(motion=3.0)] * 6
    assert not _turns_back([*turning, *turning], 4, 8)
    assert _turns_back([*turning[:4], *[transition(motion=-3.0)] * 4, *turning[:4]], 4, 8)
    assert not _turns_back(turning, 3, 3)  # A single frame turns neither way.


def test_a_leap_is_much_longer_than_usual_and_than_its_neighbours(room, compared):
    clip, _ = compared(room.rgb[:9])
    for motions, links in (
        ([2, 2, 2, 9, 2, 2, 2, 2], [4]),
        ([2, 2, 2, 6, 9, 6, 2, 2], []),
        ([2, 2, 2, 5, 2, 2, 2, 2], []),
    ):
        findings = list(find_discontinuities(clip, [transition(motion=float(motion)) for motion in motions]))
        assert [(finding.kind, *finding.frames) for finding in findings] == [("jump", link) for link in links]


def test_a_link_is_broken_where_points_are_lost_and_the_picture_changes():
    usual = [transition() for _ in range(6)]
    assert find_broken_links([*usual, transition(tracked=0.1, difference=20.0)]) == [7]
    assert find_broken_links([*usual, transition(tracked=0.1, histogram=0.8)]) == [7]
    assert find_broken_links([*usual, transition(tracked=0.1)]) == []  # Blur loses points but changes little.
    assert find_broken_links([*usual, transition(difference=20.0)]) == []
    assert find_broken_links([*usual, transition(tracked=float("nan"), difference=20.0)]) == []
    # A narrow side of an object that turns is no break.
    narrow = [transition(tracked=fraction, difference=20.0) for fraction in (0.4, 0.3, 0.2, 0.25, 0.35)]
    assert find_broken_links([*usual, *narrow, *usual]) == []
    # Where hardly anything can be followed anywhere, nothing holds the video together.
    lost = [transition(tracked=0.1)] * 7 + [transition(tracked=0.3)]
    assert find_broken_links(lost) == [1, 2, 3, 4, 5, 6, 7]
    assert find_broken_links(lost[4:]) == []  # Of few, each may show another side.
    # Where most links are bad, none stands out.
    assert (
        find_broken_links([transition(tracked=0.2) for _ in range(5)] + [transition(tracked=0.15, difference=20.0)])
        == []
    )

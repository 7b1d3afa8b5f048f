import numpy as np
import pytest

from img2world.quality.edges import (
    find_contours,
    find_straight_edges,
    measure_bending,
    measure_wobble,
    worst_tenth,
)

FOCAL = 80 / np.tan(np.radians(30))
"""Of the cameras that `make_cameras` makes, 160 pixels wide."""


def drawn(width=320, height=240):
    """Return a picture of a bright rectangle, a disc and a row of collinear dashes."""
    import cv2

    picture = np.full((height, width, 3), 40, np.uint8)
    cv2.rectangle(picture, (40, 30), (140, 200), (200, 200, 200), -1)
    cv2.circle(picture, (240, 70), 35, (220, 120, 60), -1)
    for x in range(170, 300, 16):
        cv2.rectangle(picture, (x, 180), (x + 10, 190), (230, 230, 230), -1)
    return picture.astype(np.float32) / 255


def vertical_edge(x: float, low: float = 10, high: float = 110) -> np.ndarray:
    y = np.arange(low, high, dtype=float)
    return np.column_stack([np.full(len(y), x), y])


def test_long_straight_edges_are_found_and_dashes_joined():
    edges = find_straight_edges(drawn())
    ends = [(*edge.min(0).round().astype(int).tolist(), *edge.max(0).round().astype(int).tolist()) for edge in edges]

    def is_found(*expected):
        return any(np.abs(np.subtract(end, expected)).max() <= 3 for end in ends)

    assert is_found(40, 30, 40, 200)
    assert is_found(141, 30, 141, 200)
    assert is_found(40, 30, 141, 30)
    # The upper and lower sides of nine dashes are each one edge; the disc has no straight one.
    assert is_found(170, 180, 309, 180)
    assert is_found(170, 191, 309, 191)
    assert not any(200 < end[0] < 280 and end[3] < 110 for end in ends)


def test_edges_outside_of_the_mask_do_not_count():
    mask = np.zeros((240, 320), bool)
    mask[:, :160] = True
    assert len(find_straight_edges(drawn(), mask)) < len(find_straight_edges(drawn()))
    assert max(edge[:, 0].max() for edge in find_straight_edges(drawn(), mask)) <= 160
    assert max(edge[:, 0].max() for edge in find_contours(drawn(), mask)) <= 160


def test_contours_follow_the_outlines_within_a_cell():
    contours = find_contours(drawn())
    points = np.concatenate(contours)
    on_disc = np.abs(np.hypot(points[:, 0] - 240.5, points[:, 1] - 70.5) - 35) < 2
    assert on_disc.sum() > 0.6 * 2 * np.pi * 35 / np.sqrt(2)
    assert max(np.ptp(contour, axis=0).max() for contour in contours) <= 32


def test_edges_of_planes_stay_straight_and_keep_their_shape(make_cameras, make_wall, cast_walls):
    cameras = make_cameras([(0, 0, 0), (0.4, 0.1, 0), (-0.4, 0, 0.2)])
    photo = cast_walls(cameras.select([0]), [make_wall(2.0, slope=0.5)])
    angle = np.linspace(0, 2 * np.pi, 60)
    disc = np.column_stack([80 + 8 * np.cos(angle), 60 + 8 * np.sin(angle)])
    others = cameras.select([1, 2])
    # Depth is read at the pixel, half a pixel off at most, and of the nearest in its surroundings.
    assert measure_bending([vertical_edge(40), vertical_edge(110)], photo, others).max() < 0.002
    assert measure_wobble([disc], photo, others).max() < 0.002


def test_an_edge_over_a_step_in_depth_bends_by_what_parallax_says(make_cameras, make_wall, cast_walls):
    cameras = make_cameras([(0, 0, 0), (0.2, 0, 0)])
    photo = cast_walls(cameras.select([0]), [make_wall(4.0), make_wall(1.0, left=0.0)])
    # A horizontal edge across the step stays straight under a sideways move, whatever its depth.
    across = np.column_stack([np.arange(40, 120.0), np.full(80, 60.5)])
    assert measure_bending([across], photo, cameras.select([1]))[0] < 1e-4
    # Seen from above it breaks into two parallel halves. Only the distance of their points from the best line counts.
    above = make_cameras([(0, -0.2, 0)])
    jump = FOCAL * 0.2 * (1 / 1.0 - 1 / 4.0)
    y = np.where(across[:, 0] < 79, 0.0, jump)  # The nearest surface, within a pixel of the step.
    slope, offset = np.polyfit(across[:, 0] + 0.0, y, 1)
    expected = np.percentile(np.abs(y - slope * across[:, 0] - offset) / np.hypot(1, slope), 90) / 160
    assert measure_bending([across], photo, above)[0] == pytest.approx(expected, rel=0.15)
    assert expected > 0.01


def test_an_edge_on_a_curved_surface_bends_by_what_parallax_says(make_cameras, make_wall, cast_walls):
    (photo,) = (cast_walls(make_cameras([(0, 0, 0)]), [make_wall(2.0)]),)
    rows = np.arange(120) + 0.5
    wavy = 2 + 0.2 * np.sin(2 * np.pi * rows / 40)
    from dataclasses import replace

    photo = replace(photo, depth=np.repeat(wavy[:, None], 160, 1).astype(np.float32))
    edge = vertical_edge(80)
    moved = make_cameras([(0.3, 0, 0)])
    x = 80 - FOCAL * 0.3 / np.interp(edge[:, 1] + 0.5, rows, wavy)
    expected = np.percentile(np.abs(x - np.polyval(np.polyfit(edge[:, 1], x, 1), edge[:, 1])), 90) / 160
    assert measure_bending([edge], photo, moved)[0] == pytest.approx(expected, rel=0.1)
    # The same wave deforms a contour, which on the flat wall is not.
    assert measure_wobble([edge], photo, moved)[0] == pytest.approx(expected, rel=0.15)


def test_an_edge_without_a_surface_does_not_count(make_cameras, make_wall, cast_walls):
    cameras = make_cameras([(0, 0, 0), (0.2, 0, 0)])
    photo = cast_walls(cameras.select([0]), [make_wall(2.0, left=0.0)])
    assert measure_bending([vertical_edge(20)], photo, cameras)[0] == 0
    assert len(measure_bending([], photo, cameras)) == 0


def test_worst_tenth_is_the_mean_of_the_largest_tenth_by_length():
    values, lengths = np.array([1.0, 5.0, 3.0, 0.0]), np.array([50.0, 4.0, 12.0, 34.0])
    # Of 100 pixels, the worst 10 are 4 of value 5 and 6 of value 3.
    assert worst_tenth(values, lengths) == pytest.approx((4 * 5 + 6 * 3) / 10)
    assert worst_tenth(np.array([2.0]), np.array([7.0])) == pytest.approx(2)

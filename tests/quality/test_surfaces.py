import numpy as np
import pytest

from img2world.quality.surfaces import measure_coverage, measure_parallax

FOCAL = 80 / np.tan(np.radians(30))


def test_planes_have_no_parallax_however_they_are_tilted(make_cameras, make_wall, cast_walls):
    cameras = make_cameras([(0, 0, 0), (0.3, 0.1, 0), (-0.3, 0, 0.2)])
    for slope in (0.0, 0.6):
        photo = cast_walls(cameras.select([0]), [make_wall(2.0, slope=slope)])
        assert measure_parallax(photo, cameras) < 1e-3


def test_two_walls_move_against_each_other(make_cameras, make_wall, cast_walls):
    cameras = make_cameras([(0, 0, 0), (0.2, 0, 0)])
    photo = cast_walls(cameras.select([0]), [make_wall(4.0), make_wall(1.0, left=0.0)])
    jump = FOCAL * 0.2 * (1 - 1 / 4) / 160
    # The best plane is tilted and leaves a part of the jump, at most half of it on either side.
    parallax = measure_parallax(photo, cameras)
    assert 0.1 * jump < parallax < 0.6 * jump
    # It grows with the move and vanishes with the step.
    wider = measure_parallax(photo, make_cameras([(0.4, 0, 0)]))
    assert wider == pytest.approx(2 * parallax, rel=0.1)
    flat = cast_walls(cameras.select([0]), [make_wall(4.0), make_wall(3.9, left=0.0)])
    assert measure_parallax(flat, cameras) < 0.05 * parallax


def test_what_is_outside_of_the_photo_is_one_gap(make_cameras, make_wall, cast_walls):
    cameras = make_cameras([(0, 0, 0), (0.3, 0, 0)])
    photo, right = (cast_walls(cameras.select([i]), [make_wall(2.0)]) for i in range(2))
    coverage = measure_coverage(right, photo, is_object=False)
    assert coverage.unseen == pytest.approx(FOCAL * 0.15 / 160, abs=0.01)
    assert coverage.gap == pytest.approx(coverage.unseen)
    assert coverage.stretched == 0
    assert measure_coverage(photo, photo, is_object=False).unseen == 0


def test_what_is_hidden_and_what_is_outside_are_two_gaps(make_cameras, make_wall, cast_walls):
    cameras = make_cameras([(0, 0, 0), (-0.3, 0, 0)])
    walls = [make_wall(4.0), make_wall(1.0, left=0.0)]
    photo, left = (cast_walls(cameras.select([i]), walls) for i in range(2))
    coverage = measure_coverage(left, photo, is_object=False)
    # Behind the edge x from 0 to 0.9 at depth 4; at the left border x / z less than the photo shows.
    behind, outside = FOCAL * 0.9 / 4 / 160, FOCAL * 0.3 / 4 / 160
    assert coverage.unseen == pytest.approx(behind + outside, abs=0.015)
    assert coverage.gap == pytest.approx(behind, abs=0.01)


def test_a_wall_that_the_photo_sees_from_the_side_is_stretched(make_cameras, make_wall, cast_walls):
    # For z = 8 + 2 x, x / z from (-3, 0, 0) is v and from the origin u = 4 v - 1.5: a quarter of the detail.
    cameras = make_cameras([(-3.0, 0, 0), (0, 0, 0)])
    photo, view = (cast_walls(cameras.select([i]), [make_wall(8.0, slope=2.0)]) for i in range(2))
    coverage = measure_coverage(view, photo, is_object=False)
    # At the horizon of the wall a pixel of the photo covers more than the tolerance of depths.
    assert 0.75 < coverage.stretched <= 1 - coverage.unseen
    # The other way around there is more detail than is shown.
    assert measure_coverage(photo, view, is_object=False).stretched == 0


def test_of_an_object_only_its_pixels_count(make_cameras, make_wall, cast_walls):
    cameras = make_cameras([(0, 0, 0), (0.1, 0, 0)])
    photo, right = (cast_walls(cameras.select([i]), [make_wall(2.0, left=0.0)]) for i in range(2))
    assert measure_coverage(photo, photo, is_object=False).unseen == pytest.approx(0.5, abs=0.01)
    assert measure_coverage(photo, photo, is_object=True).unseen == 0
    edge = FOCAL * 0.05
    assert measure_coverage(right, photo, is_object=True).unseen == pytest.approx(edge / (80 + edge), abs=0.01)

import numpy as np
import pytest

from img2world.core.camera_paths import arc, orbit, tilted
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.quality.views import cameras_around, find_origins, headings, nearby_cameras, project, widest_cameras


def along(poses) -> Cameras:
    return Cameras(
        world_from_cam=poses,
        intrinsics=np.tile(intrinsics_from_fov(1.0, 64, 48), (len(poses), 1, 1)),
        width=64,
        height=48,
    )


def test_points_are_projected_as_a_pinhole_camera_does(make_cameras):
    camera = make_cameras([(0.5, 0, -1)], width=200, height=100)
    focal = 100 / np.tan(np.radians(30))
    x, y, depth = project(camera, np.array([0.6, -0.2, 1.0]))
    assert (x, y, depth) == pytest.approx((100 + focal * 0.05, 50 - focal * 0.1, 2.0), abs=1e-4)
    assert np.isnan(project(camera, np.array([0.6, -0.2, -1.5]))).all()


def test_a_wall_is_found_where_the_photo_shows_it_with_the_right_detail(make_cameras, make_wall, cast_walls):
    cameras = make_cameras([(0, 0, 0), (0, 0, 1), (0.2, 0, 0)])
    photo, near, right = (cast_walls(cameras.select([i]), [make_wall(2.0)]) for i in range(3))
    origins = find_origins(near, photo)
    # At half the distance one pixel of the photo covers two, and the middle stays where it is.
    assert origins.seen.all()
    np.testing.assert_allclose(origins.detail, 0.5, atol=1e-3)
    np.testing.assert_allclose(origins.xy[60, 80], (80.25, 60.25), atol=1e-3)
    # The camera has moved to the right by 0.2: what it shows at its right edge is outside of the photo.
    shift = 0.2 / 2 * 80 / np.tan(np.radians(30))
    assert find_origins(right, photo).seen.mean() == pytest.approx(1 - shift / 160, abs=0.01)


def test_what_is_hidden_in_the_photo_is_not_seen(make_cameras, make_wall, cast_walls):
    cameras = make_cameras([(0, 0, 0), (-0.3, 0, 0)])
    walls = [make_wall(4.0), make_wall(1.0, left=0.0)]
    photo, left = (cast_walls(cameras.select([i]), walls) for i in range(2))
    seen, far = find_origins(left, photo).seen, left.depth > 2
    # The near wall hides the far one's x > 0 from the photo, and its x > 0.9 from the left.
    focal = 80 / np.tan(np.radians(30))
    hidden = focal * (0.9 - 0.0) / 4
    assert (far & ~seen)[60, 40:].sum() == pytest.approx(hidden, abs=2)


def test_a_surface_seen_from_the_side_has_little_detail_across(make_cameras, make_wall, cast_walls):
    cameras = make_cameras([(0, 0, 0), (-0.8, 0, 0)])
    # The wall runs away to the right, steeply for the photo, less so from the left.
    photo, left = (cast_walls(cameras.select([i]), [make_wall(2.0, slope=1.0)]) for i in range(2))
    origins = find_origins(left, photo)
    assert origins.seen.any()
    # x' = f (x / z) of the point at x: compare with differences of exact positions along the middle row.
    z = left.depth[60].astype(float)
    x = (np.arange(160) + 0.5 - 80) / (80 / np.tan(np.radians(30))) * z - 0.8
    expected = np.abs(np.gradient(80 / np.tan(np.radians(30)) * x / z))
    shown = origins.seen[60]
    np.testing.assert_allclose(origins.detail[60][shown], np.minimum(expected, 1)[shown], rtol=0.05)


def test_the_widest_cameras_are_the_ends_of_an_arc_and_a_quarter_turn_of_an_orbit():
    path = along(arc(32, half_azimuth=0.2, half_elevation=0.05))
    ends = widest_cameras(path, np.radians(46))
    x = path.centers_in_world[list(ends), 0]
    assert sorted(x) == pytest.approx([path.centers_in_world[:, 0].min(), path.centers_in_world[:, 0].max()], abs=1e-3)
    around = widest_cameras(along(orbit(40)), np.radians(46))
    assert sorted(around) == [5, 35]


def test_nearby_cameras_are_on_both_sides():
    path = along(orbit(40))
    near = nearby_cameras(path, (5, 35), 1 / 3)
    assert sorted(near) == [2, 38]


def test_headings_are_about_the_vertical_of_a_tilted_orbit():
    path = along(tilted(orbit(12, elevation=0.6), 0.6))
    np.testing.assert_allclose(np.abs(headings(path)), [0.5236 * min(i, 12 - i) for i in range(12)], atol=1e-3)
    assert sorted(cameras_around(path)) == [3, 6, 9]
    assert cameras_around(path)[1] == 6
    assert sorted(widest_cameras(path, np.radians(46))) == [1, 11]
    assert cameras_around(along(arc(12, half_azimuth=0.3, half_elevation=0.1))) == []

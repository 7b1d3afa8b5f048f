"""The shell behind a captured scene, against directions and colours worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.formats.splat_file import join
from img2world.render import render
from img2world.splat.far_shell import FarShell, pixels_filled


@pytest.fixture(scope="module")
def views(wall_views):
    return replace(wall_views, depth=None)


def test_the_shell_is_a_sphere_on_a_floor_around_all_points(views):
    shell = FarShell.around(views)
    np.testing.assert_allclose(shell.down, [0, 1, 0], atol=1e-6)
    offsets = views.points - shell.center
    assert np.linalg.norm(offsets, axis=1).max() < shell.radius / 2
    # The lowest of the points is 0.9 below the origin.
    assert shell.center[1] + shell.floor == pytest.approx(0.9, abs=0.07)
    directions = np.array([[0, -1, 0], [0, 0, 1], [0, 1, 0], [0, 0.6, 0.8]])
    floor = shell.floor
    np.testing.assert_allclose(shell.distance(directions), [shell.radius, shell.radius, floor, floor / 0.6], rtol=1e-6)


def test_gaussians_are_on_the_shell_where_the_views_look(views):
    shell = FarShell.around(views)
    gaussians = shell.gaussians(views)
    offsets = gaussians.means - shell.center
    lengths = np.linalg.norm(offsets, axis=1)
    np.testing.assert_allclose(lengths, shell.distance(offsets / lengths[:, None]), rtol=1e-4)
    assert (offsets[:, 2] > 0).all()
    assert shell.holds(gaussians).all()
    assert not shell.holds(replace(gaussians, means=gaussians.means * np.float32(0.5))).any()


def test_the_shell_has_the_colour_of_the_background_and_no_holes(views):
    sky = np.uint8([90, 140, 200])
    views = replace(views, rgb=np.broadcast_to(sky, views.rgb.shape).copy())
    rendered = render(FarShell.around(views).gaussians(views), views.cameras, background=(0.0, 0.0, 0.0))
    np.testing.assert_allclose(rendered.rgb, np.broadcast_to(sky / np.float32(255), rendered.rgb.shape), atol=0.06)


def test_pixels_filled_are_those_of_the_rendered_alpha(wall_gaussians, views):
    filled = pixels_filled(wall_gaussians, views.cameras)
    alpha = render(wall_gaussians, views.cameras, background=(0.0, 0.0, 0.0)).alpha
    np.testing.assert_allclose(filled.sum(), alpha.sum(), rtol=1e-3)


def test_what_others_hide_is_removed(views):
    shell = FarShell.around(views)
    behind = shell.gaussians(views)
    assert len(shell.without_hidden(behind, views.cameras)) > 0.3 * len(behind)
    nearer = shell.center + 0.5 * (behind.means - shell.center)
    screen = replace(behind, means=nearer.astype(np.float32), logit_opacities=behind.logit_opacities + 6)
    left = shell.without_hidden(join(screen, behind), views.cameras)
    assert len(screen) <= len(left) < len(screen) + 0.2 * len(behind)

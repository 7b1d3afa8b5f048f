"""The sphere behind a captured scene, against directions and colours worked out by hand."""

from dataclasses import replace

import numpy as np

from img2world.formats.splat_file import join
from img2world.render import render
from img2world.splat.far_shell import drop_hidden, far_shell, pixels_filled, shell_size


def test_the_shell_is_behind_all_points_where_the_views_look(wall_views):
    views = replace(wall_views, depth=None)
    shell = far_shell(views)
    center, radius = shell_size(views)
    np.testing.assert_allclose(np.linalg.norm(shell.means - center, axis=1), radius, rtol=1e-5)
    assert radius > 2 * np.linalg.norm(views.points - center, axis=1).max()
    directions = (shell.means - center) / radius
    assert (directions[:, 2] > 0.5).all()


def test_the_shell_has_the_colour_of_the_background_and_no_holes(wall_views):
    sky = np.uint8([90, 140, 200])
    views = replace(wall_views, depth=None, rgb=np.broadcast_to(sky, wall_views.rgb.shape).copy())
    rendered = render(far_shell(views), views.cameras, background=(0.0, 0.0, 0.0))
    np.testing.assert_allclose(rendered.rgb, np.broadcast_to(sky / np.float32(255), rendered.rgb.shape), atol=0.04)


def test_pixels_filled_are_those_of_the_rendered_alpha(wall_gaussians, wall_views):
    filled = pixels_filled(wall_gaussians, wall_views.cameras)
    alpha = render(wall_gaussians, wall_views.cameras, background=(0.0, 0.0, 0.0)).alpha
    np.testing.assert_allclose(filled.sum(), alpha.sum(), rtol=1e-3)


def test_what_others_hide_is_dropped(wall_views):
    views = replace(wall_views, depth=None)
    shell = far_shell(views)
    center, radius = shell_size(views)
    beyond = {"beyond": center, "radius": 0.9 * radius}
    assert len(drop_hidden(shell, views.cameras, **beyond)) > 0.3 * len(shell)
    wall = shell.means - center.astype(np.float32)
    screen = replace(shell, means=(center + 0.5 * wall).astype(np.float32), logit_opacities=shell.logit_opacities + 6)
    both = join(screen, shell)
    left = drop_hidden(both, views.cameras, **beyond)
    assert len(screen) <= len(left) < len(screen) + 0.2 * len(shell)

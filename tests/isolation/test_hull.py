import numpy as np
import pytest
from scenes import RADIUS, cameras_around, trace

from img2world.isolation.aim import find_aim
from img2world.isolation.hull import closer_grid, first_grid, main_part, silhouette, vote, without_below


@pytest.fixture(scope="module")
def many():
    cameras = cameras_around(16)
    return cameras, trace(cameras)[1]


def carve(cameras, masks, weights=None, agreement=0.9, resolution=48):
    aim = find_aim(cameras)
    cover = [np.asarray(mask, np.float32) for mask in masks]
    weights = np.ones(len(cover)) if weights is None else weights
    first = vote(cover, weights, cameras, first_grid(aim, resolution), agreement=0.6)
    return main_part(vote(cover, weights, cameras, closer_grid(first, resolution), agreement=agreement), aim)


def volume(hull) -> float:
    return np.count_nonzero(hull.votes > 0) * hull.grid.step**3


def test_the_hull_of_a_ball_is_hardly_more_than_the_ball(many):
    # Sixteen views from above leave peaks above and below the ball.
    assert 1.0 < volume(carve(*many)) / (4 / 3 * np.pi * RADIUS**3) < 1.35


def test_one_blind_view_of_sixteen_changes_little(many):
    cameras, masks = many
    blind = [*masks]
    blind[5] = np.zeros_like(masks[5])
    assert volume(carve(cameras, blind)) == pytest.approx(volume(carve(cameras, masks)), rel=0.15)
    ignored = [np.asarray(mask, np.float32) for mask in masks]
    ignored[5] = np.full(masks[5].shape, np.nan, np.float32)
    assert volume(carve(cameras, ignored)) == pytest.approx(volume(carve(cameras, masks)), rel=0.05)


def test_the_outline_is_that_of_the_masks(many):
    cameras, masks = many
    surface = carve(cameras, masks).surface()
    for i in (0, 7):
        outline = silhouette(surface, cameras.select([i]))
        assert (outline & masks[i]).sum() / (outline | masks[i]).sum() > 0.9


def test_nothing_is_left_below_the_support(many):
    hull = without_below(carve(*many), np.array([0, -1.0, 0, 0.1]))
    # The plane is at y = 0.1, and down is +Y.
    assert hull.surface().vertices[:, 1].max() == pytest.approx(0.1, abs=0.02)


def test_only_the_part_that_the_cameras_look_at_is_kept(many):
    cameras, masks = many
    grid = first_grid(find_aim(cameras), 48)
    hull = vote([np.ones(mask.shape, np.float32) for mask in masks], np.ones(16), cameras, grid, agreement=0.5)
    points = grid.to_world(np.indices(grid.shape).reshape(3, -1).T).reshape(*grid.shape, 3)
    two = np.minimum(np.linalg.norm(points, axis=-1), np.linalg.norm(points - (0.6, 0, 0), axis=-1)) < 0.2
    hull.votes[:] = np.where(two, 0.2, -0.2)
    kept = points[main_part(hull, find_aim(cameras)).votes > 0]
    assert np.linalg.norm(kept, axis=1).max() < 0.25
    assert len(kept) == pytest.approx(np.count_nonzero(two) / 2, rel=0.1)

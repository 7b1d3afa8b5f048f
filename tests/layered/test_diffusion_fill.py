import numpy as np
import pytest
import torch

from img2world.core.errors import MissingPackageError
from img2world.layered.diffusion_fill import draw_anchor, fill_unseen, generate_anchors, load_network
from img2world.layered.fill_network import NanoFill
from img2world.layered.layers import SEEN
from img2world.layered.warp import Warper
from img2world.trajectory.paths import AutoTrajectory


@pytest.fixture(scope="module")
def network():
    """A network of the shipped size with random weights."""
    torch.manual_seed(0)
    made = NanoFill()
    with torch.no_grad():
        for values in made.parameters():
            values.add_(0.02 * torch.randn_like(values))
    return made.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def path(ball):
    """An orbit around the ball."""
    return AutoTrajectory(size=96, num_views=10).cameras(ball.subject)


def test_seen_texture_keeps_its_bits(ball, path, network):
    filled = fill_unseen(ball.layered, ball.camera, path, network=network)
    for before, after in zip(ball.layered.layers, filled.layers, strict=True):
        seen = before.seen == SEEN
        np.testing.assert_array_equal(before.texture[seen], after.texture[seen])
        np.testing.assert_array_equal(before.seen, after.seen)
        np.testing.assert_array_equal(before.vertices_in_world, after.vertices_in_world)
    back = filled.layers[1].texture - ball.layered.layers[1].texture
    assert np.abs(back).mean() > 0.01
    assert filled.layers[1].texture.min() >= 0
    assert filled.layers[1].texture.max() <= 1


def test_threads_do_not_change_a_bit(ball, path, network):
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(fill_unseen(ball.layered, ball.camera, path, network=network, seed=3).layers[1].texture)
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_remembered_frames_can_be_given_with_the_photo(ball, path, network):
    warper = Warper(ball.layered)
    frames = [draw_anchor(warper, path.select([i])) for i in (0, 3, 6)]
    one = generate_anchors(network, frames[:1], frames[2:], is_object=True)
    two = generate_anchors(network, frames[:2], frames[2:], is_object=True)
    assert one.shape == two.shape == (1, 96, 96, 3)
    assert not np.array_equal(one, two)
    again = generate_anchors(network, frames[:1], frames[2:], is_object=True, seed=1)
    assert not np.array_equal(one, again)


def test_missing_weights_are_reported(ball, path, tmp_path, monkeypatch):
    monkeypatch.setattr("img2world.depth.weights.resource_folder", lambda _: tmp_path)
    load_network.cache_clear()
    with pytest.raises(MissingPackageError, match="nano_fill"):
        fill_unseen(ball.layered, ball.camera, path)

import shutil

import numpy as np
import pytest
import torch
from skimage import data

from img2world.core.errors import MissingPackageError
from img2world.core.image import Image
from img2world.core.resources import resource_folder
from img2world.layered import diffusion_fill as module
from img2world.layered.build import build_layers
from img2world.layered.diffusion_fill import draw_anchor, fill_unseen, generate_anchors
from img2world.layered.fill_network import NanoFill
from img2world.layered.layers import SEEN
from img2world.layered.object_layers import object_camera
from img2world.layered.subject import AutoSubject
from img2world.layered.warp import Warper
from img2world.trajectory.paths import AutoTrajectory


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Random ones of the network's own size, in the file that the program reads."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = NanoFill()
    with torch.no_grad():
        for values in network.parameters():
            values.add_(0.02 * torch.randn_like(values))
    path = tmp_path / module.WEIGHTS
    shutil.copytree(resource_folder("assets") / "nano", path.parent)
    save_file({name: values.half().contiguous() for name, values in network.state_dict().items()}, path)
    monkeypatch.setattr("img2world.depth.weights.resource_folder", lambda _: tmp_path)
    module.load_network.cache_clear()
    yield path
    module.load_network.cache_clear()


@pytest.fixture(scope="module")
def cup():
    """A cut-out picture, its layered image and a path around it."""
    y, x = np.mgrid[:160, :160]
    alpha = (np.hypot(x - 80, y - 80) < 60).astype(np.uint8) * 255
    picture = Image(rgb=data.coffee()[100:260, 200:360], alpha=alpha)
    subject = AutoSubject().find(picture)
    path = AutoTrajectory(size=96, num_views=10).cameras(subject)
    return build_layers(subject, 96), path


def test_what_the_photo_shows_keeps_its_bits(cup, weights):
    layered, path = cup
    filled = fill_unseen(layered, object_camera(96), path)
    for before, after in zip(layered.layers, filled.layers, strict=True):
        seen = before.seen == SEEN
        np.testing.assert_array_equal(before.texture[seen], after.texture[seen])
        np.testing.assert_array_equal(before.seen, after.seen)
        np.testing.assert_array_equal(before.vertices_in_world, after.vertices_in_world)
    back = filled.layers[1].texture - layered.layers[1].texture
    assert np.abs(back).mean() > 0.01
    assert filled.layers[1].texture.min() >= 0
    assert filled.layers[1].texture.max() <= 1


def test_the_same_bits_whatever_the_threads(cup, weights):
    layered, path = cup
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(fill_unseen(layered, object_camera(96), path, seed=3).layers[1].texture)
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_remembered_frames_may_be_given_besides_the_photo(cup, weights):
    layered, path = cup
    warper = Warper(layered)
    frames = [draw_anchor(warper, path.select([i])) for i in (0, 3, 6)]
    one = generate_anchors(module.load_network(), frames[:1], frames[2:], is_object=True)
    two = generate_anchors(module.load_network(), frames[:2], frames[2:], is_object=True)
    assert one.shape == two.shape == (1, 96, 96, 3)
    assert not np.array_equal(one, two)
    again = generate_anchors(module.load_network(), frames[:1], frames[2:], is_object=True, seed=1)
    assert not np.array_equal(one, again)


def test_missing_weights_are_told(cup, tmp_path, monkeypatch):
    monkeypatch.setattr("img2world.depth.weights.resource_folder", lambda _: tmp_path)
    module.load_network.cache_clear()
    with pytest.raises(MissingPackageError, match="nano_fill"):
        fill_unseen(cup[0], object_camera(96), cup[1])

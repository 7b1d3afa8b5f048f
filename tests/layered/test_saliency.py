import shutil

import numpy as np
import pytest

from img2world.core.errors import ImageError, MissingPackageError
from img2world.layered import saliency
from img2world.layered.saliency import NETWORKS, download_weights, predict_saliency, resolve_model, weights_file

installed = pytest.mark.skipif(resolve_model("auto") == "none", reason="needs the extra cutout")


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without any cut-out network; returns the folder in which rembg would keep them."""
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    monkeypatch.setattr(saliency, "find_spec", lambda name: None if name == "rembg" else object())
    saliency.load_session.cache_clear()
    yield tmp_path
    saliency.load_session.cache_clear()


def test_auto_is_the_network_that_is_installed(nowhere):
    assert resolve_model("auto") == "none"
    assert resolve_model("isnet-general-use") == "isnet-general-use"
    (nowhere / "u2netp.onnx").touch()
    assert weights_file("u2netp") == nowhere / "u2netp.onnx"
    assert resolve_model("auto") == "u2netp"


def test_missing_and_wrong_weights_are_one_line(nowhere):
    picture = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(MissingPackageError, match="u2netp is missing") as error:
        predict_saliency(picture, "u2netp")
    assert "img2world[cutout]" in error.value.hint
    with pytest.raises(MissingPackageError, match="birefnet-general is missing") as error:
        predict_saliency(picture, "birefnet-general")
    assert "rembg d birefnet-general" in error.value.hint
    (nowhere / "u2netp.onnx").write_bytes(b"something else")
    with pytest.raises(ImageError, match="not the published ones"):
        predict_saliency(picture, "u2netp")
    pytest.importorskip("onnxruntime")
    (nowhere / "u2net.onnx").write_bytes(b"something else")
    with pytest.raises(ImageError, match="cannot be read"):
        predict_saliency(picture, "u2net")


@installed
def test_a_ball_on_a_meadow_stands_out(shapes):
    rng = np.random.default_rng(0)
    ball, inside = shapes.ball_picture((0, 0, 0)), shapes.disc(160, 48)
    meadow = np.array([60, 120, 50]) + rng.normal(0, 25, (160, 160, 1))
    rgb = np.where(inside[..., None], ball.rgb, meadow.clip(0, 255)).astype(np.uint8)
    found = predict_saliency(rgb, "u2netp")
    assert found.shape == (NETWORKS["u2netp"].side,) * 2
    truth = inside.repeat(2, 0).repeat(2, 1)
    assert ((found > 0.5) & truth).sum() / ((found > 0.5) | truth).sum() > 0.9


@installed
def test_larger_networks_are_used_from_the_folder_of_rembg(nowhere, monkeypatch, shapes):
    """The network of this name is the small one here; one of another input size would be refused by it."""
    monkeypatch.undo()
    shutil.copy(weights_file("u2netp"), nowhere / "u2net.onnx")
    monkeypatch.setenv("U2NET_HOME", str(nowhere))
    rgb = shapes.ball_picture((40, 90, 60)).rgb
    np.testing.assert_array_equal(predict_saliency(rgb, "u2net"), predict_saliency(rgb, "u2netp"))


@installed
def test_weights_are_downloaded_and_checked(nowhere, monkeypatch, tmp_path):
    """From a folder of this machine, as urllib reads it like an address."""
    monkeypatch.undo()
    published = tmp_path / "release"
    published.mkdir()
    shutil.copy(weights_file("u2netp"), published / "u2netp.onnx")
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(saliency, "find_spec", lambda name: None)
    monkeypatch.setattr(saliency, "RELEASE", published.as_uri())
    assert download_weights("u2netp") == tmp_path / "home" / "u2netp.onnx" == weights_file("u2netp")
    weights_file("u2netp").unlink()
    (published / "u2netp.onnx").write_bytes(b"something else")
    with pytest.raises(ImageError, match="not the published one"):
        download_weights("u2netp")
    (published / "u2netp.onnx").unlink()
    with pytest.raises(ImageError, match="cannot be downloaded"):
        download_weights("u2netp")
    assert list((tmp_path / "home").iterdir()) == []

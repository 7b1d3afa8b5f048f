import numpy as np
import pytest

pytest.importorskip("diffusers")

from img2world.core.errors import MissingPackageError, VideoError
from img2world.core.weights import Weights
from img2world.video.wan import WanVideo

TINY = {"width": 96, "height": 64, "num_frames": 5, "steps": 1}


@pytest.fixture
def lora(tmp_path):
    """Return a file of LoRA weights for the first layer of the tiny transformer."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(4)
    layer = "transformer.blocks.0.attn1.to_q"
    weights = {"lora_A": torch.randn(2, 24, generator=random), "lora_B": torch.randn(24, 2, generator=random)}
    save_file({f"{layer}.{name}.weight": value for name, value in weights.items()}, tmp_path / "orbit.safetensors")
    return tmp_path / "orbit.safetensors"


def test_lora_weights_change_the_frames_by_their_strength(checkpoint, scene_subject, path_for, lora):
    pytest.importorskip("peft")
    path, usual = path_for(scene_subject), {"checkpoint": str(checkpoint("wan")), **TINY}
    plain = WanVideo(**usual).generate(scene_subject, path)
    none = WanVideo(**usual, lora=Weights(lora), lora_strength=0.0).generate(scene_subject, path)
    full = WanVideo(**usual, lora=Weights(lora)).generate(scene_subject, path)
    assert np.abs(plain.rgb.astype(int) - none.rgb).max() <= 1  # the layer is computed in another order
    assert np.abs(plain.rgb.astype(int) - full.rgb).max() > 1


def test_lora_weights_that_cannot_be_used_are_refused(checkpoint, scene_subject, path_for, tmp_path, monkeypatch):
    pytest.importorskip("peft")
    path, usual = path_for(scene_subject), {"checkpoint": str(checkpoint("wan")), **TINY}
    with pytest.raises(VideoError, match="do not exist"):
        WanVideo(**usual, lora=Weights(tmp_path / "none")).generate(scene_subject, path)
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(VideoError, match="do not fit the model"):
        WanVideo(**usual, lora=Weights(tmp_path / "text.safetensors")).generate(scene_subject, path)
    monkeypatch.setattr("img2world.video.wan.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="needs peft"):
        WanVideo(**usual, lora=Weights(tmp_path)).generate(scene_subject, path)


def test_a_loop_ends_with_the_picture(checkpoint, scene_subject, path_for, monkeypatch):
    from diffusers import WanImageToVideoPipeline

    seen, call = [], WanImageToVideoPipeline.__call__
    monkeypatch.setattr(
        WanImageToVideoPipeline, "__call__", lambda pipe, **arguments: seen.append(arguments) or call(pipe, **arguments)
    )
    path = path_for(scene_subject)
    frames = WanVideo(checkpoint=str(checkpoint("wan-first-last")), loop=True, **TINY).generate(scene_subject, path)
    assert len(frames) == 5
    assert seen[0]["last_image"] is seen[0]["image"]
    with pytest.raises(VideoError, match="a first and a last frame") as caught:
        WanVideo(checkpoint=str(checkpoint("wan")), loop=True, **TINY).generate(scene_subject, path)
    assert "FLF2V" in caught.value.hint

import json

import pytest

from img2world.core.errors import VideoError
from img2world.video.diffusion import checkpoints
from img2world.video.diffusion.cards import CARDS


@pytest.fixture(autouse=True)
def own_settings(monkeypatch, tmp_path):
    """Keep the choice of models apart from the user's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_a_choice_is_stored_and_found(checkpoint):
    assert checkpoints.chosen_paths() == {}
    assert checkpoints.checkpoint_name("ltx", "") == CARDS["ltx"].repository
    checkpoints.choose("ltx", checkpoint("ltx"))
    checkpoints.choose("svd", checkpoint("svd"))
    assert checkpoints.chosen_paths() == {"ltx": str(checkpoint("ltx")), "svd": str(checkpoint("svd"))}
    assert checkpoints.find_checkpoint("ltx", "") == checkpoint("ltx")
    assert checkpoints.checkpoint_name("ltx", "") == str(checkpoint("ltx"))
    assert checkpoints.checkpoint_name("ltx", "else/where") == "else/where"


def test_a_choice_that_does_not_fit_is_not_stored(checkpoint, tmp_path):
    with pytest.raises(VideoError, match="is for LTXConditionPipeline, wan needs"):
        checkpoints.choose("wan", checkpoint("ltx"))
    with pytest.raises(VideoError, match="no checkpoint of diffusers"):
        checkpoints.choose("wan", tmp_path)
    assert not checkpoints.settings_path().exists()


def test_a_broken_choice_file_is_named():
    path = checkpoints.settings_path()
    path.parent.mkdir(parents=True)
    path.write_text('{"ltx": 1}')
    with pytest.raises(VideoError, match="cannot be read") as caught:
        checkpoints.find_checkpoint("ltx", "")
    assert caught.value.hint == "remove the file"


def test_missing_shards_are_counted(tmp_path):
    (tmp_path / "transformer").mkdir()
    index = {"_class_name": "WanImageToVideoPipeline", "transformer": ["diffusers", "WanTransformer3DModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps({**index, "transformer_2": [None, None]}))
    (tmp_path / "transformer" / "config.json").write_text("{}")
    names = [f"part-{i}-of-3.safetensors" for i in range(3)]
    shards = {"weight_map": {str(i): name for i, name in enumerate(names)}}
    (tmp_path / "transformer" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(shards))
    (tmp_path / "transformer" / names[1]).write_bytes(b"")
    with pytest.raises(VideoError, match=r"transformer/part-0-of-3.safetensors and 1 more is missing"):
        checkpoints.find_checkpoint("wan", str(tmp_path))
    for name in names:
        (tmp_path / "transformer" / name).write_bytes(b"")
    assert checkpoints.find_checkpoint("wan", str(tmp_path)) == tmp_path


def test_parameters_are_counted_from_the_headers(checkpoint):
    from diffusers import LTXConditionPipeline

    pipe = LTXConditionPipeline.from_pretrained(checkpoint("ltx"), local_files_only=True)
    counts = checkpoints.count_parameters(checkpoint("ltx"))
    for name in ("transformer", "vae"):
        assert counts[name] == sum(value.numel() for value in getattr(pipe, name).state_dict().values())
    assert checkpoints.fixed_frame_size(checkpoint("cogvideox")) == (96, 64)
    assert checkpoints.fixed_frame_size(checkpoint("ltx")) is None


def test_weights_in_the_hubs_cache_are_found(checkpoint, tmp_path, monkeypatch):
    import shutil

    from huggingface_hub import constants

    repository = CARDS["ltx"].repository
    stored = tmp_path / "cache" / f"models--{repository.replace('/', '--')}"
    shutil.copytree(checkpoint("ltx"), stored / "snapshots" / "abc")
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert checkpoints.find_checkpoint("ltx", "") == stored / "snapshots" / "abc"

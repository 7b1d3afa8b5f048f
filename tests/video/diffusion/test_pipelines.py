"""Every backend on a tiny random checkpoint of the real class, from the picture to the Gaussians."""

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from img2world.core.errors import MissingPackageError, VideoError
from img2world.poses.commanded import CommandedPoses
from img2world.runs.recipe import backend_class
from img2world.splat.metrics import evaluate
from img2world.splat.optimize import GaussianSplat
from img2world.video import VIDEOS
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.memory import QUANTIZERS
from img2world.video.diffusion.pipelines import pipeline_class

SIZES = {"svd": (128, 64), "sana-wm": (64, 64)}
COUNTS = {"sana-wm": 9, "ltx": 9, "cogvideox": 9}
OTHER_OPTIONS = {"hunyuan": {"window": 3}}


@pytest.fixture
def make_backend(checkpoint):
    """Return a function that builds a backend with its tiny checkpoint."""

    def make(name, **options):
        width, height = SIZES.get(name, (96, 64))
        size = {"width": width, "height": height, "num_frames": COUNTS.get(name, 5), "steps": 2}
        defaults = {"checkpoint": str(checkpoint(name)), **size, **OTHER_OPTIONS.get(name, {})}
        return backend_class(name, VIDEOS, "video")(**{**defaults, **options})

    return make


@pytest.mark.parametrize("name", CARDS)
def test_from_a_picture_to_gaussians(name, make_backend, scene_subject, path_for):
    steps = []
    trajectory = path_for(scene_subject, COUNTS.get(name, 5))
    video = make_backend(name)
    frames = video.generate(scene_subject, trajectory, seed=1, progress=lambda *step, **_: steps.append(step))
    assert len(frames) == COUNTS.get(name, 5)
    assert frames.rgb.shape[1:3] == (video.height, video.width)
    assert frames.rgb.std() > 1
    np.testing.assert_allclose(np.diff(frames.times), 1 / CARDS[name].fps)
    assert steps == [(0, 2), (1, 2), (2, 2)]
    assert (frames.cameras is not None) == (CARDS[name].camera in ("exact", "shown"))
    again = video.generate(scene_subject, trajectory, seed=1)
    np.testing.assert_array_equal(frames.rgb, again.rgb)
    if frames.cameras is None:
        # For this test a free camera is taken to have followed the path.
        width, height = video.width, video.height
        trajectory = trajectory.resized(width, height)
        frames = type(frames)(rgb=frames.rgb, times=frames.times, cameras=trajectory)
    views = CommandedPoses(max_points=200).estimate(frames, trajectory)
    splat = GaussianSplat(steps=5, max_gaussians=200)
    scene = splat.optimize(views)
    assert np.isfinite(evaluate(scene, views, splat.held_out(len(views)))["train_psnr"])


@pytest.mark.parametrize("name", ["ltx", "hunyuan"])
def test_a_loop_starts_and_ends_with_the_picture(name, make_backend, scene_subject, path_for, monkeypatch):
    import diffusers

    pipeline = getattr(diffusers, CARDS[name].pipeline)
    call, calls = pipeline.__call__, []
    monkeypatch.setattr(
        pipeline, "__call__", lambda pipe, **arguments: calls.append(arguments) or call(pipe, **arguments)
    )
    make_backend(name, loop=True, steps=1).generate(scene_subject, path_for(scene_subject))
    if name == "ltx":
        assert [condition.frame_index for condition in calls[0]["conditions"]] == [0, 8]
    else:
        assert calls[0]["last_image"] is calls[0]["image"]


class CalledError(Exception):
    """Raised in place of running a pipeline."""


ARGUMENTS = {
    "prompt": ("prompt", "a red mug"),
    "negative_prompt": ("negative_prompt", "rain"),
    "guidance": ("guidance_scale", 3.25),
    "motion_bucket": ("motion_bucket_id", 40),
    "window": ("latent_window_size", 5),
}
"""Arguments of pipelines by the option that determines them, and a value that is not the default."""


@pytest.mark.parametrize("name", CARDS)
def test_options_reach_the_pipeline(name, make_backend, scene_subject, path_for, monkeypatch):
    import diffusers

    def record(pipe, **arguments):
        raise CalledError(arguments)

    monkeypatch.setattr(getattr(diffusers, CARDS[name].pipeline), "__call__", record)
    own = {option: ARGUMENTS[option] for option in vars(make_backend(name)).keys() & ARGUMENTS}
    video = make_backend(name, **{option: value for option, (_, value) in own.items()})
    with pytest.raises(CalledError) as caught:
        video.generate(scene_subject, path_for(scene_subject))
    for argument, value in own.values():
        assert str(value) in str(caught.value.args[0][argument])


@pytest.mark.parametrize("name", ["ltx", "svd"])
def test_another_seed_gives_other_frames(name, make_backend, scene_subject, path_for):
    path = path_for(scene_subject)
    first, second = (make_backend(name, steps=1).generate(scene_subject, path, seed=seed) for seed in (0, 1))
    assert (first.rgb != second.rgb).any()


def test_progress_may_stop_it(make_backend, scene_subject, path_for):
    def stop(done, total, **quality):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_backend("ltx").generate(scene_subject, path_for(scene_subject), progress=stop)


@pytest.mark.parametrize("name", ["sana-wm", "ltx"])
def test_an_object_is_padded_and_its_padding_removed(name, make_backend, object_subject, path_for):
    frames = make_backend(name, width=96, height=64).generate(object_subject, path_for(object_subject))
    assert frames.rgb.shape[1:3] == (64, 64)
    assert frames.alpha is not None
    if frames.cameras is not None:
        np.testing.assert_allclose(frames.cameras.intrinsics[:, :2, 2], 32)


class SmallAllocator(TorchDispatchMode):
    """Refuse every tensor above a size, as the allocator of a full GPU does."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(value, torch.Tensor) and value.numel() > 50_000:
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return result


@pytest.mark.parametrize("name", CARDS)
def test_out_of_memory_is_one_line_and_a_hint(name, make_backend, scene_subject, path_for, monkeypatch):
    # The weights are loaded before the memory is full.
    import diffusers

    pipeline = getattr(diffusers, CARDS[name].pipeline)
    call = pipeline.__call__

    def call_with_full_memory(pipe, **arguments):
        with SmallAllocator():
            return call(pipe, **arguments)

    monkeypatch.setattr(pipeline, "__call__", call_with_full_memory)
    with pytest.raises(VideoError, match=f"^{name} ran out of memory: .* were free") as caught:
        make_backend(name, steps=1).generate(scene_subject, path_for(scene_subject))
    assert "\n" not in str(caught.value)
    assert "--set video.precision=bfloat16" in caught.value.hint


@pytest.mark.parametrize("name", CARDS)
def test_a_checkpoint_of_another_model_is_refused(name, make_backend, checkpoint, scene_subject, path_for):
    other = "svd" if name != "svd" else "ltx"
    with pytest.raises(VideoError, match=f"is for {CARDS[other].pipeline}, {name} needs") as caught:
        make_backend(name, checkpoint=str(checkpoint(other))).generate(scene_subject, path_for(scene_subject))
    assert f"video.name={other}" in caught.value.hint


@pytest.mark.parametrize("name", CARDS)
def test_missing_packages_are_named(name, make_backend, scene_subject, path_for, monkeypatch):
    video = make_backend(name)
    monkeypatch.setattr("img2world.video.diffusion.pipelines.find_spec", lambda package: None)
    with pytest.raises(MissingPackageError, match=f"{name} needs diffusers, transformers") as caught:
        video.generate(scene_subject, path_for(scene_subject))
    assert caught.value.hint == "pip install 'img2world[diffusers]'"


def test_a_release_without_the_class_is_named(monkeypatch):
    import diffusers

    assert pipeline_class("sana-wm") is diffusers.SanaWMPipeline
    monkeypatch.setitem(CARDS, "sana-wm", type(CARDS["svd"])(**{**vars(CARDS["sana-wm"]), "pipeline": "NonePipeline"}))
    with pytest.raises(MissingPackageError, match=r"has no NonePipeline, needs 0.42 or newer"):
        pipeline_class("sana-wm")


@pytest.mark.parametrize("name", CARDS)
def test_a_missing_file_is_named(name, make_backend, checkpoint, scene_subject, path_for, tmp_path):
    import shutil

    part = "unet" if name == "svd" else "transformer"
    broken = shutil.copytree(checkpoint(name), tmp_path / "broken")
    weights = broken / part / "diffusion_pytorch_model.safetensors"
    path = path_for(scene_subject)
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match="cannot be loaded"):
        make_backend(name, checkpoint=str(broken)).generate(scene_subject, path)
    weights.unlink()
    with pytest.raises(VideoError, match=f"not complete, {part}/.* is missing") as caught:
        make_backend(name, checkpoint=str(broken)).generate(scene_subject, path)
    assert f"img2world models get {name}" in caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", CARDS)
def test_weights_that_are_not_here_are_not_fetched(name, make_backend, scene_subject, path_for, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = path_for(scene_subject)
    with pytest.raises(VideoError, match=f"the weights of {name} .* are not on this machine") as caught:
        make_backend(name, checkpoint="").generate(scene_subject, path)
    assert f"models get {name}" in caught.value.hint
    with pytest.raises(VideoError, match=f"the checkpoint of {name} does not exist"):
        make_backend(name, checkpoint=str(tmp_path / "none")).generate(scene_subject, path)


def test_frames_of_nan_are_refused(make_backend, checkpoint, scene_subject, path_for, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(checkpoint("ltx"), tmp_path / "broken")
    weights = broken / "transformer" / "diffusion_pytorch_model.safetensors"
    values = {name: torch.full_like(value, torch.nan) for name, value in load_file(weights).items()}
    save_file(values, weights)
    with pytest.raises(VideoError, match="no numbers"):
        make_backend("ltx", checkpoint=str(broken)).generate(scene_subject, path_for(scene_subject))


@pytest.mark.parametrize("name", CARDS)
def test_every_model_asks_for_the_package_that_quantizes(name, make_backend, scene_subject, path_for, monkeypatch):
    monkeypatch.setitem(QUANTIZERS, "int4", "no_such_package")
    with pytest.raises(MissingPackageError, match=r"video\.quantize=int4 needs no_such_package"):
        make_backend(name, quantize="int4").generate(scene_subject, path_for(scene_subject))


def test_weights_in_eight_bits_give_nearly_the_same(make_backend, scene_subject, path_for):
    pytest.importorskip("torchao")
    path = path_for(scene_subject)
    plain, small = (
        make_backend("ltx", quantize=kind).generate(scene_subject, path).rgb.astype(int) for kind in ("none", "int8")
    )
    assert 0 < np.abs(plain - small).mean() < 2

import pytest

pytest.importorskip("diffusers")

from img2world.core.errors import MissingPackageError, VideoError
from img2world.video.cosmos import CosmosVideo

TINY = {"width": 96, "height": 64, "num_frames": 5, "steps": 1}


def test_the_guardrail_is_asked_and_its_no_is_one_line(checkpoint, scene_picture, path_for):
    video = CosmosVideo(checkpoint=str(checkpoint("cosmos")), prompt="a forbidden thing", **TINY)
    with pytest.raises(VideoError, match="refuses the prompt"):
        video.generate(scene_picture, path_for(scene_picture, "scene"))


def test_without_the_guardrail_it_does_not_run(checkpoint, scene_picture, path_for, monkeypatch):
    from diffusers.utils import import_utils

    monkeypatch.setattr(import_utils, "is_cosmos_guardrail_available", lambda: False)
    with pytest.raises(MissingPackageError, match="cosmos_guardrail"):
        CosmosVideo(checkpoint=str(checkpoint("cosmos")), **TINY).generate(
            scene_picture, path_for(scene_picture, "scene")
        )

from dataclasses import fields

import pytest

from img2world.runs.options import option_docs
from img2world.runs.recipe import backend_class
from img2world.video import VIDEOS
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.options import ModelOptions, PromptedOptions

OWN = {"num_frames", "steps", "guidance"}
"""Shared options whose default or meaning depends on the model."""


@pytest.mark.parametrize("name", CARDS)
def test_shared_options_have_one_default_and_one_meaning(name):
    backend, other = (backend_class(word, VIDEOS, "video") for word in (name, "cogvideox"))
    assert backend.__bases__ == (object,)
    assert isinstance(backend(), ModelOptions)
    assert isinstance(backend(), PromptedOptions) == (name != "svd")
    shared = {field.name: field.default for field in fields(other)}
    docs, other_docs = option_docs(backend), option_docs(other)
    for field in fields(backend):
        if field.name in shared.keys() - OWN:
            assert field.default == shared[field.name]
            assert docs.get(field.name) == other_docs.get(field.name)

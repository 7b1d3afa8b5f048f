from img2world.runs.licences import model_licences
from img2world.runs.recipe import load_recipe


def parts(*changes: str, is_picture: bool = True) -> set[tuple[str, str, str]]:
    """Model, part and licence of what a recipe uses."""
    found = model_licences(load_recipe("auto", changes), is_picture=is_picture)
    return {(model["model"], model["part"], model["licence"]) for model in found}


def test_the_cut_out_network_is_named_where_it_is_used():
    cut_out = ("U²-Net-p", "cut-out", "Apache-2.0")
    assert parts() - parts("subject.model=none") == {cut_out}
    assert parts(is_picture=False) == set()

"""Licences of the models that a recipe uses."""

from img2world.layered.saliency import REMBG_NETWORKS
from img2world.runs.recipe import Recipe, backend_name, options_of
from img2world.video import VIDEOS
from img2world.video.diffusion.cards import licence_note

OWN = "Apache-2.0"
U2NETP = {"model": "U²-Net-p", "licence": "Apache-2.0", "source": "github.com/xuebinqin/U-2-Net"}


def licence_of(recipe: Recipe) -> dict[str, str] | None:
    """Return what the video model's licence says about the world; None for the embedded generators and for files."""
    return licence_note(backend_name(recipe.video, VIDEOS), {**options_of(recipe.subject), **options_of(recipe.video)})


def model_licences(recipe: Recipe, *, is_picture: bool) -> tuple[dict[str, str], ...]:
    """Return model, part, licence and source of each model that may have had a hand in a world, embedded ones first.

    A video or photos are seen by none of the embedded ones.
    """
    found = [*_embedded(recipe)] if is_picture else []
    if note := licence_of(recipe):
        kept = ("model", "weights", "licence", "verdict", "conditions", "territory", "others", "source")
        found.append({key: note[key] for key in kept if note[key]})
    return tuple(found)


def _embedded(recipe: Recipe) -> list[dict[str, str]]:
    """Return the licences of the networks that see the picture."""
    subject, video = options_of(recipe.subject), options_of(recipe.video)
    source = "assets/nano of img2world"
    models = [{"model": "nano-geo", "part": "geometry of objects and scenes", "licence": OWN, "source": source}]
    if subject["depth"] == "builtin":
        models.append({"model": "nano-depth", "part": "depth of scenes", "licence": OWN, "source": source})
        models.append({**U2NETP, "part": "features of nano-depth"})
    if subject["model"] == "builtin":
        models.append({**U2NETP, "part": "cut-out"})
    elif subject["model"] != "none":
        licence = REMBG_NETWORKS[subject["model"]].licence
        models.append({"model": subject["model"], "part": "cut-out", "licence": licence, "source": "rembg"})
    if backend_name(recipe.video, VIDEOS) == "nano":
        models.append({"model": "nano-outpaint", "part": "what is hidden", "licence": OWN, "source": source})
        if video["fill"] != "off":
            models.append({"model": "nano-fill", "part": "what is hidden", "licence": OWN, "source": source})
    return models

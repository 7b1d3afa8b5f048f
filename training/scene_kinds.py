"""All kinds of procedural scenes."""

from training.indoor_scenes import make_portrait, make_relief, make_room, make_tabletop
from training.materials import MaterialSampler
from training.outdoor_scenes import make_outdoors, make_street
from training.scene import ProceduralScene

SCENE_MAKERS = {
    "room": make_room,
    "outdoors": make_outdoors,
    "street": make_street,
    "tabletop": make_tabletop,
    "portrait": make_portrait,
    "relief": make_relief,
}
SCENE_FRACTIONS = {"room": 0.3, "outdoors": 0.22, "street": 0.14, "tabletop": 0.14, "portrait": 0.14, "relief": 0.06}
"""Fraction of scenes of each kind."""


def random_scene(materials: MaterialSampler, views: int) -> ProceduralScene:
    """Make a scene of a random kind with a number of viewpoints."""
    kind = str(materials.rng.choice(list(SCENE_FRACTIONS), p=list(SCENE_FRACTIONS.values())))
    return SCENE_MAKERS[kind](materials, views)

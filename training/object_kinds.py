"""All kinds of procedural objects. Each stands on the ground and is about one unit high."""

from training.assembly import Assembly
from training.furniture import make_flat_object, make_lamp, make_seat, make_shelf, make_table
from training.materials import MaterialSampler
from training.organisms import make_animal, make_person, make_plant
from training.small_objects import make_food, make_heap, make_machine, make_stack, make_vessel
from training.structures import make_building, make_vehicle

OBJECT_MAKERS = (
    make_table, make_seat, make_plant, make_building, make_vehicle, make_animal, make_animal, make_person, make_vessel,
    make_vessel, make_stack, make_heap, make_heap, make_lamp, make_flat_object, make_shelf, make_machine, make_food,
)  # fmt: skip
"""Kinds listed twice are drawn twice as often."""


def make_random_object(materials: MaterialSampler) -> Assembly:
    """Make an object of a random kind."""
    return OBJECT_MAKERS[int(materials.rng.integers(len(OBJECT_MAKERS)))](materials)

"""Made things of many kinds, standing on the ground and about one unit high."""

from training.assembly import Composition
from training.furniture import flat, lamp, seat, shelf, table
from training.small_objects import food, heap, machine, stack, vessel
from training.organisms import animal, person, plant
from training.materials import Maker
from training.structures import building, vehicle

KINDS = (
    table, seat, plant, building, vehicle, animal, animal, person, vessel, vessel, stack, heap, heap, lamp, flat, shelf,
    machine, food,
)  # fmt: skip
"""What is named twice is made twice as often."""


def any_thing(make: Maker) -> Composition:
    """One of all kinds."""
    return KINDS[int(make.rng.integers(len(KINDS)))](make)

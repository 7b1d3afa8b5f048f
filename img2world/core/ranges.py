"""Ranges of numbers, for the annotations of options; a recipe with a number beyond them is refused."""

import math
from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both included."""

    low: int | float
    high: int | float = math.inf

    def __contains__(self, number: int | float) -> bool:
        return self.low <= number <= self.high

    def __str__(self) -> str:
        return f"at least {self.low:g}" if self.high == math.inf else f"{self.low:g} to {self.high:g}"


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
NonNegativeFloat = Annotated[float, Range(0)]
Fraction = Annotated[float, Range(0, 1)]

"""Cameras of a video whose path was told to its generator, which kept to it more or less."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from img2world.core.errors import PoseError
from img2world.poses.estimate import CLEAR_GAIN, GAIN_PER_NUMBER, Answer, held_out_cost
from img2world.poses.fit import PathFit, fit_path
from img2world.poses.path_model import HEIGHT_ONLY, Freedom, Path, reversed_path, rig_on_path
from img2world.poses.visual_hull import hull_guide
from img2world.tracking.flow import Greys, flow_tracks
from img2world.tracking.tracks import Tracks

HELD_OUT = 0.25
"""Share of the tracks that no solver sees."""

MOST_TRACKS = 800
"""More add time, not accuracy: neighbouring tracks err alike."""

LEAST_TRACKS = 30
"""Fewer do not decide between paths."""

COARSE = (2, 1)
"""The direction is decided in two rounds of tracks and fit, on flow at a quarter and at half of the size."""

LOST_COST = 2.0
"""Robust cost of a point that could not be followed: of an error of four pixels."""

FEW_TRACKS = 300
"""Of which the direction is decided."""

AS_TOLD = "the frames do not tell height and lens better than they were told"
"""Doubt about a path of which no number is free."""

Follow = Callable[[PathFit | None, int], Tracks]
"""Tracks that are looked for where a fit says, on frames halved so many times."""


@dataclass(frozen=True, kw_only=True)
class ToldAnswer:
    """The best path, with the tracks it was fitted to and those it was not."""

    answer: Answer
    fitted: Tracks
    held_out: Tracks


def solve_told_path(
    greys: Greys,
    path: Path,
    random: np.random.Generator,
    *,
    max_waves: int = 2,
    called: str = "commanded",
    doubt: str = AS_TOLD,
) -> ToldAnswer:
    """The told path with as many numbers free as held-out tracks ask for, in the direction that fits better.

    Where no number needs to be free the path is `called` so, and `doubt` is what is to be said against it. Raises
    PoseError when too little can be followed.
    """
    ways = {False: path, True: reversed_path(path)}
    shared = flow_tracks(greys, closed=path.closed, finest=COARSE[-1]) if greys.masks is None else None
    rough = {turned: _rough(way, _follower(greys, way, shared), random, max_waves) for turned, way in ways.items()}
    costs = _with_lost({turned: (way.cost, way.tracks) for turned, way in rough.items()})
    rough = {turned: replace(way, cost=costs[turned]) for turned, way in rough.items()}
    turned = _is_better(rough[True], rough[False])
    best = rough[turned]
    tracks = _follower(greys, ways[turned], None)(best.fit, 0)
    fitted, held_out = divided(tracks, random)
    fits = _ladder(ways[turned], fitted, best.fit, max_waves)
    costs = [held_out_cost(held_out, fit.rig, path.width) for fit in fits]
    chosen = choose(fits, costs)
    others = [cost for i, cost in enumerate(costs) if i != chosen]
    answer = Answer(
        solver=_name(fits[chosen], turned, called),
        rig=fits[chosen].rig,
        placed=np.arange(len(path)),
        cost=costs[chosen],
        at_limit=fits[chosen].at_limit,
        doubt="" if len(fits[chosen].numbers) else doubt,
        margins={
            "opposite direction": rough[not turned].cost / max(best.cost, 1e-9) - 1,
            "next model": min(others) / max(costs[chosen], 1e-9) - 1,
        },
    )
    return ToldAnswer(answer=answer, fitted=fitted, held_out=held_out)


def choose(fits: list[PathFit], costs: list[float]) -> int:
    """The number of the model to take, of models from few to many free numbers: more only for a clear gain.

    What was told is only about right, so the fewest numbers that frames can tell are taken unless they fit worse.
    """
    chosen = 1 if len(fits) > 1 and not len(fits[0].numbers) and costs[1] < costs[0] else 0
    for i, cost in enumerate(costs):
        more = len(fits[i].numbers) - len(fits[chosen].numbers)
        if cost < (1 - min(CLEAR_GAIN, GAIN_PER_NUMBER * more)) * costs[chosen]:
            chosen = i
    return chosen


def _with_lost(found: dict[bool, tuple[float, int]]) -> dict[bool, float]:
    """Costs of both directions, when points that one way finds and the other does not count as lost to the other."""
    most = max(count for _, count in found.values())
    return {turned: (cost * count + LOST_COST * (most - count)) / most for turned, (cost, count) in found.items()}


@dataclass(frozen=True, kw_only=True)
class _Rough:
    """A first fit in one direction, and its cost on tracks that were followed as it suggests."""

    fit: PathFit
    cost: float
    tracks: int


def _is_better(turned: _Rough, told: _Rough) -> bool:
    """Whether the opposite of the told direction is to be taken.

    Seen from afar, a thing that turns and its mirror image that turns the other way look the same (Necker's
    cube); the mirror image fits nearly as well while its focal length runs away.
    """
    if told.fit.at_limit != turned.fit.at_limit:
        return told.fit.at_limit
    return turned.cost < (1 - CLEAR_GAIN) * told.cost


def _rough(path: Path, follow: Follow, random: np.random.Generator, max_waves: int) -> _Rough:
    """A fit with few numbers, or with one wave where that is clearly better."""
    fit = None
    for finest in COARSE:
        tracks = follow(fit, finest)
        fitted, held_out = divided(tracks, random, FEW_TRACKS)
        fit = fit_path(fitted, path, Freedom(), start=None if fit is None else fit.numbers)
    assert fit is not None
    fits = [fit]
    for more in (Freedom(waves=1, strays=HEIGHT_ONLY), Freedom(waves=1)) if max_waves else ():
        fits.append(fit_path(fitted, path, more, start=_extended(fits[-1], more)))
    costs = [held_out_cost(held_out, one.rig, path.width) for one in fits]
    chosen = choose(fits, costs)
    return _Rough(fit=fits[chosen], cost=costs[chosen], tracks=len(tracks))


def _ladder(path: Path, fitted: Tracks, start: PathFit, max_waves: int) -> list[PathFit]:
    """Fits from no free numbers to many."""
    told = Freedom(names=())
    fits = [PathFit(rig=rig_on_path(path, told, np.zeros(0)), freedom=told, numbers=np.zeros(0), cost=0.0)]
    # The middle is not free beside waves: together they pass for another height.
    for freedom in (
        Freedom(),
        Freedom(names=("elevation", "focal", "middle", *(() if path.closed else ("arc",)))),
        *(Freedom(waves=waves, strays=HEIGHT_ONLY) for waves in range(1, max_waves + 1)),
        *(Freedom(waves=waves) for waves in range(1, max_waves + 1)),
    ):
        fits.append(fit_path(fitted, path, freedom, start=_extended(start, freedom)))
    return fits


def _extended(fit: PathFit, freedom: Freedom) -> np.ndarray:
    """The numbers of a fit as a start for one with other numbers free; those that are new are zero."""
    known = dict(zip(_labels(fit.freedom), fit.numbers.tolist(), strict=True))
    return np.array([known.get(label, 0.0) for label in _labels(freedom)])


def _labels(freedom: Freedom) -> list[tuple[str, int]]:
    """A label for each number."""
    plain = [(name, i) for name in freedom.names for i in range(2 if name == "middle" else 1)]
    return plain + [(f"wave in {name}", i) for i in range(2 * freedom.waves) for name in freedom.strays]


def _follower(greys: Greys, path: Path, shared: Tracks | None) -> Follow:
    """Follows points where the outlines and a fit suggest; without outlines where they seem to go."""

    def follow(fit: PathFit | None, finest: int) -> Tracks:
        if shared is not None:
            return shared
        rig = rig_on_path(path, Freedom(names=()), np.zeros(0)) if fit is None else fit.rig
        guide = None if greys.masks is None else hull_guide(greys, rig, greys.masks)
        return flow_tracks(greys, closed=path.closed, guide=guide, finest=finest)

    return follow


def divided(tracks: Tracks, random: np.random.Generator, most: int = MOST_TRACKS) -> tuple[Tracks, Tracks]:
    """Tracks to fit to, not too many, and tracks to judge by. Raises PoseError when there are too few."""
    if len(tracks) < LEAST_TRACKS:
        raise PoseError(
            f"only {len(tracks)} points could be followed through the frames, needs {LEAST_TRACKS}",
            hint="the frames need texture and small steps from one to the next: ask the generator for more frames",
        )
    fitted, held_out = tracks.split(HELD_OUT, random)
    return _thinned(fitted, random, most), _thinned(held_out, random, most)


def _thinned(tracks: Tracks, random: np.random.Generator, most: int) -> Tracks:
    """Not more than so many tracks."""
    return tracks.select(random.permutation(len(tracks)) < most)


def _name(fit: PathFit, turned: bool, called: str) -> str:
    """What the model is called in reports."""
    count = len(fit.numbers)
    name = called if count == 0 else f"orbit ({count} numbers)"
    return f"{name}, reversed" if turned else name

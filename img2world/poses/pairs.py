"""Which pairs of pictures are matched: all of few, and of many those that probably show the same thing."""

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations

import numpy as np
from jaxtyping import Float32, Float64

from img2world.poses.match_store import Match, Pair

MAX_EXHAUSTIVE_VIDEO, MAX_EXHAUSTIVE_PHOTOS = 40, 60
"""Frames of the longest video, and the number of photos, of which all pairs are matched."""

NUM_NEIGHBORS = 8
"""Frames of a long video are matched with so many after them …"""

KEY_FRAME_STEP = 6
"""… and every so many-th frame with all others of these, so that a path that returns is closed; …"""

MAX_KEY_FRAMES = 50
"""… if there are more key frames than this, with those that are most similar."""

NUM_SIMILAR = 16
"""Each of many photos is matched with the photos that are most similar to it, …"""

NUM_IN_ORDER = 2
"""… those taken just before and after it, …"""

NUM_NEAREST = 6
"""… and, where the places are known, with those taken nearest to it."""

NUM_EXTENDED = 6
"""Photos with which a photo is matched later because both match a third one."""

STRONG = 50
"""Matches of a pair that surely overlaps."""

MIN_STRONG = 4
"""Such pairs that a picture needs for its place to be found reliably; …"""

ENOUGH = 150
"""… with fewer, its pairs with fewer matches than this are matched again, with guidance."""


def needs_similarities(count: int, *, ordered: bool) -> bool:
    """Tell whether `select_pairs` needs to know how similar pictures are."""
    return count > (KEY_FRAME_STEP * MAX_KEY_FRAMES if ordered else MAX_EXHAUSTIVE_PHOTOS)


def select_pairs(
    count: int,
    *,
    ordered: bool,
    similarity: Float32[np.ndarray, "V V"] | None = None,
    locations: Float64[np.ndarray, "V 3"] | None = None,
) -> list[Pair]:
    """Return the pairs of pictures to match first, the most promising first.

    `ordered` is True for a video. Photos are in the order in which they were taken, as far as it is known; `locations`
    are in metres and NaN where they are unknown.
    """
    if count <= (MAX_EXHAUSTIVE_VIDEO if ordered else MAX_EXHAUSTIVE_PHOTOS):
        return list(combinations(range(count), 2))
    ranked: dict[Pair, int] = {}

    def add(pairs: Iterator[tuple[int, int, int]]) -> None:
        for i, j, rank in pairs:
            pair = (min(i, j), max(i, j))
            ranked[pair] = min(ranked.get(pair, rank), rank)

    if ordered:
        add(_in_order(count, NUM_NEIGHBORS))
        key_frames = range(0, count, KEY_FRAME_STEP)
        if similarity is None:
            add((i, j, NUM_NEIGHBORS) for i, j in combinations(key_frames, 2))
        else:
            add(_most_similar(similarity, np.array(key_frames), NUM_SIMILAR))
    else:
        assert similarity is not None
        add(_most_similar(similarity, np.arange(count), NUM_SIMILAR))
        add(_in_order(count, NUM_IN_ORDER))
        if locations is not None:
            add(_nearest(locations, NUM_NEAREST))
    return sorted(ranked, key=lambda pair: (ranked[pair], pair))


def _in_order(count: int, reach: int) -> Iterator[tuple[int, int, int]]:
    """Yield pairs of neighbours in the sequence, with the rank of each."""
    for step in range(1, reach + 1):
        for i in range(count - step):
            yield i, i + step, step - 1


def _most_similar(
    similarity: Float32[np.ndarray, "V V"], chosen: np.ndarray, count: int
) -> Iterator[tuple[int, int, int]]:
    """Yield each chosen picture with the others of these that are most similar to it, with the rank of each."""
    among = similarity[np.ix_(chosen, chosen)]
    for row, i in enumerate(chosen):
        order = [k for k in np.argsort(-among[row], kind="stable") if k != row]
        for rank, k in enumerate(order[:count]):
            yield int(i), int(chosen[k]), rank


def _nearest(locations: Float64[np.ndarray, "V 3"], count: int) -> Iterator[tuple[int, int, int]]:
    """Yield each picture with those taken nearest to it, with the rank of each."""
    known = np.flatnonzero(np.isfinite(locations).all(1))
    distances = np.linalg.norm(locations[known][:, None] - locations[known], axis=2)
    for row, i in enumerate(known):
        order = [k for k in np.argsort(distances[row], kind="stable") if k != row]
        for rank, k in enumerate(order[:count]):
            yield int(i), int(known[k]), rank


def extend_pairs(matches: Mapping[Pair, Match], count: int) -> list[Pair]:
    """Return untried pairs of pictures that both match a third one well, the best of each picture.

    Retrieval misses some of the pictures that show the same thing from elsewhere; their common neighbours know them.
    """
    strength = np.zeros((count, count))
    tried = np.eye(count, dtype=bool)
    for (i, j), match in matches.items():
        strength[i, j] = strength[j, i] = len(match) if len(match) >= STRONG else 0
        tried[i, j] = tried[j, i] = True
    # Through each third picture, a chain is as strong as its weaker link; links beyond a few hundred say no more.
    links = np.minimum(strength, 4 * STRONG) / STRONG
    chains = links @ links
    chains[tried] = 0
    found = set()
    for i in range(count):
        order = np.argsort(-chains[i], kind="stable")[:NUM_EXTENDED]
        found |= {(min(i, int(j)), max(i, int(j))) for j in order if chains[i, j] > 0}
    return sorted(found, key=lambda pair: (-chains[pair], pair))


def weak_pairs(matches: Mapping[Pair, Match], count: int, left_out: Collection[int] = ()) -> list[Pair]:
    """Return pairs with few matches of pictures that have too few strong pairs, or that mapping could not place.

    They are to be matched again with guidance.
    """
    left_out = frozenset(left_out)
    strong = np.zeros(count, int)
    for pair, match in matches.items():
        strong[list(pair)] += len(match) >= STRONG
    return [
        pair
        for pair, match in sorted(matches.items())
        if 0 < len(match) < ENOUGH and (strong[list(pair)].min() < MIN_STRONG or not left_out.isdisjoint(pair))
    ]


def pairs_of_left_out(left_out: Collection[int], count: int, tried: Collection[Pair]) -> list[Pair]:
    """Return the untried pairs of pictures that mapping could not place, with all pictures."""
    pairs = {(min(i, j), max(i, j)) for i in left_out for j in range(count) if i != j}
    return sorted(pairs - set(tried))

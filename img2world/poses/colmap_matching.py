"""Features of all pictures and matches between them, found step by step and kept in a `MatchStore`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from img2world.core.errors import PoseError
from img2world.core.progress import Progress
from img2world.poses.colmap_database import Lenses, create_database, extract_features, match_pairs, write_features
from img2world.poses.deadline import Deadline
from img2world.poses.match_store import Features, Match, MatchStore, Pair
from img2world.poses.pairs import extend_pairs, needs_similarities, pairs_of_left_out, select_pairs, weak_pairs
from img2world.poses.retrieval import similarities

PICTURES_PER_THREAD = 2
"""Pictures for each thread in a block, after which what was found is saved."""

PAIRS_PER_THREAD = 96
"""Pairs for each thread in a block: a few seconds of work."""

TILE = 14
"""Pictures that are matched with as many others in a row. COLMAP prepares each picture of a block once, which takes as
long as to match it with another one."""

LARGE = 1_000_000
"""Pixels of a picture in which there may be enough features without enlarging it."""

MATCHING_TIME = 0.7
"""Fraction of the time limit after which no more pairs are matched, so that mapping has the rest."""


@dataclass(frozen=True, kw_only=True)
class Matcher:
    """Finds features and matches of pictures; what the store has already is not looked for again."""

    store: MatchStore
    scratch: Path
    """An empty folder for files in between."""
    gray: UInt8[np.ndarray, "V H W"]
    masks: UInt8[np.ndarray, "V H W"] | None
    """0 where no features may be."""
    lenses: Lenses
    locations: Float64[np.ndarray, "V 3"] | None
    ordered: bool
    max_features: int
    seed: int
    num_threads: int
    deadline: Deadline
    progress: Progress
    features: dict[int, Features] = field(default_factory=dict)
    """Filled by `find_features`."""
    plain: dict[Pair, Match] = field(default_factory=dict)
    guided: dict[Pair, Match] = field(default_factory=dict)

    @property
    def matches(self) -> dict[Pair, Match]:
        """All matches so far; where a pair was matched both ways, those found with guidance."""
        better = {pair: match for pair, match in self.guided.items() if len(match) >= len(self.plain.get(pair, ()))}
        return {**self.plain, **better}

    def find_features(self) -> None:
        """Find the features of all pictures. Raises PoseError when the time limit is over before."""
        self.features.update(self.store.load_features())
        count = len(self.gray)
        missing = [i for i in range(count) if i not in self.features]
        for block in _blocks(missing, PICTURES_PER_THREAD * self.num_threads):
            if self.deadline.is_over():
                raise PoseError(
                    f"features of {len(self.features)} of {count} frames took longer than {self.deadline.limit:g} "
                    "seconds",
                    hint="raise the backend's time_limit, 0 is none; a run goes on with the features it has",
                )
            for i, found in self._extract(block).items():
                self.store.save_features(i, found)
                self.features[i] = found
            self.progress(len(self.features), count, step="features")
        create_database(self._database, self.lenses, range(count))
        write_features(self._database, self.features)

    def match_first(self) -> None:
        """Match the pairs that are most promising, then those that these lead to."""
        count = len(self.gray)
        similarity = None
        if needs_similarities(count, ordered=self.ordered):
            similarity = similarities([self.features[i] for i in range(count)], seed=self.seed)
        first = select_pairs(count, ordered=self.ordered, similarity=similarity, locations=self.locations)
        self.match(first)
        if not self.ordered:
            self.match(extend_pairs(self.matches, count))
            self.match_weak()

    def match_weak(self, left_out: Collection[int] = ()) -> bool:
        """Match weak pairs again, with guidance, see `weak_pairs`; tell whether there were any."""
        weak = [pair for pair in weak_pairs(self.matches, len(self.gray), left_out) if pair not in self.guided]
        self.match(weak, guided=True)
        return bool(weak)

    def match_left_out(self, left_out: Collection[int]) -> bool:
        """Match pictures that mapping left out with all others; tell whether any of the new pairs match."""
        pairs = pairs_of_left_out(left_out, len(self.gray), self.plain)
        self.match(pairs)
        return any(len(self.plain.get(pair, ())) for pair in pairs)

    def match(self, pairs: Sequence[Pair], *, guided: bool = False) -> None:
        """Match pairs block by block; none after the time for it is over."""
        known, kind = (self.guided, "guided") if guided else (self.plain, "pairs")
        saved = self.store.load_matches(kind)
        known.update({pair: saved[pair] for pair in pairs if pair in saved})
        missing = [pair for pair in pairs if pair not in known]
        if not self.deadline.limit:
            # All will be matched, so that the most promising need not come first.
            missing.sort(key=_tile)
        done = len(pairs) - len(missing)
        for block in _blocks(missing, PAIRS_PER_THREAD * self.num_threads):
            if self.deadline.is_over(MATCHING_TIME):
                return
            found = match_pairs(
                self._database,
                sorted(block, key=_tile),
                guided=guided,
                seed=self.seed,
                num_threads=self.num_threads,
            )
            self.store.save_matches(kind, found)
            known.update(found)
            done += len(block)
            self.progress(done, len(pairs), step="guided pairs" if guided else "pairs")

    @property
    def _database(self) -> Path:
        """The database for matching."""
        return self.scratch / "matching.db"

    def _extract(self, block: Sequence[int]) -> dict[int, Features]:
        """Find the features of some pictures; only those with too few of them are enlarged."""
        pictures = {}
        for i in block:
            width, height = self.lenses.sizes[self.lenses.of_picture[i]]
            pictures[i] = np.ascontiguousarray(self.gray[i, :height, :width])
        large = {i: picture for i, picture in pictures.items() if picture.size >= LARGE}
        found = self._extract_at(large, 0)
        found = {i: features for i, features in found.items() if len(features.keypoints) >= self.max_features}
        found |= self._extract_at({i: picture for i, picture in pictures.items() if i not in found}, -1)
        return {i: self._select(i, found[i]) for i in block}

    def _extract_at(self, pictures: dict[int, np.ndarray], first_octave: int) -> dict[int, Features]:
        """Find the features of pictures from an octave on."""
        if not pictures:
            return {}
        return extract_features(
            self.scratch,
            pictures,
            self.lenses,
            max_features=self.max_features,
            first_octave=first_octave,
            num_threads=self.num_threads,
        )

    def _select(self, i: int, features: Features) -> Features:
        """Return the features of a picture that lie where they may, the largest of them if there are too many."""
        kept = np.ones(len(features.keypoints), bool)
        if self.masks is not None:
            column, row = np.floor(features.keypoints[:, :2]).astype(int).T
            height, width = self.masks.shape[1:]
            kept = self.masks[i, np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)] > 0
        # COLMAP keeps all of the scale at which there are enough, up to twice as many; matching is quadratic in them.
        order = np.argsort(np.where(kept, -features.scales, np.inf), kind="stable")
        kept[order[self.max_features :]] = False
        return Features(keypoints=features.keypoints[kept], descriptors=features.descriptors[kept])


def _tile(pair: Pair) -> tuple[int, int, Pair]:
    """Return a key that sorts pairs of the same pictures near each other."""
    return pair[0] // TILE, pair[1] // TILE, pair


def _blocks(items: Sequence, size: int) -> list[Sequence]:
    """Split items into blocks of a size; the last may be smaller."""
    return [items[start : start + size] for start in range(0, len(items), size)]

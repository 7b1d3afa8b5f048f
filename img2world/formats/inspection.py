"""Facts about a splat file and warnings of what is suspicious in it, in one screen."""

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from img2world.core.motion import Motion
from img2world.core.sh import sh_degree
from img2world.formats import READ_ONLY
from img2world.formats.actions import FLOATER_NEIGHBORS, find_floaters, y_up_means
from img2world.formats.files import read_splats
from img2world.formats.sequence import read_manifest
from img2world.formats.splat_file import SplatFile, used_degree

QUANTILES = (0, 5, 50, 95, 100)

HUGE_RATIO = 0.1
"""Standard deviation relative to the extent of the scene above which a Gaussian is suspicious."""

NEEDLE_RATIO = 100.0
"""Ratio of the longest to the middle axis above which a Gaussian is a needle."""

MIN_WAY = 0.005
"""Way relative to the extent of the scene above which a Gaussian moves."""

MAX_KEYS = 17
"""Keys at which that is looked at."""

MAX_FLOATER_COUNT = 2_000_000
"""Gaussians above which nobody waits for the search for floaters."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Facts about a splat file. Axes are those of glTF: +X right, +Y up, +Z to the viewer."""

    file: str
    bytes: int
    gaussians: int
    broken: int
    sh_degree: int
    low: list[float]
    high: list[float]
    """Bounds of the centers."""
    quantiles: dict[str, list[float]]
    """Values of scale, opacity and brightness at QUANTILES percent."""
    details: dict[str, object]
    motion: dict[str, float] | None
    """Of what moves: seconds, keys, bones, and the shares of the Gaussians that move, and that come or go."""
    warnings: list[str]
    remedy: str
    """The command that writes the file without what can be dropped; empty if there is nothing to drop."""

    def as_json(self) -> dict[str, object]:
        """Return the facts as a JSON object."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the facts as lines for people."""
        details = ", ".join(f"{name} {value}" for name, value in self.details.items())
        per_gaussian = self.bytes / max(self.gaussians, 1)
        lines = [
            f"{'file':<12}{self.file}{f'  ({details})' if details else ''}",
            f"{'size':<12}{self.bytes / 1e6:.1f} MB, {per_gaussian:.0f} bytes a Gaussian",
            f"{'gaussians':<12}{self.gaussians:,}",
            f"{'harmonics':<12}degree {self.sh_degree}",
            f"{'bounds':<12}{_vector(self.low)} to {_vector(self.high)}  (+Y up)",
            f"{'quantiles':<12}{''.join(f'{q} %'.rjust(10) for q in QUANTILES)}",
        ]
        if self.motion:
            facts = self.motion
            lines.insert(
                3,
                f"{'motion':<12}{facts['seconds']:g} s, {facts['keys']:g} keys, {facts['bones']:g} bones; "
                f"{facts['moving']:.0%} of the Gaussians move, {facts['passing']:.0%} come or go",
            )
        lines += [f"  {name:<10}" + "".join(f"{value:>10.4g}" for value in row) for name, row in self.quantiles.items()]
        lines += [f"{'warning':<12}{text}" for text in self.warnings]
        return lines + ([f"{'remedy':<12}{self.remedy}"] if self.remedy else [])


def inspect_file(path: Path) -> Inspection:
    """Return facts about a splat file, or the first one of a sequence. Raises FormatError when it cannot be read."""
    manifest = read_manifest(path) if path.is_dir() else None
    if manifest is None:
        return inspect_splats(read_splats(path), path)
    first = path / Path(manifest["frames"][0]).name
    found = inspect_splats(read_splats(first), first)
    missing = [name for name in manifest["frames"] if not (path / Path(name).name).is_file()]
    lacks = [f"{len(missing)} frames are missing, the first is {missing[0]:.80}"] if missing else []
    facts = {fact: manifest[fact] for fact in ("fps", "seconds") if manifest.get(fact) is not None}
    details = {**found.details, "frames": len(manifest["frames"]), **facts}
    return replace(found, details=details, warnings=[*lacks, *found.warnings])


def inspect_splats(file: SplatFile, path: Path) -> Inspection:
    """Return facts about the content of a splat file."""
    gaussians = file.gaussians
    count = len(gaussians)
    found = list(_warnings(file))
    points = y_up_means(gaussians) if count else np.zeros((1, 3))
    values = {
        "scale": gaussians.scales,
        "opacity": gaussians.opacities,
        "brightness": 0.5 + 0.2821 * gaussians.sh[:, 0],
    }
    return Inspection(
        file=str(path),
        bytes=_total_bytes(path),
        gaussians=count,
        broken=file.broken,
        sh_degree=sh_degree(gaussians.sh.shape[1]),
        low=points.min(0).round(6).tolist(),
        high=points.max(0).round(6).tolist(),
        quantiles={
            name: [round(float(q), 6) for q in np.percentile(array, QUANTILES)] if count else []
            for name, array in values.items()
        },
        details=file.details,
        motion=None if file.motion is None else _motion_facts(file, file.motion),
        warnings=[f"{text}; {option}" if option else text for text, option in found],
        remedy=_remedy(path, [option for _, option in found if option]),
    )


def _motion_facts(file: SplatFile, motion: Motion) -> dict[str, float]:
    """Return how long a motion is and how much it moves."""
    moving, passing = _shares(file, motion) if len(file.gaussians) else (0.0, 0.0)
    return {
        "seconds": round(float(np.ptp(motion.key_times)), 6),
        "keys": len(motion.key_times),
        "bones": len(motion.bone_pivots),
        "moving": round(moving, 4),
        "passing": round(passing, 4),
    }


def _shares(file: SplatFile, motion: Motion) -> tuple[float, float]:
    """Return the shares of the Gaussians that move, and that come or go; there is at least one Gaussian."""
    low, high = np.percentile(file.gaussians.means, (1, 99), axis=0)
    limit = MIN_WAY * max(float(np.linalg.norm(high - low)), 1e-12)
    some = motion.key_times[np.unique(np.linspace(0, len(motion.key_times) - 1, MAX_KEYS).astype(int))]
    first = file.at(float(some[0])).means
    ways = np.max([np.linalg.norm(file.at(float(time)).means - first, axis=1) for time in some], axis=0)
    passing = 0.0
    if motion.windows is not None:
        passing = float((np.min([motion.presence(float(time)) for time in some], axis=0) < 0.5).mean())
    return float((ways > limit).mean()), passing


def _never_there(motion: Motion) -> int:
    """Return the number of Gaussians whose windows are beside all times, or end before they begin."""
    if motion.windows is None:
        return 0
    (begin, end), half = motion.windows.T.astype(np.float64), motion.fade / 2
    never = (begin - half >= motion.key_times[-1]) | (end + half <= motion.key_times[0]) | (begin - half >= end + half)
    return int(never.sum())


def _remedy(path: Path, options: list[str]) -> str:
    """Return the command that writes a file anew with some options of `img2world convert`; empty without any."""
    if not options:
        return ""
    clean = path.with_name(f"clean-{path.name}")
    if clean.suffix in READ_ONLY:
        clean = clean.with_suffix(".glb")
    words = ["img2world", "convert", str(path), str(clean)]
    return " ".join([shlex.join(words), *options])


def _total_bytes(path: Path) -> int:
    """Return the size of a file, and of the pictures that a meta.json has beside it."""
    beside = path.parent.glob("*.webp") if path.name.lower().endswith("meta.json") else ()
    return sum(file.stat().st_size for file in (path, *beside))


def _warnings(file: SplatFile) -> Iterator[tuple[str, str]]:
    """Yield what is suspicious in a file, each with the option of `img2world convert` that drops it, or nothing."""
    gaussians = file.gaussians
    count = len(gaussians)
    if file.broken:
        yield f"{file.broken:,} Gaussians have values that are not finite, or no orientation", "--drop-nan"
    if count == 0:
        yield "the file has no Gaussians", ""
        return
    degree, used = sh_degree(gaussians.sh.shape[1]), used_degree(gaussians.sh)
    if used < degree:
        yield f"harmonics above degree {used} are all zero", f"--sh {used}"
    low, high = np.percentile(gaussians.means, (1, 99), axis=0)
    extent = max(float(np.linalg.norm(high - low)), 1e-12)
    scales = np.sort(gaussians.scales, axis=1)
    if huge := int((scales[:, 2] > HUGE_RATIO * extent).sum()):
        yield f"{huge:,} Gaussians are larger than a tenth of the scene", ""
    if needles := int((scales[:, 2] > NEEDLE_RATIO * scales[:, 1]).sum()):
        yield f"{needles:,} Gaussians are needles, more than {NEEDLE_RATIO:.0f} times as long as wide", ""
    if faint := int((gaussians.opacities < 1 / 255).sum()):
        yield f"{faint:,} Gaussians cannot be seen, below an opacity of 1/255", "--opacity-min 0.004"
    if file.motion is not None and (never := _never_there(file.motion)):
        yield f"{never:,} Gaussians are there at none of the times", ""
    if FLOATER_NEIGHBORS < count <= MAX_FLOATER_COUNT and (alone := int(find_floaters(gaussians.means).sum())):
        yield f"{alone:,} Gaussians float alone", "--drop-floaters"


def _vector(values: list[float]) -> str:
    """Return three numbers for people."""
    return "(" + ", ".join(f"{value:.3g}" for value in values) + ")"

"""Depth of scenes on photos: the order of marked points, the spread of depths, and errors against measured depth."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from evaluation.measured_depth import DepthCases, read_rgb

PAIRS = Path(__file__).with_name("depth_pairs.csv")
"""Pairs of points, the first one nearer beyond doubt; coordinates are fractions of the photo's width and height."""

PHOTO_SIDE = 512
"""Longer side, in pixels, to which photos are scaled."""

LEVEL = 0.08
"""Points whose heights differ by a smaller fraction of the photo's height count as level."""

Predictor = Callable[[UInt8[np.ndarray, "H W 3"]], Float32[np.ndarray, "h w"]]
"""Returns the inverse depth of a photo, up to a scale."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two points of a photo as (x, y), fractions of its width and height."""

    near: tuple[float, float]
    far: tuple[float, float]

    @property
    def place(self) -> str:
        """Return where the nearer point is in the picture: lower, level or upper."""
        rise = self.far[1] - self.near[1]
        return "level" if abs(rise) <= LEVEL else "upper" if rise > 0 else "lower"


def read_pairs(path: Path = PAIRS) -> dict[str, list[Pair]]:
    """Return the pairs of each photo by its file name."""
    pairs: dict[str, list[Pair]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            near, far = ((float(row[f"{end}_x"]), float(row[f"{end}_y"])) for end in ("near", "far"))
            pairs.setdefault(row["file"], []).append(Pair(near=near, far=far))
    return pairs


def sample(values: Float32[np.ndarray, "h w"], point: tuple[float, float]) -> float:
    """Return the value at a point, interpolated between pixels."""
    height, width = values.shape
    x, y = (
        np.array([[fraction * side - 0.5]], np.float32) for fraction, side in zip(point, (width, height), strict=True)
    )
    return float(cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0, 0])


def order_score(inverse_depth: Float32[np.ndarray, "h w"], pair: Pair) -> float:
    """Return 1 if the nearer point is nearer, 0 if it is farther and 0.5 if both are equally far."""
    near, far = sample(inverse_depth, pair.near), sample(inverse_depth, pair.far)
    return 0.5 if near == far else float(near > far)


def depth_spread(inverse_depth: Float32[np.ndarray, "h w"]) -> float:
    """Return the ratio of the 95th to the 5th percentile of depth."""
    low, high = np.percentile(inverse_depth, [5, 95])
    return float(high / max(low, 1e-6))


def affine_errors(inverse_depth: Float32[np.ndarray, "h w"], log_depth: np.ndarray) -> tuple[float, float]:
    """Return the error of the best affine map to the true inverse depths, and the rank correlation with them.

    The error is the RMS of the residuals in standard deviations of the truth: 1 for a constant, 0 for the truth.
    """
    from scipy.stats import rankdata

    known = np.isfinite(log_depth)
    predicted = cv2.resize(inverse_depth, log_depth.shape[::-1], interpolation=cv2.INTER_LINEAR)[known]
    predicted, truth = predicted.astype(np.float64), np.exp(-log_depth[known])
    if np.ptp(predicted) == 0:
        return 1.0, 0.0
    correlation = np.corrcoef(predicted, truth)[0, 1]
    return float(np.sqrt(1 - correlation**2)), float(np.corrcoef(rankdata(predicted), rankdata(truth))[0, 1])


def read_marked(folder: Path) -> dict[str, tuple[UInt8[np.ndarray, "H W 3"], list[Pair]]]:
    """Return photo and pairs by file name. Raises AssetError when a photo cannot be read."""
    return {name: (fitted(read_rgb(folder / name)), pairs) for name, pairs in read_pairs().items()}


def fitted(rgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture, scaled down to PHOTO_SIDE if it is larger."""
    scale = min(1.0, PHOTO_SIDE / max(rgb.shape))
    return cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb


def ramp(rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w"]:
    """Return the inverse depth of a baseline: the lower, the nearer."""
    rows = np.linspace(0.5, 1.5, rgb.shape[0], dtype=np.float32)[:, None]
    return np.repeat(rows, rgb.shape[1], 1)


def constant(rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w"]:
    """Return the inverse depth of a baseline: everything equally far."""
    return np.ones(rgb.shape[:2], np.float32)


def layers_predictor(changes: Sequence[str] = ()) -> Predictor:
    """Return the predictor of what a viewer sees: the depth of the layers, drawn from the photo's own camera.

    `changes` are options such as subject.depth=transformers.
    """
    from img2world.core.image import Image
    from img2world.layered.build import build_layers, input_camera
    from img2world.layered.warp import Warper
    from img2world.runs.recipe import load_recipe

    subject = load_recipe("auto", ["subject.kind=scene", *changes]).subject

    def predict(rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w"]:
        found, size = subject.find(Image(rgb=rgb)), max(rgb.shape) // 2
        depth = Warper(build_layers(found, size, textured=False)).draw(input_camera(found, size), supersample=1).depth
        return 1 / np.where(depth > 0, depth, depth.max())

    return predict


BASELINES: dict[str, Predictor] = {"lower is nearer": ramp, "constant": constant}


def evaluate_depth(
    predictor: Predictor, photos: dict[str, tuple[np.ndarray, list[Pair]]], cases: DepthCases
) -> dict[str, float]:
    """Return the fractions of pairs in the right order, the median spread of depths, and the errors of `cases`."""
    scores: dict[str, list[float]] = {"lower": [], "level": [], "upper": []}
    spreads = []
    for rgb, pairs in photos.values():
        inverse_depth = predictor(rgb)
        spreads.append(depth_spread(inverse_depth))
        for pair in pairs:
            scores[pair.place].append(order_score(inverse_depth, pair))
    row = {"right": float(np.mean([score for part in scores.values() for score in part]))}
    row |= {place: float(np.mean(values)) for place, values in scores.items() if values}
    row["spread"] = float(np.median(spreads))
    for name, pictures in cases.items():
        errors = np.array([affine_errors(predictor(fitted(rgb)), log_depth) for rgb, log_depth in pictures])
        row[f"{name} error"], row[f"{name} rank"] = errors.mean(0).tolist()
    return row


def table_lines(rows: dict[str, dict[str, float]]) -> Iterator[str]:
    """Yield the lines of a Markdown table with a row for each predictor."""
    from evaluation.markdown import markdown_table

    columns = list(next(iter(rows.values())))
    yield from markdown_table(
        ["depth", *columns], [[name, *(f"{row[c]:.2f}" for c in columns)] for name, row in rows.items()]
    )

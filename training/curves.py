"""Training logs as a picture."""

import json
from pathlib import Path

import cv2
import numpy as np

COLORS = ((40, 40, 40), (200, 60, 30), (30, 120, 200), (30, 150, 60), (160, 60, 160), (200, 140, 0))
WIDTH, HEIGHT = 480, 300


def draw_curves(log: Path, path: Path, curves: tuple[str, ...]) -> None:
    """One panel for each of three or six curves of a log of JSON lines, against the steps."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    panels = [
        panel(name, color, [(row["step"], row[name]) for row in rows if name in row])
        for name, color in zip(curves, COLORS[: len(curves)], strict=True)
    ]
    picture = np.concatenate([np.concatenate(panels[start : start + 3], 1) for start in range(0, len(panels), 3)])
    cv2.imwrite(str(path), picture)


def panel(name: str, color: tuple[int, int, int], points: list[tuple[float, float]]) -> np.ndarray:
    """One curve with its name and range."""
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    cv2.rectangle(picture, (50, 30), (WIDTH - 15, HEIGHT - 30), (210, 210, 210), 1)
    if not points:
        return picture
    values = np.array(points, float)
    low, high = values.min(0), values.max(0)
    span = np.maximum(high - low, 1e-9)
    place = (values - low) / span * (WIDTH - 65, HEIGHT - 60)
    line = np.stack([50 + place[:, 0], HEIGHT - 30 - place[:, 1]], 1).astype(np.int32)
    cv2.polylines(picture, [line], False, color[::-1], 2, cv2.LINE_AA)
    for text, where in (
        (f"{name}: {values[-1, 1]:.3f}", (55, 22)),
        (f"{high[1]:.3g}", (4, 42)),
        (f"{low[1]:.3g}", (4, HEIGHT - 30)),
        (f"step {high[0]:.0f}", (WIDTH - 130, HEIGHT - 10)),
    ):
        cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return picture

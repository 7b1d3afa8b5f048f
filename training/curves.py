"""Plots of training logs."""

import json
from pathlib import Path

import cv2
import numpy as np

COLORS = ((40, 40, 40), (200, 60, 30), (30, 120, 200), (30, 150, 60), (160, 60, 160), (200, 140, 0))
WIDTH, HEIGHT = 480, 300


def draw_curves(log: Path, path: Path, curves: tuple[str, ...]) -> None:
    """Write a PNG with a panel for each of three or six values of a JSON lines log, plotted against the steps."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    panels = [
        draw_panel(name, color, [(row["step"], row[name]) for row in rows if name in row])
        for name, color in zip(curves, COLORS[: len(curves)], strict=True)
    ]
    image = np.concatenate([np.concatenate(panels[start : start + 3], 1) for start in range(0, len(panels), 3)])
    cv2.imwrite(str(path), image)


def draw_panel(name: str, color: tuple[int, int, int], points: list[tuple[float, float]]) -> np.ndarray:
    """Return an image of one curve with its name and range."""
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    cv2.rectangle(image, (50, 30), (WIDTH - 15, HEIGHT - 30), (210, 210, 210), 1)
    if not points:
        return image
    values = np.array(points, float)
    low, high = values.min(0), values.max(0)
    span = np.maximum(high - low, 1e-9)
    position = (values - low) / span * (WIDTH - 65, HEIGHT - 60)
    line = np.stack([50 + position[:, 0], HEIGHT - 30 - position[:, 1]], 1).astype(np.int32)
    cv2.polylines(image, [line], False, color[::-1], 2, cv2.LINE_AA)
    for text, corner in (
        (f"{name}: {values[-1, 1]:.3f}", (55, 22)),
        (f"{high[1]:.3g}", (4, 42)),
        (f"{low[1]:.3g}", (4, HEIGHT - 30)),
        (f"step {high[0]:.0f}", (WIDTH - 130, HEIGHT - 10)),
    ):
        cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return image

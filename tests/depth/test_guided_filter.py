import numpy as np
import pytest

from img2world.depth.guided_filter import guided_by_color


def test_it_is_the_linear_model_of_each_window():
    """Equations 14 to 16 of He et al. 2010, solved window by window."""
    rng = np.random.default_rng(0)
    rgb, values = rng.integers(0, 256, (12, 14, 3), np.uint8), rng.random((12, 14), np.float32)
    radius, eps = 2, 1e-2
    guide = np.pad(rgb / 255, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    padded = np.pad(values, radius, mode="symmetric").astype(np.float64)
    models = np.zeros((12, 14, 4))
    for i in range(12):
        for j in range(14):
            colors = guide[i : i + 5, j : j + 5].reshape(-1, 3)
            wanted = padded[i : i + 5, j : j + 5].ravel()
            centered = colors - colors.mean(0)
            slope = np.linalg.solve(
                centered.T @ centered / 25 + eps * np.eye(3), centered.T @ (wanted - wanted.mean()) / 25
            )
            models[i, j] = (*slope, wanted.mean() - slope @ colors.mean(0))
    models = np.pad(models, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    means = np.array([[models[i : i + 5, j : j + 5].mean((0, 1)) for j in range(14)] for i in range(12)])
    expected = (means[..., :3] * (rgb / 255)).sum(-1) + means[..., 3]
    result = guided_by_color(values, rgb, radius=radius, eps=eps)
    assert result == pytest.approx(expected, abs=1e-4)

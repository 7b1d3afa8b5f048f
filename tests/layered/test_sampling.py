import numpy as np
import pytest

from img2world.layered.sampling import sample_texture


def reference(texture: np.ndarray, x: float, y: float) -> np.ndarray:
    """Weigh the four pixels around a position, in float64."""
    height, width = texture.shape[:2]
    x, y = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)
    total = np.zeros(texture.shape[2])
    for row in range(height):
        for column in range(width):
            total += max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row)) * texture[row, column]
    return total


def test_matches_the_definition_at_steps_of_1_32_pixel_inside_and_outside():
    rng = np.random.default_rng(0)
    texture = rng.random((5, 7, 2), np.float32)
    xy = (rng.integers(-64, 9 * 32, (300, 2)) / 32).astype(np.float32)
    expected = [reference(texture, *position) for position in xy]
    np.testing.assert_allclose(sample_texture(texture, xy), expected, atol=2e-6)


@pytest.mark.parametrize("count", [0, 1, 8191, 8192, 8193, 140_000_000 // 1000])
def test_every_point_has_its_own_value_however_many_there_are(count):
    texture = np.arange(256, dtype=np.float32)[None, :, None]  # a ramp: the value tells the position
    x = np.random.default_rng(1).integers(0, 256, count)
    xy = np.stack([x + 0.5, np.full(count, 0.5)], -1).astype(np.float32)
    np.testing.assert_array_equal(sample_texture(texture, xy)[:, 0], x)

import numpy as np
import pytest

pytest.importorskip("numba")

from training.assembly import Composition, Material
from training.shapes import BOX, superquadric
from training.augmentation import joined, varied


def two_boxes() -> Composition:
    """A box and a ball on it, at a height above the ground as that of many models."""
    made = Composition()
    made.put(BOX, Material(texture=0), at=(0, 0.25, 0), size=(1, 0.5, 0.3))
    made.put(superquadric(), Material(texture=1), at=(0, 0.75, 0), size=0.5)
    return made


@pytest.mark.parametrize("seed", range(20))
def test_a_varied_model_is_as_large_and_stands_where_it_stood(seed):
    model = two_boxes()
    before = [shape.vertices.copy() for shape in model.shapes]
    other = varied(model, np.random.default_rng(seed))
    (low, high), (old_low, old_high) = other.bounds(), model.bounds()
    assert low[1] == pytest.approx(old_low[1], abs=1e-6)
    longest = (high - low).max() / (old_high - old_low).max()
    assert 0.7 < longest < 1 + 1e-6  # less where it is tapered and its widest part is not at that end
    assert not np.allclose((high - low) / (high - low).max(), old_high - old_low, atol=1e-3)
    assert other.materials == model.materials
    for old, new, vertices in zip(model.shapes, other.shapes, before, strict=True):
        np.testing.assert_array_equal(old.vertices, vertices)
        np.testing.assert_array_equal(old.faces, new.faces)
        np.testing.assert_array_equal(old.uv, new.uv)
        assert np.isfinite(new.vertices).all()


def test_what_touches_goes_on_touching():
    model = two_boxes()
    model.put(BOX, Material(texture=2), at=(1, 0.25, 0), size=(1, 0.5, 0.3))  # shares four corners with the first one
    for seed in range(20):
        first, _, third = (shape.vertices for shape in varied(model, np.random.default_rng(seed)).shapes)
        distances = np.linalg.norm(first[:, None] - third[None], axis=-1)
        old = np.linalg.norm(model.shapes[0].vertices[:, None] - model.shapes[2].vertices[None], axis=-1)
        assert (old < 1e-9).any()
        np.testing.assert_array_less(distances[old < 1e-9], 1e-9)


def test_the_same_seed_varies_alike_and_another_one_does_not():
    one, again, other = (varied(two_boxes(), np.random.default_rng(seed)).bounds() for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("seed", range(10))
def test_joined_models_are_two_things_that_meet(seed):
    first, second = two_boxes(), two_boxes()
    made = joined(first, second, np.random.default_rng(seed))
    world = made.finished()
    assert set(world.things) == {1, 2}
    assert len(world.faces) == 2 * len(first.finished().faces)
    # Their boxes, a little enlarged, overlap.
    boxes = [world.vertices[world.faces[world.things == thing].ravel()] for thing in (1, 2)]
    lows, highs = np.array([each.min(0) for each in boxes]), np.array([each.max(0) for each in boxes])
    assert (lows.max(0) <= highs.min(0) + 0.15).all()
    assert np.ptp(boxes[1], axis=0).max() < np.ptp(boxes[0], axis=0).max()

import numpy as np
import pytest

pytest.importorskip("numba")

from training.assembly import Assembly
from training.augmentation import combine, vary_proportions
from training.materials import Material
from training.shapes import BOX, superquadric


def box_and_ball() -> Assembly:
    """A ball on a box."""
    assembly = Assembly()
    assembly.add(BOX, Material(texture=0), at=(0, 0.25, 0), size=(1, 0.5, 0.3))
    assembly.add(superquadric(), Material(texture=1), at=(0, 0.75, 0), size=0.5)
    return assembly


@pytest.mark.parametrize("seed", range(20))
def test_varied_asset_keeps_its_size_and_ground(seed):
    asset = box_and_ball()
    before = [shape.vertices.copy() for shape in asset.shapes]
    other = vary_proportions(asset, np.random.default_rng(seed))
    (low, high), (old_low, old_high) = other.bounds(), asset.bounds()
    assert low[1] == pytest.approx(old_low[1], abs=1e-6)
    longest = (high - low).max() / (old_high - old_low).max()
    assert 0.7 < longest < 1 + 1e-6  # Less where it is tapered and not widest at that end.
    assert not np.allclose((high - low) / (high - low).max(), old_high - old_low, atol=1e-3)
    assert other.materials == asset.materials
    for old, new, vertices in zip(asset.shapes, other.shapes, before, strict=True):
        np.testing.assert_array_equal(old.vertices, vertices)
        np.testing.assert_array_equal(old.faces, new.faces)
        np.testing.assert_array_equal(old.uv, new.uv)
        assert np.isfinite(new.vertices).all()


def test_touching_shapes_still_touch():
    asset = box_and_ball()
    asset.add(BOX, Material(texture=2), at=(1, 0.25, 0), size=(1, 0.5, 0.3))  # Shares four corners with the first box.
    for seed in range(20):
        first, _, third = (shape.vertices for shape in vary_proportions(asset, np.random.default_rng(seed)).shapes)
        distances = np.linalg.norm(first[:, None] - third[None], axis=-1)
        old = np.linalg.norm(asset.shapes[0].vertices[:, None] - asset.shapes[2].vertices[None], axis=-1)
        assert (old < 1e-9).any()
        np.testing.assert_array_less(distances[old < 1e-9], 1e-9)


def test_seed_determines_the_variation():
    one, again, other = (vary_proportions(box_and_ball(), np.random.default_rng(seed)).bounds() for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("seed", range(10))
def test_combined_assets_are_two_objects_that_meet(seed):
    first, second = box_and_ball(), box_and_ball()
    assembly = combine(first, second, np.random.default_rng(seed))
    mesh = assembly.build()
    assert set(mesh.object_ids) == {1, 2}
    assert len(mesh.faces) == 2 * len(first.build().faces)
    # Their bounding boxes, slightly enlarged, overlap.
    boxes = [mesh.vertices[mesh.faces[mesh.object_ids == object_id].ravel()] for object_id in (1, 2)]
    lows, highs = np.array([each.min(0) for each in boxes]), np.array([each.max(0) for each in boxes])
    assert (lows.max(0) <= highs.min(0) + 0.15).all()
    assert np.ptp(boxes[1], axis=0).max() < np.ptp(boxes[0], axis=0).max()

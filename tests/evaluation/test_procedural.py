import numpy as np

from evaluation.procedural import procedural_object, procedural_room, seeded_texture


def test_seeds_determine_objects_and_rooms():
    assert (procedural_object(1).vertices == procedural_object(1).vertices).all()
    assert procedural_object(1).vertices.shape != procedural_object(2).vertices.shape
    a, b = procedural_room(1), procedural_room(1)
    assert (a.vertices == b.vertices).all()
    assert (a.atlas.texels == b.atlas.texels).all()


def test_textures_are_tileable():
    for seed in range(12):
        texture = seeded_texture(np.random.default_rng(seed), 64).astype(int)
        seam = np.abs(texture[0] - texture[-1]).mean()
        inside = np.abs(np.diff(texture, axis=0)).mean((1, 2))
        # The step at the seam is no larger than elsewhere in the pattern.
        assert seam <= inside.max() + 8


def test_room_surrounds_the_camera_with_its_floor_below():
    low, high = procedural_room(0).bounds
    assert low[0] < -2 < 2 < high[0]
    assert -2 < low[1] < 0 < high[1] < 2
    assert high[2] > 3

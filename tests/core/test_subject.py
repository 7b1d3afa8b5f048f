import numpy as np
import pytest

from img2world.core.image import Image
from img2world.core.subject import Foreground, ObjectGeometry, SceneGeometry, Subject

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.random(shape, np.float32)


OBJECT = ObjectGeometry(
    front=noise(8, 8), thickness=noise(8, 8), predicted_error=noise(8, 8), symmetry_planes=noise(37), elevation=0.1 / 3
)


@pytest.mark.parametrize(
    "geometry", [OBJECT, *(SceneGeometry(inverse_depth=noise(6, 9), sky=s) for s in (None, noise(6, 9)))]
)
@pytest.mark.parametrize("transparent", [True, False])
def test_it_reads_back_to_the_last_bit(tmp_path, geometry, transparent):
    pixels = RNG.integers(0, 256, (20, 30, 5), np.uint8)
    image = Image(rgb=pixels[..., :3].copy(), alpha=pixels[..., 3].copy() if transparent else None, focal=12.5)
    alpha = pixels[..., 4].copy() if isinstance(geometry, ObjectGeometry) else None
    subject = Subject(image=image, alpha=alpha, reason="because", geometry=geometry)
    subject.save(tmp_path)
    read = Subject.load(tmp_path)
    assert (read.reason, read.is_object, read.image.focal) == ("because", alpha is not None, 12.5)
    pairs = [(read.alpha, alpha), (read.image.rgb, image.rgb), (read.image.alpha, image.alpha)]
    pairs += [(getattr(read.geometry, name), value) for name, value in vars(geometry).items()]
    assert type(read.geometry) is type(geometry)
    for again, before in pairs:
        np.testing.assert_array_equal(again, before)


def test_the_geometry_must_fit():
    with pytest.raises(ValueError, match="SceneGeometry does not fit"):
        Subject(
            image=Image(rgb=np.zeros((4, 4, 3), np.uint8)),
            alpha=np.zeros((4, 4), np.uint8),
            reason="",
            geometry=SceneGeometry(inverse_depth=noise(2, 2), sky=None),
        )


def test_the_foreground_of_a_scene_reads_back_and_an_object_has_none(tmp_path):
    image = Image(rgb=RNG.integers(0, 256, (20, 30, 3), np.uint8))
    things = tuple(Foreground(alpha=RNG.integers(0, 256, (20, 30), np.uint8), geometry=OBJECT) for _ in range(2))
    flat = SceneGeometry(inverse_depth=noise(6, 9), sky=None)
    Subject(image=image, alpha=None, reason="", geometry=flat, foreground=things).save(tmp_path)
    read = Subject.load(tmp_path)
    assert len(read.foreground) == 2
    for again, before in zip(read.foreground, things, strict=True):
        np.testing.assert_array_equal(again.alpha, before.alpha)
        for name, value in vars(OBJECT).items():
            np.testing.assert_array_equal(getattr(again.geometry, name), value)
    with pytest.raises(ValueError, match="foreground"):
        Subject(image=image, alpha=things[0].alpha, reason="", geometry=OBJECT, foreground=things)

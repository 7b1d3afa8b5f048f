import numpy as np

from evaluation.posed_photos import scene_sources
from training.held_out_scenes import KINDS, make_arc_sequence, views_from_sequence
from training.sequences import SequenceGenerator
from training.views import ViewGenerator


def test_procedural_scene_can_be_evaluated(tmp_path):
    generator = SequenceGenerator(ViewGenerator(3, textures=4))
    kind = KINDS[0]
    sequence = next(filter(None, (make_arc_sequence(generator, kind, number, 64, num_views=4) for number in range(20))))
    views = views_from_sequence(sequence)
    assert len(views) == 4
    # All cameras are at distance 1 from the point that the photo looks at.
    centers = views.cameras.centers_in_world
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 1, atol=1e-4)
    angles = np.degrees(np.arccos(np.clip(centers @ centers[0], -1, 1)))
    assert 14 < angles.max() < 15.01
    (tmp_path / kind).mkdir()
    views.save(tmp_path / kind)
    (source,) = scene_sources(tmp_path, 64)
    case = source.make()
    assert not case.is_object
    np.testing.assert_array_equal(case.paths["views"].rgb[0], views.rgb[0])

import numpy as np

from evaluation.posed_photos import scene_sources
from training.held_out_scenes import KINDS, NUM_VIEWS, arc_before, views_of
from training.sequences import Filming
from training.views import Studio


def test_a_made_place_is_a_scene_to_evaluate(tmp_path):
    filming = Filming(Studio(3, textures=4))
    kind = KINDS[0]
    sequence = next(filter(None, (arc_before(filming, kind, number, 64) for number in range(20))))
    views = views_of(sequence)
    assert len(views) == NUM_VIEWS
    # All look at the point one unit before the photo's camera, from one unit away.
    centers = views.cameras.centers_in_world
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 1, atol=1e-4)
    turned = np.degrees(np.arccos(np.clip(centers @ centers[0], -1, 1)))
    assert 14 < turned.max() < 15.01
    (tmp_path / kind).mkdir()
    views.save(tmp_path / kind)
    (source,) = scene_sources(tmp_path, 64)
    case = source.make()
    assert not case.is_object
    np.testing.assert_array_equal(case.paths["views"].rgb[0], views.rgb[0])

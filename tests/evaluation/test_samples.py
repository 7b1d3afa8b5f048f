import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.assets import AssetError
from evaluation.samples import NUM_VIEWS, object_sources, room_sources


@pytest.fixture(scope="module")
def room():
    return room_sources(1, 64)[0].make()


def test_objects_of_files_keep_their_names_and_photos_their_cut_out(asset_folder):
    sources = object_sources(asset_folder, count=2, size=64)
    assert [source.name for source in sources] == ["ball", "box"]
    case = sources[1].make()
    assert case.image.rgb.shape == (128, 128, 3)
    assert case.image.alpha is not None
    assert set(case.paths) == {"static", "dynamic"}
    for truth in case.paths.values():
        assert truth.rgb.shape == (NUM_VIEWS, 64, 64, 3)
        assert (truth.rgb[0] == case.photo.rgb[0]).all()
        # White all around: the model is in the frame.
        assert (truth.rgb[:, 0] == 255).all()
    assert object_sources(asset_folder, count=2, size=64, alpha=False)[1].make().image.alpha is None


def test_a_pattern_says_which_files_stand_along_z(asset_folder):
    upright, lying = (object_sources(asset_folder, count=0, size=64, z_up=z_up)[1] for z_up in ("", "box*"))
    assert lying.z_up
    assert not upright.z_up


def test_rooms_are_seen_all_over_and_a_unit_away(room):
    truth = room.paths["arc"]
    assert (truth.alpha == 255).mean() > 0.999
    assert_allclose(np.median(truth.depth[0]), 1, atol=0.05)
    assert room.image.focal == pytest.approx(2 * truth.cameras.intrinsics[0, 0, 0])


def test_a_folder_without_models_is_an_error(tmp_path):
    with pytest.raises(AssetError, match="no model"):
        object_sources(tmp_path, count=0, size=64)

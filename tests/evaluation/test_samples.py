import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.assets import AssetError
from evaluation.samples import NUM_VIEWS, object_sources, room_sources


@pytest.fixture(scope="module")
def room():
    return room_sources(1, 64)[0].make()


def test_objects_of_files_keep_their_names_and_alpha(asset_folder):
    sources = object_sources(asset_folder, count=2, size=64)
    assert [source.name for source in sources] == ["ball", "box"]
    sample = sources[1].make()
    assert sample.image.rgb.shape == (128, 128, 3)
    assert sample.image.alpha is not None
    assert set(sample.paths) == {"static", "dynamic"}
    for truth in sample.paths.values():
        assert truth.rgb.shape == (NUM_VIEWS, 64, 64, 3)
        assert (truth.rgb[0] == sample.photo.rgb[0]).all()
        # The object does not touch the frame.
        assert (truth.rgb[:, 0] == 255).all()
    assert object_sources(asset_folder, count=2, size=64, alpha=False)[1].make().image.alpha is None


def test_pattern_selects_files_with_z_up(asset_folder):
    y_up, z_up = (object_sources(asset_folder, count=0, size=64, z_up=z_up)[1] for z_up in ("", "box*"))
    assert z_up.z_up
    assert not y_up.z_up


def test_rooms_fill_the_frame_at_unit_median_depth(room):
    truth = room.paths["arc"]
    assert (truth.alpha == 255).mean() > 0.999
    assert_allclose(np.median(truth.depth[0]), 1, atol=0.05)
    assert room.image.focal == pytest.approx(2 * truth.cameras.intrinsics[0, 0, 0])


def test_folder_without_assets_raises(tmp_path):
    with pytest.raises(AssetError, match="no 3D model"):
        object_sources(tmp_path, count=0, size=64)

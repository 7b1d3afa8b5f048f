import numpy as np
import pytest
from skimage import data

from img2world.core.errors import CameraError
from img2world.core.image import Image
from img2world.trajectory.paths import ArcTrajectory, AutoTrajectory, DollyTrajectory, FileTrajectory, OrbitTrajectory


def cut_out_picture() -> Image:
    alpha = np.zeros((80, 60), np.uint8)
    alpha[20:60, 20:40] = 255
    return Image(rgb=np.full((80, 60, 3), 90, np.uint8), alpha=alpha)


def test_auto_orbits_objects_and_arcs_before_scenes():
    around = AutoTrajectory(size=96).cameras(cut_out_picture())
    before = AutoTrajectory(size=96).cameras(Image(rgb=data.coffee()))
    assert around.centers_in_world[:, 2].max() > 0.9
    assert before.centers_in_world[:, 2].max() < -0.9
    assert (around.width, around.height) == (96, 96)
    assert (before.width, before.height) == (96, 64)


def test_arc_narrows_when_less_may_be_unseen():
    picture = Image(rgb=data.astronaut())
    wide, narrow = (ArcTrajectory(size=64, max_unseen=share).supported_degrees(picture) for share in (0.15, 0.05))
    assert 2 <= narrow < wide <= 12


def test_exif_focal_length_is_used_for_scenes():
    picture = Image(rgb=data.coffee(), focal=900.0)
    camera = DollyTrajectory(size=300).cameras(picture)
    assert camera.intrinsics[0, 0, 0] == pytest.approx(450)  # 600 pixels wide, shown at 300


@pytest.mark.parametrize("backend", [OrbitTrajectory(size=8), OrbitTrajectory(num_views=1), FileTrajectory()])
def test_impossible_options_are_refused(backend):
    with pytest.raises(CameraError) as caught:
        backend.cameras(cut_out_picture())
    assert caught.value.hint

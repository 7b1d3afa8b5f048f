import numpy as np
import pytest
from scenes import cameras_around

from img2world.core.camera_paths import look_at
from img2world.core.cameras import Cameras
from img2world.core.errors import SubjectError
from img2world.isolation.aim import find_aim


def cameras_at(centers, targets) -> Cameras:
    few = cameras_around(len(centers))
    poses = [
        look_at(np.array(center, float), np.array(target, float))
        for center, target in zip(centers, targets, strict=True)
    ]
    return Cameras(
        world_from_cam=np.stack(poses).astype(np.float32), intrinsics=few.intrinsics, width=few.width, height=few.height
    )


def test_the_point_that_most_cameras_look_at_is_found():
    around = [(1.5 * np.sin(a), -0.5, 1.5 * np.cos(a)) for a in np.linspace(0, 3, 11)]
    aims = [(0.3, 0.1, 0.2)] * 10 + [(5, 0, 9)]
    aim = find_aim(cameras_at(around, aims))
    np.testing.assert_allclose(aim.point, (0.3, 0.1, 0.2), atol=0.02)
    assert aim.aimed.tolist() == [True] * 10 + [False]
    # What a picture shows there is 1.4 wide at 1.6, and the nearest camera is 1.2 away.
    assert 0.5 < aim.radius < 1.2


def circle(radius: float) -> list[tuple[float, float, float]]:
    return [(radius * np.cos(a), 0.0, radius * np.sin(a)) for a in np.linspace(0, 6, 12)]


@pytest.mark.parametrize(
    ("centers", "targets", "message"),
    [
        (circle(0.5), circle(4.0), "turn around nothing"),
        (circle(0.01), circle(4.0), "turn around nothing"),
        ([(0.02 * (i % 2), 0, i) for i in range(8)], [(0, 0, 50)] * 8, "turn around nothing"),
        ([(0.1 * i, 0, 0) for i in range(8)], [(0.1 * i, 0, 5) for i in range(8)], "turn around nothing"),
        (circle(2.0)[:2], [(0, 0, 0)] * 2, "2 views"),
    ],
    ids=["looks outwards", "panorama", "walks forwards", "along a wall", "two views"],
)
def test_cameras_that_turn_around_nothing_are_refused(centers, targets, message):
    with pytest.raises(SubjectError, match=message) as caught:
        find_aim(cameras_at(centers, targets))
    assert "--subject" in caught.value.hint

"""The page as a file: data, text and errors."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from img2world.core.errors import ExportError
from img2world.core.motion import Motion
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.html import (
    WorldPageExport,
    motion_errors,
    quantization_errors,
    read_world_html,
    sway_ranges,
    world_html,
)
from tests.moving import moving_scene


def views_of(scene: Scene) -> Views:
    shape = (len(scene.cameras), scene.cameras.height, scene.cameras.width, 3)
    return Views(
        rgb=np.zeros(shape, np.uint8),
        cameras=scene.cameras,
        confidence=np.ones(len(scene.cameras), np.float32),
        points=np.zeros((0, 3), np.float32),
        point_colors=np.zeros((0, 3), np.uint8),
        solver="commanded",
    )


class Tags(HTMLParser):
    """Collects element names and their texts, as a browser parses them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names, self.texts, self.open = [], {}, ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.open = tag

    def handle_endtag(self, tag):
        self.open = ""

    def handle_data(self, data):
        self.texts[self.open] = self.texts.get(self.open, "") + data


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_export_reads_back(scenes, tmp_path, degree):
    scene = scenes.scene_of(scenes.cloud(400, degree))
    steps = []
    path = tmp_path / WorldPageExport().filename
    facts = WorldPageExport(title="A cup").write(
        scene, views_of(scene), path, progress=lambda done, total: steps.append(done)
    )
    world, found, _ = read_world_html(path.read_text(encoding="utf-8"))
    assert Tags(path.read_text(encoding="utf-8")).texts["title"] == "A cup"
    assert path.name == "world.html"
    assert facts["gaussians"] == len(found) == 400
    assert facts["bytes"] == path.stat().st_size
    # Rounding is off by at most half a step, and at a millionth of a step there would be no quantization.
    assert 0.01 < facts["max_error_in_steps"] < 0.6
    assert 0 < facts["max_rotation_error_deg"] < 1
    assert steps == [1, 2]
    np.testing.assert_allclose(found.means, scene.gaussians.means, atol=1e-6)
    assert world["background"] == [0.1, 0.25, 0.4]
    assert world["camera"]["fy"] == 190
    assert world["camera"]["center"] == [0, 0, -1]


def test_same_scene_same_bytes(scenes):
    scene = scenes.scene_of(scenes.cloud(300, 1))
    assert world_html(scene, title="a") == world_html(scene, title="a")
    assert world_html(scene, title="a") != world_html(scene, title="b")


def test_sixty_thousand_gaussians_are_small(scenes):
    scene = scenes.scene_of(scenes.cloud(60_000, 1))
    assert len(world_html(scene, title="large").encode()) < 3.2e6


@pytest.mark.parametrize(
    "title", ["</title><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "@@splats@@", "Tom & Jerry's <b>"]
)
def test_a_title_is_never_markup(scenes, title):
    plain = Tags(world_html(scenes.scene_of(scenes.three_blobs()), title="plain"))
    strange = Tags(world_html(scenes.scene_of(scenes.three_blobs()), title=title))
    assert strange.names == plain.names
    assert strange.texts["title"] == strange.texts["h1"] == title


def test_page_is_self_contained(scenes):
    text = world_html(scenes.scene_of(scenes.three_blobs()), title="t")
    assert "@@" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert "//cdn" not in text


def test_moving_scene_reads_back(tmp_path):
    scene = moving_scene(150)
    path = tmp_path / "world.html"
    facts = WorldPageExport().write(scene, None, path)
    _, found, motion = read_world_html(path.read_text(encoding="utf-8"))
    assert (facts["gaussians"], facts["bones"], facts["keys"]) == (600, 3, 5)
    for time in (0.0, 0.7, 1.05, 2.0):
        expected, read = scene.at(time), replace(scene, gaussians=found, motion=motion).at(time)
        # A weight of a byte is off by 1/500; here the bones are less than half a unit apart.
        np.testing.assert_allclose(read.means, expected.means, atol=1e-3)
        np.testing.assert_allclose(read.opacities, expected.opacities, atol=0.6 / 255)


def test_a_wrong_motion_is_detected():
    scene = moving_scene(20)
    text = world_html(scene, title="t")
    world, _, motion = read_world_html(text)
    errors = motion_errors(scene.motion, world["splats"], motion)
    assert 0.01 < errors["bone_weights_error"] <= 0.51
    assert errors["bone_indices_error"] == errors["key_times_error"] == 0
    order = np.roll(np.arange(80), 20)
    assert motion_errors(scene.motion, world["splats"], motion.select(order))["bone_indices_error"] >= 1
    with pytest.raises(ExportError, match="motion of shape"):
        motion_errors(scene.motion, world["splats"], None)
    with pytest.raises(ExportError, match="windows"):
        motion_errors(replace(scene.motion, windows=None), world["splats"], motion)
    with pytest.raises(ExportError, match="not a world page"):
        read_world_html(text.replace('"bone_quats"', '"bone_quatz"'))


def test_only_what_moves_has_a_player():
    moving = moving_scene(5)
    still = replace(moving, motion=None)
    alone = replace(moving, motion=first_key(moving.motion))
    assert 'id="player"' in world_html(moving, title="t")
    for scene in (still, alone):
        text = world_html(scene, title="t")
        assert not [
            word for word in ('"player"', "class Player", "class Motion", "#player", "skinningShader =") if word in text
        ]
        assert "(space)" in text
        assert "motion" not in read_world_html(text)[0]
    _, found, _ = read_world_html(world_html(alone, title="t"))
    np.testing.assert_allclose(found.means, alone.at(0.0).means, atol=1e-6)


def first_key(motion: Motion) -> Motion:
    return replace(
        motion,
        key_times=motion.key_times[2:3],
        bone_quats=motion.bone_quats[:, 2:3],
        bone_translations=motion.bone_translations[:, 2:3],
    )


def test_sway_stays_where_the_cameras_were(scenes):
    # The second camera is to the right (it looks left, at negative yaw), the third to the left.
    ranges = sway_ranges(scenes.cameras([0.0, -0.1, 0.05]))
    assert ranges["yaw"] == pytest.approx([-0.06, 0.03])
    assert ranges["pitch"] == pytest.approx([-0.007, 0.007])
    # -3.1 is the direction of 3.18, just 0.18 beyond 3.0.
    assert sway_ranges(scenes.cameras([3.0, 3.1, -3.1]))["yaw"] == pytest.approx(
        [-0.02, 0.6 * (2 * np.pi - 6.1)], abs=1e-4
    )
    assert sway_ranges(scenes.cameras([0.0]))["yaw"] == pytest.approx([-0.02, 0.02])


def test_damage_is_detected(scenes):
    scene = scenes.scene_of(scenes.three_blobs())
    text = world_html(scene, title="t")
    start = text.index('id="splats"') + 40
    with pytest.raises(ExportError, match="not a world page"):
        read_world_html(text[:start] + "AAAA" + text[start + 4 :])
    with pytest.raises(ExportError, match="not a world page"):
        read_world_html("<html></html>")
    world, found, _ = read_world_html(text)
    found.means[1, 0] += 1e-4
    assert quantization_errors(scene.gaussians, world["splats"], found)["means_error"] > 100
    with pytest.raises(ExportError, match="shape"):
        quantization_errors(scenes.cloud(4, 1), world["splats"], found)


def test_world_json_cannot_close_its_element(scenes):
    text = world_html(scenes.scene_of(scenes.three_blobs()), title="t")
    start = text.index(">", text.index('id="world"')) + 1
    held = text[start : text.index("</script>", start)]
    assert "<" not in held
    assert json.loads(held)["splats"]["count"] == 3

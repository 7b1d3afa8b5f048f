"""Characters move as the glTF specification says, here worked out by hand."""

import json
import struct

import numpy as np
import pytest

from evaluation.assets import AssetError
from evaluation.moving_characters import character_kinds, usual_kinds
from evaluation.moving_scenes import make_scene
from evaluation.skinned_assets import load_skinned

HALF = np.sqrt(0.5)


def write_flag(path, *, interpolation="LINEAR"):
    """Write a flag of two bones, a plate on each, that bends by a quarter turn about Z at half height in 2 seconds.

    The strip is three pairs of vertices at heights 0, 1 and 2; the middle ones follow both bones equally. On the upper
    bone hang two plates, as alternatives do. The lower bone is 10 along X, and stays.
    """
    document = {"asset": {"version": "2.0"}, "scene": 0, "accessors": [], "bufferViews": [], "buffers": [{}]}
    binary = bytearray()

    def add(values, kind, dtype="<f4"):
        data = np.asarray(values, dtype).tobytes()
        document["bufferViews"].append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(data)})
        code = {"<f4": 5126, "<u2": 5123, "|u1": 5121}[np.dtype(dtype).str]
        document["accessors"].append(
            {"bufferView": len(document["accessors"]), "componentType": code, "count": len(values), "type": kind}
        )
        binary.extend(data + bytes(-len(data) % 4))
        return len(document["accessors"]) - 1

    strip = [(x, y, 0) for y in (0, 1, 2) for x in (-0.5, 0.5)]
    front = np.tile([0, 0, 1], (6, 1))
    binds = np.tile(np.eye(4), (2, 1, 1))
    binds[0, :3, 3], binds[1, :3, 3] = (-10, 0, 0), (-10, -1, 0)
    plate = add([(0, 0, 0), (1, 0, 0), (0, 1, 0), (7, 7, 7)], "VEC3"), add(np.tile([0, 0, 1], (4, 1)), "VEC3")
    document["meshes"] = [
        {
            "primitives": [
                {
                    "attributes": {
                        "POSITION": add([(x + 10, y, z) for x, y, z in strip], "VEC3"),
                        "NORMAL": add(front, "VEC3"),
                        "JOINTS_0": add([(0, 1, 0, 0)] * 6, "VEC4", np.uint8),
                        "WEIGHTS_0": add([(w, 1 - w, 0, 0) for w in (1, 1, 0.5, 0.5, 0, 0)], "VEC4"),
                    },
                    "indices": add([[i] for i in (0, 1, 2, 1, 3, 2, 2, 3, 4, 3, 5, 4)], "SCALAR", "<u2"),
                }
            ]
        },
        {
            "primitives": [
                {
                    "attributes": {"POSITION": plate[0], "NORMAL": plate[1]},
                    "indices": add([[0], [1], [2]], "SCALAR", "<u2"),
                }
            ]
        },
    ]
    document["nodes"] = [
        {"name": "lower", "translation": [10, 0, 0], "children": [1]},
        {"name": "upper", "translation": [0, 1, 0], "children": [2, 3]},
        {"name": "plate", "mesh": 1, "translation": [0, 1, 0], "scale": [2, 2, 2]},
        {"name": "other plate", "mesh": 1},
        # The transform of a node with a skin counts for nothing.
        {"name": "strip", "mesh": 0, "skin": 0, "translation": [5, 5, 5]},
    ]
    document["scenes"] = [{"nodes": [0, 4]}]
    stored = add(binds.transpose(0, 2, 1).reshape(2, 16), "MAT4")
    document["skins"] = [{"joints": [0, 1], "inverseBindMatrices": stored}]
    sampler = {
        "input": add([[0], [2]], "SCALAR"),
        "output": add([(0, 0, 0, 1), (0, 0, HALF, HALF)], "VEC4"),
        "interpolation": interpolation,
    }
    channels = [{"sampler": 0, "target": {"node": 1, "path": "rotation"}}]
    document["animations"] = [{"name": "Bend_Over", "samplers": [sampler], "channels": channels}]
    document["buffers"][0]["byteLength"] = len(binary)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = [struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(binary), b"BIN\0"), binary]
    data = b"".join(bytes(each) for each in chunks)
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(data)) + data)
    return path


def expected_flag(turn):
    """Return the vertices when the upper bone has turned by an angle: plate, then strip."""
    c, s = np.cos(turn), np.sin(turn)

    def bent(x, y):
        return np.array([10 + c * x - s * (y - 1), 1 + s * x + c * (y - 1), 0])

    plate = [bent(x, y + 2) for x, y in ((0, 0), (2, 0), (0, 2))]
    strip = [np.array([10 + x, 0, 0]) for x in (-0.5, 0.5)]
    strip += [(np.array([10 + x, 1, 0]) + bent(x, 1)) / 2 for x in (-0.5, 0.5)]
    strip += [bent(x, 2) for x in (-0.5, 0.5)]
    return np.stack([*plate, *strip])


def test_skins_and_parts_on_joints_move_as_worked_out_by_hand(tmp_path):
    flag = load_skinned(write_flag(tmp_path / "flag.glb"))
    assert flag.duration("Bend_Over") == 2
    for time, turn in ((0.0, 0), (0.5, np.pi / 8), (2.0, np.pi / 2), (9.0, np.pi / 2)):
        vertices, normals = flag.posed("Bend_Over", time)
        np.testing.assert_allclose(vertices, expected_flag(turn), atol=1e-5)  # float32 in the file
        np.testing.assert_allclose(normals, np.tile([0, 0, 1], (9, 1)), atol=1e-6)
    assert len(flag.mesh.faces) == 5  # 4 of the strip and 1 of the first plate


def test_steps_jump_at_their_keys(tmp_path):
    flag = load_skinned(write_flag(tmp_path / "flag.glb", interpolation="STEP"))
    np.testing.assert_allclose(flag.posed("Bend_Over", 1.9)[0], expected_flag(0), atol=1e-5)
    np.testing.assert_allclose(flag.posed("Bend_Over", 2.0)[0], expected_flag(np.pi / 2), atol=1e-5)


def test_clips_are_scenes_that_seeds_turn(tmp_path):
    kinds = character_kinds(write_flag(tmp_path / "red_flag.glb").parent)
    assert usual_kinds(kinds) == ("red flag bend over",)
    assert usual_kinds(["knight walking a", "knight t-pose"]) == ("knight walking a",)
    first, second = (make_scene("red flag bend over", seed, kinds) for seed in (0, 1))
    assert first.moving.tolist() == [True] * 3 + [False] * 2 + [True] * 4
    distances = [np.linalg.norm(np.diff(each.vertices_at(0.5), axis=0), axis=1) for each in (first, second)]
    np.testing.assert_allclose(*distances, atol=1e-6)
    assert np.abs(first.vertices_at(0.5) - second.vertices_at(0.5)).max() > 0.01
    # +Y is down: the plate on top has the smallest.
    assert first.vertices_at(0.0)[:, 1].argmin() < 3


def test_what_is_no_character_is_refused(tmp_path):
    with pytest.raises(AssetError, match="CUBICSPLINE"):
        load_skinned(write_flag(tmp_path / "flag.glb", interpolation="CUBICSPLINE"))
    (tmp_path / "text.glb").write_text("not a model, but long enough for a header")
    with pytest.raises(AssetError, match="GLB"):
        load_skinned(tmp_path / "text.glb")
    (tmp_path / "flag.glb").write_bytes((tmp_path / "flag.glb").read_bytes()[:200])
    with pytest.raises(AssetError, match="cannot be read"):
        load_skinned(tmp_path / "flag.glb")

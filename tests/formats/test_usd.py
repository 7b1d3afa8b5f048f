"""OpenUSD splats: stages are made here by usd-core and checked by NVIDIA's validator."""

import sys
import zipfile

import numpy as np
import pytest
from known_scene import RUB, Splat, Tolerance, appearance, check_same, gaussians_from, known_splats, splats_from, turned
from pxr import Gf, Usd, UsdGeom
from scipy.spatial.transform import Rotation
from splat_encoders import in_axes

from img2world.core.errors import FormatError, MissingPackageError
from img2world.formats.files import read_splats, write_splats
from img2world.formats.usd import read, write
from img2world.formats.usd_process import load
from tests.moving import moving_scene

TYPE = "ParticleField3DGaussianSplat"
SH = "radiance:sphericalHarmonics"


def y_up(splats: list[Splat]) -> list[Splat]:
    return [in_axes(splat, RUB) for splat in splats]


def define(stage: Usd.Stage, place: str, splats: list[Splat], *, half: bool = False, time: float | None = None):
    """Define a prim of splats, in single or half precision, at all times or one."""
    prim = stage.DefinePrim(place, TYPE)
    suffix, kinds = ("h", (Gf.Vec3h, Gf.Quath)) if half else ("", (Gf.Vec3f, Gf.Quatf))
    vector, quat = kinds
    values = {
        "positions": [vector(*splat.center) for splat in splats],
        "orientations": [
            quat(*(np.array(splat.quaternion) / np.linalg.norm(splat.quaternion)).tolist()) for splat in splats
        ],
        "scales": [vector(*splat.radii) for splat in splats],
        "opacities": [splat.opacity for splat in splats],
        f"{SH}Coefficients": [vector(*row) for splat in splats for row in splat.harmonics.tolist()],
    }
    for name, value in values.items():
        prim.GetAttribute(name + suffix).Set(value, *([] if time is None else [time]))
    prim.GetAttribute(f"{SH}Degree").Set(round(len(splats[0].harmonics) ** 0.5) - 1)
    return prim


def new_stage(path, up: str = "Y") -> Usd.Stage:
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, up)
    return stage


def check_read(path, splats: list[Splat], tolerance: Tolerance | None = None) -> None:
    found = read_splats(path)
    check_same(appearance(splats_from(found.gaussians)), appearance(splats), tolerance or Tolerance(center=2e-6))


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usdz"])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_files_obey_the_rules_of_the_requirement(degree, suffix, tmp_path):
    """VG.035, and with it SPL.002 to 006: all attributes, of equal lengths, harmonics as a primvar of each vertex."""
    from usd_validation_nvidia import ValidationEngine
    from usd_validation_nvidia.rules._gaussian_splat import GaussianSplatSchemaChecker

    path = tmp_path / f"scene{suffix}"
    write(gaussians_from(known_splats(degree)), path)
    engine = ValidationEngine(init_rules=False)
    engine.enable_rule(GaussianSplatSchemaChecker)
    assert [issue.message for issue in engine.validate(str(path)).issues()] == []
    # The rule is in force: it finds what is wrong in a prim without attributes.
    stage = new_stage(tmp_path / "bad.usda")
    stage.DefinePrim("/a", TYPE)
    stage.Save()
    assert len(list(engine.validate(str(tmp_path / "bad.usda")).issues())) > 3


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usdz"])
def test_files_obey_the_rules_for_all_stages(suffix, tmp_path):
    from usd_validation_nvidia import ValidationEngine

    path = tmp_path / f"scene{suffix}"
    write(gaussians_from(known_splats(3)), path)
    messages = [issue.message for issue in ValidationEngine().validate(str(path)).issues()]
    # Text files are for people.
    assert [message for message in messages if "should be stored in crate files" not in message] == []


def test_packages_are_the_same_at_any_time(tmp_path):
    gaussians = gaussians_from(known_splats(1))
    write(gaussians, tmp_path / "scene.usdz")
    with zipfile.ZipFile(tmp_path / "scene.usdz") as package:
        entries = [(entry.filename, entry.date_time, entry.compress_type) for entry in package.infolist()]
    assert entries == [("splats.usdc", (1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED)]
    first = (tmp_path / "scene.usdz").read_bytes()
    write(gaussians, tmp_path / "scene.usdz")
    assert (tmp_path / "scene.usdz").read_bytes() == first


def test_the_stage_says_what_it_is(tmp_path):
    splats = known_splats(3)
    write(gaussians_from(splats), tmp_path / "scene.usdc", metres_per_unit=2.5)
    stage = Usd.Stage.Open(str(tmp_path / "scene.usdc"))
    prim = stage.GetDefaultPrim()
    assert (prim.GetTypeName(), UsdGeom.GetStageUpAxis(stage), UsdGeom.GetStageMetersPerUnit(stage)) == (TYPE, "Y", 2.5)
    low, high = np.array(UsdGeom.Boundable(prim).GetExtentAttr().Get())
    for splat in y_up(splats):
        # Three standard deviations of the longest axis are inside.
        assert (np.array(splat.center) - 3 * max(splat.radii) >= low - 1e-5).all()
        assert (np.array(splat.center) + 3 * max(splat.radii) <= high + 1e-5).all()
    colors = UsdGeom.Primvar(prim.GetAttribute("primvars:displayColor"))
    assert colors.GetInterpolation() == "vertex"
    expected = [0.5 + splat.harmonics[0] / 2 / np.sqrt(np.pi) for splat in splats]
    np.testing.assert_allclose(np.array(colors.Get()), expected, atol=1e-6)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("degree", [0, 3])
def test_both_precisions_are_read(degree, half, tmp_path):
    splats = known_splats(degree)
    stage = new_stage(tmp_path / "scene.usda")
    define(stage, "/a/b", y_up(splats), half=half)
    stage.Save()
    tolerance = Tolerance(center=1e-3, covariance=5e-3, opacity=5e-4, color=5e-3) if half else None
    check_read(tmp_path / "scene.usda", splats, tolerance)


def test_a_stage_with_z_up_is_stood_upright(tmp_path):
    """+Z up, +Y away from the viewer, +X right: file (x, y, z) is (x, -z, y) in the axes of a PLY."""
    splats = known_splats(3)
    frame = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    stage = new_stage(tmp_path / "scene.usda", "Z")
    define(stage, "/splats", [in_axes(splat, frame) for splat in splats])
    stage.Save()
    check_read(tmp_path / "scene.usda", splats, Tolerance(center=2e-6, color=1e-5))


def test_transforms_of_parents_are_applied(tmp_path):
    splats = y_up(known_splats(3))
    turn = Rotation.from_euler("zyx", [20, 75, -130], degrees=True)
    stage = new_stage(tmp_path / "scene.usda")
    parent = UsdGeom.Xform.Define(stage, "/parent")
    parent.AddTranslateOp().Set((1, 2, 3))
    parent.AddScaleOp().Set((4, 4, 4))
    child = UsdGeom.Xformable(define(stage, "/parent/splats", splats))
    x, y, z, w = turn.as_quat().tolist()
    child.AddOrientOp(UsdGeom.XformOp.PrecisionDouble).Set(Gf.Quatd(w, x, y, z))
    stage.Save()
    spun = [in_axes(splat, turn.as_matrix()) for splat in splats]
    moved = [
        Splat(
            tuple(4 * np.array(s.center) + (1, 2, 3)),
            s.quaternion,
            tuple(4 * np.array(s.radii)),
            s.opacity,
            s.harmonics,
        )
        for s in spun
    ]
    found = appearance(splats_from(load(tmp_path / "scene.usda").gaussians))
    check_same(found, turned(appearance(moved, RUB), RUB), Tolerance(center=1e-5, color=1e-5))


def test_several_prims_instances_and_samples_are_read(tmp_path):
    splats = known_splats(1)
    stage = new_stage(tmp_path / "tree.usda")
    define(stage, "/tree", y_up(splats[:2]))
    stage.SetDefaultPrim(stage.GetPrimAtPath("/tree"))
    stage.Save()
    forest = new_stage(tmp_path / "forest.usda")
    define(forest, "/moving", y_up(splats[2:3]), time=4.0)
    UsdGeom.Xform.Define(forest, "/group/inner")
    for name, prim in (("whole", "/group/inner"), ("proxy", "/instance")):
        forest.DefinePrim(f"{prim}/{name}").GetReferences().AddReference("tree.usda")
    instance = forest.GetPrimAtPath("/instance")
    instance.SetInstanceable(True)
    forest.DefinePrim("/hidden", "Cube").SetActive(False)
    forest.Save()
    file = load(tmp_path / "forest.usda")
    assert len(file.gaussians) == 5
    # Instances are instanced by references of their own.
    UsdGeom.Xform.Define(forest, "/copies")
    prim = forest.DefinePrim("/copies/one", "Xform")
    prim.GetReferences().AddReference("forest.usda", "/group")
    prim.SetInstanceable(True)
    forest.Save()
    assert len(load(tmp_path / "forest.usda").gaussians) == 7


def test_missing_values_have_the_defaults_of_the_schema(tmp_path):
    stage = new_stage(tmp_path / "scene.usda")
    prim = define(stage, "/splats", y_up(known_splats(0)))
    for name in ("orientations", "scales", "opacities"):
        prim.GetAttribute(name).Clear()
    stage.Save()
    gaussians = load(tmp_path / "scene.usda").gaussians
    np.testing.assert_allclose(np.abs(gaussians.quats[:, 0]), 1)
    np.testing.assert_allclose(gaussians.scales, 1)
    np.testing.assert_allclose(gaussians.opacities, 1, atol=1e-7)


def attribute(name: str, value):
    return lambda stage, prim: prim.GetAttribute(name).Set(value)


def mirror(stage, prim):
    UsdGeom.Xformable(prim).AddScaleOp().Set((-1, 1, 1))


def squeeze(stage, prim):
    UsdGeom.Xformable(prim).AddScaleOp().Set((1, 2, 1))


def endless(stage, prim):
    UsdGeom.Xformable(prim).AddTranslateOp().Set((float("nan"), 0, 0))


DAMAGE = {
    "a position less": (attribute("positions", [(0, 0, 0)] * 4), "different lengths"),
    "an opacity more": (attribute("opacities", [1.0] * 6), "different lengths"),
    "fewer harmonics": (attribute(f"{SH}Coefficients", [(0, 0, 0)] * 19), "different lengths"),
    "degree 4": (attribute(f"{SH}Degree", 4), "degree 4"),
    "a negative degree": (attribute(f"{SH}Degree", -1), "degree -1"),
    "a huge degree": (attribute(f"{SH}Degree", 2**31 - 1), "degree 2147483647"),
    "no positions": (attribute("positions", []), "no positions"),
    "no harmonics": (attribute(f"{SH}Coefficients", []), "no radiance"),
    "a mirroring transform": (mirror, "mirrors"),
    "a squeezing transform": (squeeze, "unevenly"),
    "an endless transform": (endless, "cannot be applied"),
    "no splats": (lambda stage, prim: stage.RemovePrim("/splats"), "no Gaussian splats"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_error(damage, tmp_path):
    change, found = DAMAGE[damage]
    stage = new_stage(tmp_path / "scene.usda")
    change(stage, define(stage, "/splats", y_up(known_splats(1))))
    stage.Save()
    with pytest.raises(FormatError, match=found) as error:
        read_splats(tmp_path / "scene.usda")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "line", ['string[] positions = ["a", "b"]', "float[] scales = [1, 2]", "int opacities = 5", "double[] scales = [1]"]
)
def test_values_of_another_type_are_one_error(line, tmp_path):
    text = f"""#usda 1.0
    def {TYPE} "splats" {{
        point3f[] positions = [(1, 2, 3)]
        float3[] {SH}Coefficients = [(1, 2, 3)]
        {line}
    }}"""
    (tmp_path / "scene.usda").write_text(text)
    with pytest.raises(FormatError) as error:
        read_splats(tmp_path / "scene.usda")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.usda", b"#usda 1.0\n("),
        ("b.usda", b"#usda 1.0\ndef ParticleField3DGaussianSplat \"a\" { point3f[] positions = [(1, 2"),
        ("c.usda", b""),
        ("d.usdc", b"PXR-USDC" + bytes(200)),
        ("e.usdz", b"PK\3\4" + bytes(200)),
        ("f.usd", b"nothing"),
    ],
)  # fmt: skip
def test_other_files_are_one_error(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError) as error:
        read_splats(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("length", [8, 40, 88, 500, 1500, -1])
def test_truncated_files_are_one_error(length, tmp_path):
    write(gaussians_from(known_splats(3)), tmp_path / "whole.usdc")
    (tmp_path / "short.usdc").write_bytes((tmp_path / "whole.usdc").read_bytes()[:length])
    with pytest.raises(FormatError):
        read_splats(tmp_path / "short.usdc")


def test_a_process_of_its_own_reads_the_same(tmp_path):
    write(gaussians_from(known_splats(2)), tmp_path / "scene.usdz")
    apart, here = read(tmp_path / "scene.usdz"), load(tmp_path / "scene.usdz")
    for name, array in vars(here.gaussians).items():
        np.testing.assert_array_equal(getattr(apart.gaussians, name), array)
    assert (apart.broken, apart.details) == (here.broken, here.details) == (0, {"prim": "/splats"})


def test_errors_of_the_process_are_one_error(tmp_path):
    (tmp_path / "scene.usda").write_text("#usda 1.0")
    with pytest.raises(FormatError, match="has no Gaussian splats") as error:
        read(tmp_path / "scene.usda")
    assert "\n" not in str(error.value)


def test_a_crash_of_openusd_is_one_error(tmp_path, monkeypatch):
    """As some damaged files cause it, here by a package of the same name."""
    (tmp_path / "pxr.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    write(gaussians_from(known_splats(0)), tmp_path / "scene.usda")
    with pytest.raises(FormatError, match=r"crashed \(SIGSEGV\)"):
        read(tmp_path / "scene.usda")


def test_without_the_package_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pxr", None)
    for action in (
        lambda: write_splats(gaussians_from(known_splats(0)), tmp_path / "scene.usdc"),
        lambda: read(tmp_path / "scene.usdc"),
    ):
        with pytest.raises(MissingPackageError, match="usd-core") as error:
            action()
        assert "img2world[usd]" in error.value.hint
    assert list(tmp_path.iterdir()) == []


def test_what_moves_has_time_samples(tmp_path):
    """Read by OpenUSD at three times, of which one is between samples."""
    scene = moving_scene(10)
    write(scene.gaussians, tmp_path / "a.usdc", motion=scene.motion, fps=24.0)
    stage = Usd.Stage.Open(str(tmp_path / "a.usdc"))
    assert (stage.GetTimeCodesPerSecond(), stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (24, 0, 48)
    prim = stage.GetDefaultPrim()
    assert prim.GetAttribute("positions").GetNumTimeSamples() == 49
    for time in (0.0, 0.99, 2.0):
        expected = scene.at(time)
        # Between two of 24 samples a second, an arc of 70° in 2 s and its chord are nearly the same.
        positions = np.array(prim.GetAttribute("positions").Get(24 * time)) * [1, -1, -1]
        np.testing.assert_allclose(positions, expected.means, atol=1e-4)
        quats = np.array([[q.GetReal(), *q.GetImaginary()] for q in prim.GetAttribute("orientations").Get(24 * time)])
        unit = expected.quats / np.linalg.norm(expected.quats, axis=1, keepdims=True)
        np.testing.assert_allclose(np.abs((quats * [1, 1, -1, -1] * unit).sum(1)), 1, atol=1e-4)
        np.testing.assert_allclose(prim.GetAttribute("opacities").Get(24 * time), expected.opacities, atol=0.05)
        low, high = np.array(prim.GetAttribute("extent").Get(24 * time))
        assert (positions * [1, -1, -1] >= low).all()
        assert (positions * [1, -1, -1] <= high).all()
    # Programs that know no time see the first key.
    np.testing.assert_array_equal(np.array(prim.GetAttribute("positions").Get()) * [1, -1, -1], scene.at(0.0).means)

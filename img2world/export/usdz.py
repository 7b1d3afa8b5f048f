"""Writing and checking of meshes as USDZ for Quick Look and Vision Pro: `python -m img2world.export.usdz`, in a child.

Source: openusd.org, "UsdPreviewSurface Specification" 2.6 and "Usdz File Format Specification" 1.3. Needs the package
usd-core (`pip install 'img2world[usd]'`). Work is done in a child process, since OpenUSD crashes on some damaged files.
"""

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from img2world.core.child_process import answer, run_child
from img2world.core.errors import ExportError, MissingPackageError
from img2world.core.mesh import Mesh
from img2world.core.progress import Progress
from img2world.export.glb import gltf_attributes, png_bytes
from img2world.formats.archive import write_usd_package

TIME_LIMIT = 600.0
"""Seconds that writing or reading a file may take."""

ROOT = "/world"
MESH, MATERIAL = f"{ROOT}/mesh", f"{ROOT}/material"
TEXTURE = "texture.png"


def write_usdz(mesh: Mesh, path: Path, *, unlit: bool, double_sided: bool) -> None:
    """Write a textured mesh with +Y up, one unit to the metre, as a package that ARKit accepts.

    Quick Look knows no unlit material, so an unlit one is black and emits its texture. Raises MissingPackageError
    without usd-core.
    """
    _run(mesh, path, task="write", unlit=unlit, double_sided=double_sided)


def check_usdz(mesh: Mesh, path: Path) -> None:
    """Compare the mesh with what OpenUSD reads. Raises ExportError when they differ."""
    _run(mesh, path, task="check")


def _run(mesh: Mesh, path: Path, **options: Any) -> None:
    """Do a task in a child process."""
    modules()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "mesh.safetensors"
        mesh.save(source)
        options |= {"mesh": str(source), "path": str(path.absolute())}
        run_child("img2world.export.usdz", options, time_limit=TIME_LIMIT, error=ExportError)


def modules() -> Any:
    """Return the package pxr with its modules. Raises MissingPackageError when it is missing."""
    try:
        import pxr
        from pxr import Sdf, Tf, Usd, UsdGeom, UsdShade, Vt  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "USDZ files need the package usd-core", hint="pip install 'img2world[usd]'"
        ) from error
    return pxr


def _work(options: dict, progress: Progress) -> None:
    """Write or check a file. Options: task, mesh, path; unlit and double_sided to write."""
    del progress
    mesh, path = Mesh.load(Path(options["mesh"])), Path(options["path"])
    if options["task"] == "check":
        return _check(mesh, path)
    pxr = modules()
    with tempfile.TemporaryDirectory() as folder:
        picture = png_bytes(mesh.texture)  # pyright: ignore[reportArgumentType]
        layer = Path(folder) / "mesh.usdc"
        stage = pxr.Usd.Stage.CreateNew(str(layer))
        pxr.UsdGeom.SetStageUpAxis(stage, pxr.UsdGeom.Tokens.y)
        pxr.UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        root = pxr.UsdGeom.Xform.Define(stage, ROOT)
        stage.SetDefaultPrim(root.GetPrim())
        pxr.Usd.ModelAPI(root).SetKind("component")
        surface = _define_mesh(stage, mesh)
        surface.CreateDoubleSidedAttr(options["double_sided"])
        pxr.UsdShade.MaterialBindingAPI.Apply(surface.GetPrim()).Bind(_define_material(stage, unlit=options["unlit"]))
        stage.GetRootLayer().Save()
        write_usd_package({layer.name: layer.read_bytes(), TEXTURE: picture}, path)
    return None


def _define_mesh(stage: Any, mesh: Mesh) -> Any:
    """Return a new mesh without material."""
    pxr, arrays = modules(), gltf_attributes(mesh)
    vectors = pxr.Vt.Vec3fArray.FromNumpy
    surface = pxr.UsdGeom.Mesh.Define(stage, MESH)
    surface.CreateSubdivisionSchemeAttr(pxr.UsdGeom.Tokens.none)
    surface.CreatePointsAttr(vectors(arrays["POSITION"]))
    surface.CreateFaceVertexCountsAttr(pxr.Vt.IntArray.FromNumpy(np.full(len(mesh.faces), 3, np.int32)))
    surface.CreateFaceVertexIndicesAttr(pxr.Vt.IntArray.FromNumpy(mesh.faces.reshape(-1)))
    surface.CreateNormalsAttr(vectors(arrays["NORMAL"]))
    surface.SetNormalsInterpolation(pxr.UsdGeom.Tokens.vertex)
    surface.CreateExtentAttr(vectors(np.stack([arrays["POSITION"].min(0), arrays["POSITION"].max(0)])))
    st = pxr.UsdGeom.PrimvarsAPI(surface).CreatePrimvar(
        "st", pxr.Sdf.ValueTypeNames.TexCoord2fArray, pxr.UsdGeom.Tokens.vertex
    )
    # Texture coordinates count from the lower left corner.
    st.Set(pxr.Vt.Vec2fArray.FromNumpy((arrays["TEXCOORD_0"] * [1, -1] + [0, 1]).astype(np.float32)))
    return surface


def _define_material(stage: Any, *, unlit: bool) -> Any:
    """Return a new material with the texture."""
    pxr = modules()
    types = pxr.Sdf.ValueTypeNames

    def shader(name: str, kind: str) -> Any:
        made = pxr.UsdShade.Shader.Define(stage, f"{MATERIAL}/{name}")
        made.CreateIdAttr(kind)
        return made

    material = pxr.UsdShade.Material.Define(stage, MATERIAL)
    reader, texture = shader("coordinates", "UsdPrimvarReader_float2"), shader("texture", "UsdUVTexture")
    reader.CreateInput("varname", types.String).Set("st")
    texture.CreateInput("file", types.Asset).Set(TEXTURE)
    texture.CreateInput("sourceColorSpace", types.Token).Set("sRGB")
    for wrap in ("wrapS", "wrapT"):
        texture.CreateInput(wrap, types.Token).Set("clamp")
    texture.CreateInput("st", types.Float2).ConnectToSource(reader.CreateOutput("result", types.Float2))
    rgb = texture.CreateOutput("rgb", types.Float3)
    surface = shader("surface", "UsdPreviewSurface")
    surface.CreateInput("metallic", types.Float).Set(0.0)
    surface.CreateInput("roughness", types.Float).Set(1.0)
    diffuse = surface.CreateInput("diffuseColor", types.Color3f)
    if unlit:
        diffuse.Set((0.0, 0.0, 0.0))
        surface.CreateInput("emissiveColor", types.Color3f).ConnectToSource(rgb)
        # Without a step in the refractive index, nothing is reflected.
        surface.CreateInput("ior", types.Float).Set(1.0)
    else:
        diffuse.ConnectToSource(rgb)
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", types.Token))
    return material


def _check(mesh: Mesh, path: Path) -> None:
    """Compare the mesh with what this process reads."""
    pxr = modules()
    hint = f"check the disk and write it again ({path})"
    try:
        stage = pxr.Usd.Stage.Open(str(path))
        surface = pxr.UsdGeom.Mesh(stage.GetPrimAtPath(MESH))
        st = pxr.UsdGeom.PrimvarsAPI(surface).GetPrimvar("st")
        found = {
            "POSITION": surface.GetPointsAttr().Get(),
            "NORMAL": surface.GetNormalsAttr().Get(),
            "TEXCOORD_0": np.array(st.Get()) * [1, -1] + [0, 1],
            "faces": np.array(surface.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3),
        }
        with zipfile.ZipFile(path) as package:
            texture = package.read(TEXTURE)
    except (pxr.Tf.ErrorException, RuntimeError, TypeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        # What OpenUSD says is about code in C++.
        raise ExportError("the USDZ file cannot be read back", hint=hint) from error
    expected = {**gltf_attributes(mesh), "faces": mesh.faces}
    wrong = [
        name
        for name, array in expected.items()
        if np.shape(found[name]) != array.shape or not np.allclose(found[name], array, rtol=0, atol=1e-7)
    ]
    if texture != png_bytes(mesh.texture):  # pyright: ignore[reportArgumentType]
        wrong.append("texture")
    if wrong:
        raise ExportError(f"the USDZ file reads back with wrong {', '.join(wrong)}", hint=hint)


if __name__ == "__main__":
    answer(_work)

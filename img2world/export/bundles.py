"""A folder or zip for one engine: splats, mesh, previews, how to import them, and a manifest of what they are."""

import json
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from img2world.core.errors import ExportError, MissingPackageError
from img2world.core.packages import name_with_version
from img2world.core.progress import Progress, silent
from img2world.core.ranges import Range
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.bundle_manifest import Origin, Part, describe, readme
from img2world.export.bundle_targets import DEFAULT_TARGETS, TARGETS, Target
from img2world.export.html import WorldPageExport
from img2world.export.mesh import MeshExport
from img2world.export.splats import CompressedPlyExport, PlyExport, SogExport
from img2world.export.turntable import TurntableExport
from img2world.export.usdz import modules
from img2world.formats.scene import viewer_scene
from img2world.render import render

SPLAT_EXPORTERS = {"ply": PlyExport, "compressed-ply": CompressedPlyExport, "sog": SogExport}

MESH_READERS = {".glb": "trimesh", ".usdz": "usd-core"}
"""Packages with which MeshExport reads its files back."""

PREVIEW_SIZE = 768
"""Pixels on the long side of previews."""

TURNED_VIEW, VIEWS_AROUND = 1, 8
"""The second preview of an object is one of as many views around it."""

MANIFEST = "manifest.json"

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of the files in a zip, so that equal content gives equal bytes."""

UNKNOWN = Origin()

TargetName = Literal[
    "unity", "unreal", "godot", "blender", "web", "quicklook",
    "unity.zip", "unreal.zip", "godot.zip", "blender.zip", "web.zip", "quicklook.zip",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BundleExport:
    """bundle-unity/, …: a folder for each engine with all it needs, and how to import it there."""

    targets: tuple[TargetName, ...] = DEFAULT_TARGETS  # pyright: ignore[reportAssignmentType]
    """unity.zip is a zip with the content of the folder unity."""
    resolution: Annotated[int, Range(8)] = 256
    """As of export.mesh."""
    max_faces: Annotated[int, Range(4)] = 20_000
    """Of the mesh."""
    texture_size: Annotated[int, Range(0, 8192)] = 1024
    """Pixels on each side of the texture."""
    lods: Annotated[int, Range(0, 6)] = 2
    """Levels of detail beside the mesh, each with a quarter of the faces."""
    collider: bool = True
    """Add collider.glb: convex pieces of an object, or a simplified mesh of a scene."""

    filename: ClassVar[str] = "bundle"

    def write(
        self,
        scene: Scene,
        views: Views,
        path: Path,
        *,
        progress: Progress = silent,
        origin: Origin = UNKNOWN,
    ) -> dict[str, float | str]:
        """Write a folder or zip for each target beside `path`: its name, a hyphen and the target.

        Returns the numbers of bundles and bytes, and the readers. Raises ExportError when a file reads back wrong.
        """
        self._check_packages(scene)
        if not self.targets:
            raise ExportError("export.bundle.targets is empty", hint=f"choose from {', '.join(TARGETS)}")
        names, size = dict.fromkeys(self.targets), 0
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            parts = self._mesh_parts(scene, views, Path(folder)) | _preview_parts(scene, Path(folder))
            progress(1, len(names) + 1)
            for done, target in enumerate(names, start=2):
                name = target.removesuffix(".zip")
                made = Path(folder) / f"{path.name}-{name}"
                made.mkdir()
                own = _parts_of(TARGETS[name], scene, parts, Path(folder))
                _fill(made, name, own, scene, origin)
                parts |= own
                size += sum(file.stat().st_size for file in made.iterdir())
                if name != target:
                    made = _zipped(made)
                os.replace(made, path.with_name(made.name))
                progress(done, len(names) + 1)
        readers = dict.fromkeys(part.reader for part in parts.values())
        return {"bundles": float(len(names)), "bytes": float(size), "reader": ", ".join(readers)}

    def check_programs(self) -> None:
        """Check that the packages which some targets need are installed. Raises MissingPackageError if not."""
        if "quicklook" in self._names:
            modules()

    @property
    def _names(self) -> list[str]:
        """The targets, without the suffix of zips."""
        return list(dict.fromkeys(target.removesuffix(".zip") for target in self.targets))

    def _check_packages(self, scene: Scene) -> None:
        """Check that all packages are installed, before work begins. Raises MissingPackageError if not."""
        self.check_programs()
        if self.collider and scene.is_object and self._names != ["quicklook"] and find_spec("coacd") is None:
            raise MissingPackageError(
                "the collider of an object needs the package coacd",
                hint="pip install coacd, or --set export.bundle.collider=false",
            )

    def _mesh_parts(self, scene: Scene, views: Views, folder: Path) -> dict[str, Part]:
        """Write the mesh and what belongs to it."""
        suffixes = dict.fromkeys(TARGETS[name].mesh_suffix[1:] for name in self._names)
        exporter = MeshExport(
            files=tuple(suffixes),  # pyright: ignore[reportArgumentType]
            resolution=self.resolution,
            max_faces=self.max_faces,
            texture_size=self.texture_size,
            lods=self.lods if "glb" in suffixes else 0,
            collider=self.collider and "glb" in suffixes,
        )
        (folder / "mesh").mkdir()
        exporter.write(scene, views, folder / "mesh" / MeshExport.filename)
        return {
            made.name: Part(path=made, reader=name_with_version(MESH_READERS[made.suffix]))
            for made in sorted((folder / "mesh").iterdir())
        }


def _preview_parts(scene: Scene, folder: Path) -> dict[str, Part]:
    """Write a picture from the first camera and, of an object, one from another side."""
    from PIL import Image

    cameras = {"preview.png": scene.cameras.select([0])}
    if scene.is_object:
        around = TurntableExport(size=PREVIEW_SIZE).object_path(scene, VIEWS_AROUND)
        cameras["preview_turned.png"] = around.select([TURNED_VIEW])
    parts = {}
    for name, camera in cameras.items():
        scale = PREVIEW_SIZE / max(camera.width, camera.height)
        camera = camera.resized(round(camera.width * scale), round(camera.height * scale))
        rgb = np.rint(255 * render(scene.at(scene.start), camera, background=scene.background).rgb[0].clip(0, 1))
        Image.fromarray(rgb.astype(np.uint8)).save(folder / name)
        with Image.open(folder / name) as image:
            if not np.array_equal(np.asarray(image), rgb):
                raise ExportError(f"{name} reads back wrong", hint=f"check the disk and write it again ({folder})")
        parts[name] = Part(path=folder / name, reader=name_with_version("pillow"))
    return parts


def _parts_of(target: Target, scene: Scene, parts: dict[str, Part], folder: Path) -> dict[str, Part]:
    """Return the parts of a target by name; those that other targets have not are written."""
    own = {name: part for name, part in parts.items() if name.startswith("preview")}
    if target.mesh_suffix == ".glb":
        own |= {name: part for name, part in parts.items() if part.path.suffix == ".glb"}
    else:
        own["mesh.usdz"] = parts["mesh.usdz"]
    if target.splats:
        exporter = SPLAT_EXPORTERS[target.splats](**target.splat_options)
        name = exporter.filename
        own[name] = parts.get(name) or _written(exporter, scene, folder / name)
    if target.page:
        # Without a region, the page needs the units and the free camera of the viewer.
        shown = scene if scene.supported else viewer_scene(scene)
        own["world.html"] = _written(WorldPageExport(), shown, folder / WorldPageExport.filename)
    return own


def _written(exporter: Any, scene: Scene, path: Path) -> Part:
    """Write a part that needs no views."""
    return Part(path=path, reader=str(exporter.write(scene, None, path)["reader"]))


def _fill(folder: Path, name: str, parts: dict[str, Part], scene: Scene, origin: Origin) -> None:
    """Put the parts of a target into its folder, with README.txt and the manifest."""
    target = TARGETS[name]
    for file, part in parts.items():
        _link_or_copy(part.path, folder / file)
    if target.page:
        (folder / "index.html").write_text(_index_html(scene), encoding="utf-8", newline="\n")
    manifest = describe(name, parts, scene, origin)
    names = [*(file.name for file in folder.iterdir()), MANIFEST]
    (folder / "README.txt").write_text(readme(target, manifest["splats"], names), encoding="utf-8", newline="\n")
    manifest["files"] = {
        file.name: {
            "bytes": file.stat().st_size,
            "sha256": sha256(file.read_bytes()).hexdigest(),
            "read_back_by": parts[file.name].reader if file.name in parts else None,
        }
        for file in sorted(folder.iterdir())
    }
    (folder / MANIFEST).write_text(
        json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n"
    )


def _link_or_copy(source: Path, target: Path) -> None:
    """Make a file available under another name, without a second copy where the disk can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _index_html(scene: Scene) -> str:
    """Return the page that developers start from."""
    red, green, blue = (round(255 * channel) for channel in scene.background)
    text = files("img2world.viewer").joinpath("static", "bundle.html").read_text(encoding="utf-8")
    return text.replace("@@title@@", "img2world").replace("@@background@@", f"rgb({red}, {green}, {blue})")


def _zipped(folder: Path) -> Path:
    """Replace a folder by a zip of it, and read that back."""
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"{folder.name}/{file.name}", EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ExportError(f"{damaged} reads back wrong from {path.name}", hint="check the disk and write it again")
    shutil.rmtree(folder)
    return path

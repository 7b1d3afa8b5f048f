import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from browser_engines import Engines, NodeMissingError, check_node, open_engines
from engine_protocol import MIN_PSNR, compare
from known_asset import (
    BACKGROUND,
    MAGENTA,
    draw_mesh,
    make_camera,
    make_gaussians,
    make_mesh,
    make_skin,
    read_glb,
    textured,
)

from img2world.core.cameras import Cameras, concatenate_cameras
from img2world.core.gaussians import Gaussians
from img2world.core.mesh import Mesh
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.bundles import BundleExport
from img2world.export.glb import write_glb
from img2world.formats.files import write_splats
from img2world.formats.scene import cameras_on_all_sides
from img2world.render import render


@dataclass(frozen=True)
class Asset:
    """The known asset and its files, each written once."""

    mesh: Mesh
    gaussians: Gaussians
    camera: Cameras
    folder: Path

    def splats(self, suffix: str) -> Path:
        """Return a splat file."""
        path = self.folder / f"splats{suffix}"
        if not path.exists():
            write_splats(self.gaussians, path)
        return path

    def splat_picture(self, degree: int) -> np.ndarray:
        """Return our picture of the splats with as many harmonics as a format holds."""
        gaussians = replace(self.gaussians, sh=self.gaussians.sh[:, : (degree + 1) ** 2])
        return render(gaussians, self.camera, background=BACKGROUND).rgb[0]

    def mesh_file(self, kind: str) -> Path:
        """Return a GLB of the mesh: its colours are "vertex colors" or a "texture"."""
        path = self.folder / f"{kind.replace(' ', '_')}.glb"
        if not path.exists():
            mesh = textured(self.mesh) if kind == "texture" else self.mesh
            write_glb(mesh, path, unlit=True, double_sided=False)
        return path

    def animated_file(self) -> Path:
        """Return a GLB of the textured mesh that moves."""
        path = self.folder / "animated.glb"
        if not path.exists():
            mesh = textured(self.mesh)
            write_glb(mesh, path, unlit=True, double_sided=False, skin=make_skin(mesh))
        return path

    def animated_picture(self, time: float) -> np.ndarray:
        """Return our picture of the mesh, moved as we move Gaussians, at a time after the first key."""
        mesh = textured(self.mesh)
        motion = make_skin(mesh).motion
        turns = np.tile(np.float32([1, 0, 0, 0]), (len(mesh.vertices), 1))
        moved, _ = motion.move(mesh.vertices, turns, float(motion.key_times[0]) + time)
        return draw_mesh(replace(mesh, vertices=moved), self.camera)

    def mesh_picture(self, shown: Callable[[np.ndarray], np.ndarray] = lambda colors: colors) -> np.ndarray:
        """Return our picture of the mesh, its colours as a program shows them."""
        return draw_mesh(self.mesh, self.camera, shown)


@dataclass(frozen=True)
class Bundles:
    """Bundles of the known asset, placed elsewhere and at another size, and our pictures of their contents."""

    folder: Path
    camera: Cameras
    splat_picture: np.ndarray
    mesh_picture: np.ndarray

    def manifest(self, target: str) -> dict:
        """Return what a bundle says of itself."""
        return json.loads((self.folder / f"bundle-{target}" / "manifest.json").read_text())


@pytest.fixture(scope="session")
def asset(tmp_path_factory) -> Asset:
    """The known asset."""
    mesh = make_mesh()
    return Asset(mesh, make_gaussians(mesh, degree=2), make_camera(), tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="session")
def bundles(asset) -> Bundles:
    """All bundles of the known asset."""
    # Small Gaussians, so that their rims do not reach beyond the mesh.
    gaussians = make_gaussians(asset.mesh, degree=0, count=24_000)
    gaussians = replace(gaussians, log_scales=gaussians.log_scales - np.float32(np.log(2.5)))
    placed = np.diag([1.5, 1.5, 1.5, 1.0])
    placed[:3, 3] = 0.2, -0.3, 0.4
    scene = Scene(
        gaussians=gaussians, cameras=asset.camera, background=MAGENTA, is_object=True, asset_from_world=placed
    )
    around = cameras_on_all_sides(gaussians, asset.camera.width).select(slice(None, None, 3))
    around = concatenate_cameras([asset.camera, around])
    seen = render(gaussians, around, background=MAGENTA)
    views = Views(
        rgb=np.rint(255 * seen.rgb.clip(0, 1)).astype(np.uint8),
        alpha=np.rint(255 * seen.alpha).astype(np.uint8),
        depth=seen.depth,
        cameras=around,
        confidence=np.ones(len(around), np.float32),
        points=np.zeros((0, 3), np.float32),
        point_colors=np.zeros((0, 3), np.uint8),
        solver="rendered",
    )
    exporter = BundleExport(resolution=160, max_faces=8000, texture_size=256, lods=0, collider=False)
    exporter.write(scene, views, asset.folder / "bundle")
    camera = asset.camera.transformed(placed)
    mesh = read_glb(asset.folder / "bundle-web" / "mesh.glb")
    return Bundles(asset.folder, camera, seen.rgb[0], draw_mesh(mesh, camera, background=MAGENTA))


@pytest.fixture(scope="session")
def node():
    """Skips where node or its packages are missing."""
    try:
        check_node()
    except NodeMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def engines(node, launch, asset, tmp_path_factory) -> Engines:
    """One page of one browser for all engines."""
    with launch(tmp_path_factory.mktemp("profile")) as context, open_engines(context, asset.folder) as engines:
        yield engines


@pytest.fixture(scope="session")
def check():
    """Fails with what is wrong with a picture of splats, vertex colours or a texture."""

    def check(picture, reference, kind):
        assert compare(picture, reference).problems(MIN_PSNR[kind]) == []

    return check

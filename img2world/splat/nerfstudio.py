"""Nerfstudio as a splat backend: its programs are run in their own environment, on our dataset.

It cannot be imported beside us, since it pins other versions of the same packages. Its dataparser turns, moves
and scales the dataset; what it writes is in that space and is brought back by dataparser_transforms.json.

Source: Tancik et al. 2023, "Nerfstudio: A Modular Framework for Neural Radiance Field Development";
docs.nerf.studio, "Data conventions".
"""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32

from img2world.core.conventions import Z_UP_FROM_WORLD
from img2world.core.errors import Img2WorldError, MissingPackageError, SplatError
from img2world.core.external_program import run_program, scratch_folder
from img2world.core.gaussians import Gaussians
from img2world.core.ply import read_ply
from img2world.core.progress import Progress, silent
from img2world.core.scene import Scene
from img2world.core.splat_ply import gaussians_from_columns
from img2world.core.views import Views
from img2world.splat.initialize import gaussians_from_surface
from img2world.splat.optimize import MIN_VIEWS, GaussianSplat, background_color

BIN_VARIABLE = "IMG2WORLD_NERFSTUDIO_BIN"
STEP = re.compile(r"^(?:\x1b\[[0-9;]*[A-Za-z]|\s)*(\d+) \(\d+\.\d+%\)")
"""A line of its progress, such as "120 (0.40%)   12.3 ms   5 m, 3 s"."""

RUN = ("img2world", "run")
"""Name of the experiment and, in the place of a date, of the run."""

BOX_PERCENTILES, BOX_MARGIN = (1, 99), 0.2
"""Of the points, in each axis, and the share of the box's size that is added: where nerfacto's surface is sought."""

ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "TERM": "dumb", "COLUMNS": "200", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
"""So that each line comes at once and whole, and torch from 2.6 on lets nerfstudio 1.1 read its own checkpoint."""


@dataclass(frozen=True, kw_only=True)
class NerfstudioSplat:
    """Nerfstudio's splatfacto (Gaussians) or nerfacto (a radiance field, of which the surface is taken).

    Needs an environment of its own with nerfstudio 1.1 and, for splatfacto, CUDA.
    """

    method: Literal["splatfacto", "splatfacto-big", "nerfacto"] = "splatfacto"
    steps: int = 30_000
    holdout_every: int = 8
    """One view of so many is never trained on, to judge the scene by. 0 trains on all."""
    bin: str = ""
    """Folder of ns-train and ns-export. Empty: the variable IMG2WORLD_NERFSTUDIO_BIN, or else the PATH."""
    arguments: str = ""
    """More arguments for ns-train, such as "--pipeline.model.sh-degree 2"."""
    mesh_resolution: int = 256
    """Of the volume that nerfacto's surface is taken from, in each direction."""
    max_gaussians: int = 200_000
    """Gaussians on nerfacto's surface; splatfacto has as many as it likes."""
    time_limit: float = 24 * 3600.0
    """Seconds after which training, or export, is stopped."""

    def held_out(self, num_views: int) -> Bool[np.ndarray, "V"]:
        """The views that are never trained on, as a mask; the same as of the gaussians backend."""
        return GaussianSplat(holdout_every=self.holdout_every).held_out(num_views)

    def optimize(self, views: Views, *, seed: int = 0, progress: Progress = silent) -> Scene:
        """Have nerfstudio reconstruct the scene, and bring it into our world.

        Raises MissingPackageError when its programs are not there, SplatError when there are fewer than two
        views, or it fails or takes too long.
        """
        train, export = self._program("ns-train"), self._program("ns-export")
        if len(views) < MIN_VIEWS:
            raise SplatError(
                f"{len(views)} view, needs at least {MIN_VIEWS}", hint="raise video.num_frames, or add pictures"
            )
        held_out = self.held_out(len(views))
        trained = views.select(np.flatnonzero(~held_out))
        with scratch_folder() as folder:
            write_dataset(views, held_out, folder / "data")
            run = folder / "runs" / RUN[0] / self.method / RUN[1]
            self._run(
                [train, *self._train_arguments(folder, len(views.points) > 0, seed)], folder, self._heard(progress)
            )
            world_from_nerfstudio = read_transform(run / "dataparser_transforms.json")
            arguments = self._export_arguments(views, np.linalg.inv(world_from_nerfstudio))
            out = folder / "exported"
            command = [export, *arguments, "--load-config", str(run / "config.yml"), "--output-dir", str(out)]
            self._run(command, folder, lambda line: None)
            gaussians = self._read(out).transformed(world_from_nerfstudio.astype(np.float32))
        progress(self.steps, self.steps, gaussians=float(len(gaussians)))
        return Scene(
            gaussians=gaussians,
            cameras=views.cameras,
            background=background_color(trained),
            is_object=views.alpha is not None,
        )

    def _program(self, name: str) -> str:
        """Where one of its programs is. Raises MissingPackageError."""
        folder = self.bin or os.environ.get(BIN_VARIABLE, "")
        found = shutil.which(name, path=folder or None)
        if found is None:
            raise MissingPackageError(
                f"nerfstudio's {name} is not {f'in {folder}' if folder else 'on the PATH'}",
                hint=f"install nerfstudio in an environment of its own and set splat.bin or {BIN_VARIABLE} to its bin",
            )
        return found

    def _run(self, command: list[str], folder: Path, hear: Callable[[str], None]) -> None:
        """One of its programs, in the scratch folder's company."""
        run_program(
            command, folder=folder, time_limit=self.time_limit, error=SplatError, on_line=hear, environment=ENVIRONMENT
        )

    def _heard(self, progress: Progress) -> Callable[[str], None]:
        """Tells progress from what ns-train prints."""

        def hear(line: str) -> None:
            if match := STEP.match(line):
                # It counts from 0.
                progress(min(int(match[1]) + 1, self.steps), self.steps)

        return hear

    def _train_arguments(self, folder: Path, has_points: bool, seed: int) -> list[str]:
        """Of ns-train; the dataparser and its own options come last."""
        options = {
            "--output-dir": str(folder / "runs"),
            "--experiment-name": RUN[0],
            # Variants of a method go by its name, and so would their folders.
            "--method-name": self.method,
            "--timestamp": RUN[1],
            "--max-num-iterations": str(self.steps),
            "--machine.seed": str(seed),
            # The viewer would open a port and wait when all is done.
            "--vis": "tensorboard",
            "--logging.local-writer.max-log-size": "0",
            # Its exports must stay beside our cameras.
            "--pipeline.model.camera-optimizer.mode": "off",
        }
        parser = {"--data": str(folder / "data"), "--downscale-factor": "1"}
        if self.method != "nerfacto":
            parser["--load-3D-points"] = str(has_points)
        words = [self.method, *(word for pair in options.items() for word in pair), *shlex.split(self.arguments)]
        return [*words, "nerfstudio-data", *(word for pair in parser.items() for word in pair)]

    def _export_arguments(self, views: Views, nerfstudio_from_world: np.ndarray) -> list[str]:
        """Of ns-export."""
        if self.method != "nerfacto":
            return ["gaussian-splat"]
        words = ["tsdf", "--texture-method", "tsdf", "--resolution", str(self.mesh_resolution)]
        if len(views.points) == 0:
            return words
        points = views.points @ nerfstudio_from_world[:3, :3].T + nerfstudio_from_world[:3, 3]
        low, high = np.percentile(points, BOX_PERCENTILES, axis=0)
        margin = BOX_MARGIN * (high - low)
        for name, corner in (("min", low - margin), ("max", high + margin)):
            words += [f"--bounding-box-{name}", *(f"{value:.6f}" for value in corner)]
        return words

    def _read(self, folder: Path) -> Gaussians:
        """What ns-export wrote, in nerfstudio's space. Raises SplatError when it is not there or not readable."""
        name = "tsdf_mesh.ply" if self.method == "nerfacto" else "splat.ply"
        try:
            if self.method == "nerfacto":
                return gaussians_from_mesh(folder / name, self.max_gaussians)
            return gaussians_from_columns(read_ply(folder / name))
        except (OSError, ValueError, LookupError, Img2WorldError) as error:
            raise SplatError(
                f"nerfstudio's {name} cannot be read: {error}",
                hint="it may be of another version; 1.1 is known to work",
            ) from error


def write_dataset(views: Views, held_out: Bool[np.ndarray, "V"], folder: Path) -> None:
    """Write transforms.json, pictures and points, with our split into views to train on and to judge by."""
    # Nerfstudio reads no depth of ours.
    replace(views, depth=None).save(folder)
    path = folder / "transforms.json"
    transforms = json.loads(path.read_text())
    names = [frame["file_path"] for frame in transforms["frames"]]
    judged = [name for name, out in zip(names, held_out, strict=True) if out]
    # It refuses to start without pictures to judge by: where none are held out, these are trained on too.
    judged = judged or names[:1]
    split = {"train_filenames": [name for name, out in zip(names, held_out, strict=True) if not out]}
    split |= {"val_filenames": judged, "test_filenames": judged}
    path.write_text(json.dumps({**transforms, **split}, indent=1) + "\n")


def read_transform(path: Path) -> Float32[np.ndarray, "4 4"]:
    """`world_from_nerfstudio`: a rotation times a scale, and a translation.

    Its dataparser gives scale * (transform @ p) for a place p of transforms.json. Raises SplatError.
    """
    try:
        data = json.loads(path.read_text())
        transform, scale = np.array(data["transform"], np.float64), float(data["scale"])
        if transform.shape != (3, 4) or not scale > 0:
            raise ValueError(f"shape {transform.shape}, scale {scale}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SplatError(
            f"nerfstudio's {path.name} cannot be read: {error}",
            hint="it may be of another version; 1.1 is known to work",
        ) from error
    nerfstudio_from_saved = np.eye(4)
    nerfstudio_from_saved[:3] = scale * transform
    return np.linalg.inv(nerfstudio_from_saved @ Z_UP_FROM_WORLD).astype(np.float32)


def gaussians_from_mesh(path: Path, max_gaussians: int) -> Gaussians:
    """Flat Gaussians at the vertices of a mesh with colours. Raises OSError, ValueError, LookupError or SplatError."""
    import trimesh

    mesh = trimesh.load_mesh(path, process=False)
    colors = getattr(mesh.visual, "vertex_colors", None)
    if colors is None or len(colors) != len(mesh.vertices) or len(mesh.faces) == 0:
        raise SplatError("the mesh has no faces or no colours", hint="it may be of another version of nerfstudio")
    # The file has no normals; those of the faces do.
    return gaussians_from_surface(mesh.vertices, mesh.vertex_normals, colors[:, :3] / 255, max_gaussians)

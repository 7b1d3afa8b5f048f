"""Nerfstudio as a splat backend: its programs run in their own environment on our dataset.

It cannot be imported here, since it pins other versions of the same packages. Its dataparser rotates, moves and
scales the dataset; dataparser_transforms.json brings its results back from that space.

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
from img2world.core.live import UNWATCHED, Live
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeFloat, NonNegativeInt, PositiveInt
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.formats.files import read_splats
from img2world.splat.initialize import gaussians_from_surface
from img2world.splat.views import background_color, held_out_mask, training_views

PROGRAMS = ("ns-train", "ns-export")
BIN_VARIABLE = "IMG2WORLD_NERFSTUDIO_BIN"
STEP = re.compile(r"^(?:\x1b\[[0-9;]*[A-Za-z]|\s)*(\d+) \(\d+\.\d+%\)")
"""A line of progress, such as "120 (0.40%)   12.3 ms   5 m, 3 s"."""

RUN = ("img2world", "run")
"""Names of the experiment and of the run, which would otherwise be a date."""

BOX_PERCENTILES, BOX_MARGIN = (1, 99), 0.2
"""Percentiles of the points along each axis, and margin as a fraction of their range: the box from which nerfacto's
surface is extracted."""

MESH_RESOLUTION = "256"
"""Voxels along each axis of the volume from which nerfacto's surface is extracted."""

ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "TERM": "dumb", "COLUMNS": "200", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
"""Unbuffered, unwrapped output; and torch 2.6 or newer must let nerfstudio 1.1 read its own checkpoint."""


@dataclass(frozen=True, kw_only=True)
class NerfstudioSplat:
    """Nerfstudio's splatfacto (Gaussians) or nerfacto (a radiance field whose surface is extracted).

    Needs an environment of its own with nerfstudio 1.1 and, for splatfacto, CUDA.
    """

    method: Literal["splatfacto", "splatfacto-big", "nerfacto"] = "splatfacto"
    steps: PositiveInt = 30_000
    holdout_every: NonNegativeInt = 8
    """Every so many views one is held out from training, to test the scene on. 0 trains on all views."""
    bin: str = ""
    """Folder of ns-train and ns-export. Empty: the variable IMG2WORLD_NERFSTUDIO_BIN, or else the PATH."""
    arguments: str = ""
    """Further arguments for ns-train, such as "--pipeline.model.sh-degree 2"."""
    max_gaussians: PositiveInt = 200_000
    """Largest number of Gaussians on nerfacto's surface; splatfacto knows no limit."""
    time_limit: NonNegativeFloat = 24 * 3600.0
    """Seconds after which training or export is aborted."""

    def held_out(self, num_views: int, times: np.ndarray | None = None) -> Bool[np.ndarray, "V"]:
        """Return the mask of the views that are never trained on, whatever their times."""
        return held_out_mask(num_views, self.holdout_every)

    def optimize(self, views: Views, *, seed: int = 0, progress: Progress = silent, live: Live = UNWATCHED) -> Scene:
        """Reconstruct the scene with nerfstudio and transform it to our world space.

        Raises MissingPackageError when its programs are missing, SplatError when there are fewer than two views, or
        nerfstudio fails or takes too long.
        """
        train, export = (self._program(name) for name in PROGRAMS)
        live.decline("nerfstudio shows no scene while it trains, and cannot be stopped from the page")
        held_out = self.held_out(len(views))
        trained = training_views(views, held_out)
        with scratch_folder() as folder:
            write_dataset(views, held_out, folder / "data")
            run = folder / "runs" / RUN[0] / self.method / RUN[1]
            self._run(
                [train, *self._train_arguments(folder, len(views.points) > 0, seed)], folder, self._report_to(progress)
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

    def check_programs(self) -> None:
        """Check that nerfstudio's programs are installed. Raises MissingPackageError if not."""
        for name in PROGRAMS:
            self._program(name)

    def _program(self, name: str) -> str:
        """Return the path of one of its programs. Raises MissingPackageError."""
        folder = self.bin or os.environ.get(BIN_VARIABLE, "")
        found = shutil.which(name, path=folder or None)
        if found is None:
            raise MissingPackageError(
                f"nerfstudio's {name} is not {f'in {folder}' if folder else 'on the PATH'}",
                hint=f"install nerfstudio in an environment of its own and set splat.bin or {BIN_VARIABLE} to its bin",
            )
        return found

    def _run(self, command: list[str], folder: Path, hear: Callable[[str], None]) -> None:
        """Run one of its programs in the scratch folder. Raises SplatError when it fails or takes too long."""
        run_program(
            command, folder=folder, time_limit=self.time_limit, error=SplatError, on_line=hear, environment=ENVIRONMENT
        )

    def _report_to(self, progress: Progress) -> Callable[[str], None]:
        """Return a function that reads the progress from the lines that ns-train prints."""

        def hear(line: str) -> None:
            if match := STEP.match(line):
                # It counts from 0.
                progress(min(int(match[1]) + 1, self.steps), self.steps)

        return hear

    def _train_arguments(self, folder: Path, has_points: bool, seed: int) -> list[str]:
        """Return the arguments of ns-train; the dataparser and its options come last."""
        options = {
            "--output-dir": str(folder / "runs"),
            "--experiment-name": RUN[0],
            # Otherwise the folder of a variant would be named after its base method.
            "--method-name": self.method,
            "--timestamp": RUN[1],
            "--max-num-iterations": str(self.steps),
            "--machine.seed": str(seed),
            # The viewer would open a port and keep waiting at the end.
            "--vis": "tensorboard",
            "--logging.local-writer.max-log-size": "0",
            # Its exports must stay aligned with our cameras.
            "--pipeline.model.camera-optimizer.mode": "off",
        }
        parser = {"--data": str(folder / "data"), "--downscale-factor": "1"}
        if self.method != "nerfacto":
            parser["--load-3D-points"] = str(has_points)
        words = [self.method, *(word for pair in options.items() for word in pair), *shlex.split(self.arguments)]
        return [*words, "nerfstudio-data", *(word for pair in parser.items() for word in pair)]

    def _export_arguments(self, views: Views, nerfstudio_from_world: np.ndarray) -> list[str]:
        """Return the arguments of ns-export."""
        if self.method != "nerfacto":
            return ["gaussian-splat"]
        words = ["tsdf", "--texture-method", "tsdf", "--resolution", MESH_RESOLUTION]
        if len(views.points) == 0:
            return words
        points = views.points @ nerfstudio_from_world[:3, :3].T + nerfstudio_from_world[:3, 3]
        low, high = np.percentile(points, BOX_PERCENTILES, axis=0)
        margin = BOX_MARGIN * (high - low)
        for name, corner in (("min", low - margin), ("max", high + margin)):
            words += [f"--bounding-box-{name}", *(f"{value:.6f}" for value in corner)]
        return words

    def _read(self, folder: Path) -> Gaussians:
        """Read what ns-export wrote, in nerfstudio's space. Raises SplatError when it is missing or cannot be read."""
        name = "tsdf_mesh.ply" if self.method == "nerfacto" else "splat.ply"
        try:
            if self.method == "nerfacto":
                return gaussians_from_mesh(folder / name, self.max_gaussians)
            file = read_splats(folder / name)
            if file.broken:
                raise ValueError(f"{file.broken} Gaussians have values that are not finite")
            return file.gaussians
        except (OSError, ValueError, LookupError, Img2WorldError) as error:
            raise SplatError(
                f"nerfstudio's {name} cannot be read: {error}",
                hint="it may be of another version; 1.1 is known to work",
            ) from error


def write_dataset(views: Views, held_out: Bool[np.ndarray, "V"], folder: Path) -> None:
    """Write transforms.json, images and points, with our split into training and held-out views."""
    # Nerfstudio cannot read our depth.
    replace(views, depth=None).save(folder)
    path = folder / "transforms.json"
    transforms = json.loads(path.read_text())
    names = [frame["file_path"] for frame in transforms["frames"]]
    tested = [name for name, out in zip(names, held_out, strict=True) if out]
    # It refuses to start without a test view; if none is held out, one that is trained on has to do.
    tested = tested or names[:1]
    split = {"train_filenames": [name for name, out in zip(names, held_out, strict=True) if not out]}
    split |= {"val_filenames": tested, "test_filenames": tested}
    path.write_text(json.dumps({**transforms, **split}, indent=1) + "\n")


def read_transform(path: Path) -> Float32[np.ndarray, "4 4"]:
    """Return `world_from_nerfstudio`: a rotation times a scale, and a translation.

    The dataparser maps a point p of transforms.json to scale * (transform @ p). Raises SplatError when the file is
    missing or cannot be read.
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
    """Return flat Gaussians at the vertices of a coloured mesh.

    Raises OSError, ValueError, LookupError or SplatError when the mesh cannot be used.
    """
    import trimesh

    mesh = trimesh.load_mesh(path, process=False)
    colors = getattr(mesh.visual, "vertex_colors", None)
    if colors is None or len(colors) != len(mesh.vertices) or len(mesh.faces) == 0:
        raise SplatError("the mesh has no faces or no colours", hint="it may be of another version of nerfstudio")
    # The file has no normals, so trimesh derives them from the faces.
    return gaussians_from_surface(mesh.vertices, mesh.vertex_normals, colors[:, :3] / 255, max_gaussians)

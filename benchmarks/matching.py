"""Cameras of photo sets by the package, and by plain COLMAP that matches all pairs: time, placed photos and errors.

    python benchmarks/matching.py SET [SET ...] [--methods img2world exhaustive guided] [--write]

A set is a folder of photos, or one with images/ and, where the cameras are known, truth.npz (world_from_cam [V, 4, 4],
NaN where unknown, in the order of the photos' names), as `capture_sets.py` and `--truth` make them.
"""

import argparse
import datetime
import os
import resource
import tempfile
import time
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from report import machine, write_section

from img2world.core.child_process import answer, run_child
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import Progress
from img2world.poses.colmap import ColmapPoses
from img2world.video.file import FileVideo

METHODS = ("img2world", "exhaustive", "guided")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on one set."""

    seconds: float
    cpu_seconds: float
    placed: int
    total: int
    grade: str = ""
    rotation_deg: tuple[float, float] | None = None
    """Median and largest error of the relative rotation of two photos."""
    position: tuple[float, float] | None = None
    """Median and largest error of a camera's place, relative to the extent of all, after alignment."""


def main() -> None:
    """Measure the methods on the sets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS[:2])
    parser.add_argument("--max-side", type=int, default=1600)
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    arguments = parser.parse_args()
    # Where the child of `plain_colmap` finds this module.
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    lines = [
        "| set | photos | method | s | CPU s | placed | grade | rotation ° | position % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for folder in arguments.sets:
        photos = folder / "images" if (folder / "images").is_dir() else folder
        frames = FileVideo(path=photos, photo_size=arguments.max_side).generate(None, None)
        frames = Frames(rgb=frames.rgb, times=frames.times, mask=frames.mask, alpha=frames.alpha, ordered=False)
        truth = load_truth(folder)
        for method in arguments.methods:
            row = measure(method, frames, truth)
            size = f"{len(frames)} of {frames.rgb.shape[2]}x{frames.rgb.shape[1]}"
            lines.append(f"| {folder.name} | {size} | {method} | {cells(row)} |")
            print(lines[-1], flush=True)
    if arguments.write:
        write_section("matching", f"{datetime.date.today()}, {machine()}.\n\n" + "\n".join(lines))


def cells(row: Row) -> str:
    """Return the figures of a row as cells of the table."""
    rotation = "" if row.rotation_deg is None else f"{row.rotation_deg[0]:.2f} / {row.rotation_deg[1]:.2f}"
    position = "" if row.position is None else f"{100 * row.position[0]:.2f} / {100 * row.position[1]:.2f}"
    times = f"{row.seconds:.0f} | {row.cpu_seconds:.0f}"
    return f"{times} | {row.placed} of {row.total} | {row.grade} | {rotation} | {position}"


def load_truth(folder: Path) -> np.ndarray | None:
    """Return the known poses [V, 4, 4] of a set, from truth.npz or from projection matrices in P/, or None."""
    if (folder / "truth.npz").exists():
        with np.load(folder / "truth.npz") as arrays:
            return arrays["world_from_cam"]
    paths = sorted((folder / "P").glob("*_P.txt"))
    return np.stack([pose_from_projection(np.loadtxt(path)) for path in paths]) if paths else None


def pose_from_projection(projection: np.ndarray) -> np.ndarray:
    """Return world_from_cam [4, 4] of a projection matrix K [R | t] of any scale."""
    from scipy.linalg import rq

    projection = projection.reshape(3, 4)
    projection = projection * np.sign(np.linalg.det(projection[:, :3]))
    intrinsics, rotation = rq(projection[:, :3])
    rotation = np.diag(np.sign(np.diag(intrinsics))) @ rotation
    pose = np.eye(4)
    pose[:3, :3] = rotation.T
    pose[:3, 3] = -np.linalg.solve(projection[:, :3], projection[:, 3])
    return pose


def measure(method: str, frames: Frames, truth: np.ndarray | None) -> Row:
    """Find cameras by one method, and compare them with the truth."""
    start, cpu = time.perf_counter(), cpu_seconds()
    grade, placed, poses = "", np.zeros(0, int), np.zeros((0, 4, 4))
    try:
        if method == "img2world":
            views = ColmapPoses().estimate(frames, None)
            assert views.report is not None
            grade, placed = views.report.grade, np.array(views.report.frames)
            poses = views.cameras.world_from_cam.astype(np.float64)
        else:
            placed, poses = plain_colmap(frames, guided=method == "guided")
    except PoseError as error:
        grade = str(error)
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    rotation = position = None
    if truth is not None and len(placed) > 2:
        rotation, position = errors(poses, truth[placed])
    return Row(
        seconds=seconds,
        cpu_seconds=cpu,
        placed=len(placed),
        total=len(frames),
        grade=grade,
        rotation_deg=rotation,
        position=position,
    )


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def errors(found: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return median and largest error of relative rotations in degrees, and of places after alignment."""
    relative = [np.einsum("iba,jbc->ijac", each[:, :3, :3], each[:, :3, :3]) for each in (found, truth)]
    cosines = (np.einsum("ijab,ijab->ij", *relative) - 1) / 2
    degrees = np.degrees(np.arccos(np.clip(cosines, -1, 1)))[np.triu_indices(len(found), 1)]
    centers = [each[:, :3, 3] - each[:, :3, 3].mean(0) for each in (found, truth)]
    # Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991.
    left, scales, right = np.linalg.svd(centers[0].T @ centers[1])
    signs = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    scale = (scales * signs).sum() / (centers[0] ** 2).sum()
    moved = scale * centers[0] @ (left * signs) @ right
    apart = np.linalg.norm(moved - centers[1], axis=1) / np.sqrt((centers[1] ** 2).sum(1).mean())
    return (float(np.median(degrees)), float(degrees.max())), (float(np.median(apart)), float(apart.max()))


def plain_colmap(frames: Frames, *, guided: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and poses of the photos that COLMAP places with all pairs matched and its default mapping."""
    with tempfile.TemporaryDirectory() as name:
        np.save(Path(name) / "rgb.npy", frames.rgb)
        run_child("matching", {"folder": name, "guided": guided}, error=PoseError)
        with np.load(Path(name) / "found.npz") as arrays:
            return arrays["placed"], arrays["poses"]


def map_exhaustively(options: dict, progress: Progress) -> None:
    """Write found.npz: what pycolmap's own functions make of the pictures in rgb.npy."""
    import pycolmap
    from PIL import Image

    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    pycolmap.set_random_seed(0)
    folder = Path(options["folder"])
    images, database = folder / "images", folder / "database.db"
    images.mkdir()
    rgb = np.load(folder / "rgb.npy", mmap_mode="r")
    for i, picture in enumerate(rgb):
        Image.fromarray(picture).save(images / f"{i:05d}.ppm")
    reader, extraction = pycolmap.ImageReaderOptions(), pycolmap.FeatureExtractionOptions()
    reader.camera_model, reader.default_focal_length_factor = "RADIAL", 0.85
    extraction.sift.max_num_features, extraction.sift.peak_threshold, extraction.use_gpu = 4096, 0.002, False
    single = pycolmap.CameraMode.SINGLE
    pycolmap.Database.open(database).close()
    pycolmap.import_images(database, images, camera_mode=single, options=reader)
    pycolmap.extract_features(
        database, images, camera_mode=single, reader_options=reader, extraction_options=extraction
    )
    pairing, matching = pycolmap.ImportedPairingOptions(), pycolmap.FeatureMatchingOptions()
    pairing.match_list_path = folder / "pairs.txt"
    pairs = combinations(range(len(rgb)), 2)
    pairing.match_list_path.write_text("".join(f"{i:05d}.ppm {j:05d}.ppm\n" for i, j in pairs))
    matching.use_gpu, matching.guided_matching = False, options["guided"]
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = 0
    pycolmap.match_image_pairs(
        database, matching_options=matching, pairing_options=pairing, verification_options=verification
    )
    mapping = pycolmap.IncrementalPipelineOptions()
    mapping.min_model_size = 3
    mapping.random_seed = mapping.mapper.random_seed = mapping.triangulation.random_seed = 0
    models = pycolmap.incremental_mapping(database, images, folder, mapping)
    if not models:
        raise PoseError("COLMAP placed none", hint="")
    model = max(models.values(), key=lambda model: model.num_reg_images())
    found = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: image.name)
    poses = np.tile(np.eye(4), (len(found), 1, 1))
    poses[:, :3] = [image.cam_from_world().inverse().matrix() for image in found]
    np.savez(folder / "found.npz", placed=[int(Path(image.name).stem) for image in found], poses=poses)


if __name__ == "__main__":
    # A child that `plain_colmap` runs has the same module, and its options as the only argument.
    import sys

    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        answer(map_exhaustively)
    else:
        main()

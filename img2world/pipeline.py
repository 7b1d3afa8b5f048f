"""The whole program on a page: what becomes of a picture, a video or a folder of photos.

    Source ──► Subject ──► Cameras ──► Frames ──► Findings ──► Views ──► Scene ──► files, report

Each step is a stage: it takes what the steps before it have made, has a backend of the recipe do the work, and leaves
its own product in the run folder. A product that the same code has made with the same options from the same input is
kept, so that a run that was stopped resumes where it was.
"""

import json
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from img2world.core.cameras import Cameras, load_cameras, save_cameras
from img2world.core.errors import RecipeError, RejectedError, RunFolderError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.image_file import load_image
from img2world.core.metric import measured, upright
from img2world.core.pose_report import PoseReport
from img2world.core.progress import Progress
from img2world.core.scene import Scene
from img2world.core.subject import PICTURE, Subject, save_picture
from img2world.core.views import Views
from img2world.core.weights import Weights
from img2world.runs.code import code_digest
from img2world.runs.files import file_digest, path_digest, write_text
from img2world.runs.folder import RECIPE, Listener, RunFolder, ignore_events
from img2world.runs.options import is_path
from img2world.runs.recipe import Recipe, backend_name, options_of, recipe_text, with_options
from img2world.runs.report import FINDINGS, write_report
from img2world.runs.source import Source, source_digest
from img2world.video import VIDEOS
from img2world.video.diffusion import checkpoints
from img2world.video.diffusion.cards import CARDS, licence_note, licence_text

STAGES = ("input", "trajectory", "video", "doctor", "poses", "splat", "measure", "export")
SHARED_CODE = "img2world.core"
"""What every stage may call beside what its backend imports."""

WORLD = "world.json"
LICENCE_FILE = "LICENCE.txt"
"""What the licence of a big video model says; it lies beside the files made with it."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Product(Generic[T]):
    """What a stage has made: known by its digest, read from the run folder when it is first needed."""

    digest: str
    load: Callable[[], T]

    @cached_property
    def value(self) -> T:
        """The value itself."""
        return self.load()


def run(
    source: Source,
    recipe: Recipe,
    out: Path,
    *,
    last: str = STAGES[-1],
    fresh: Collection[str] = (),
    anyway: bool = False,
    listen: Listener = ignore_events,
) -> dict[str, Any]:
    """Turn a source into a world in the folder `out`, up to the stage `last`, and give the report.

    What is done already is kept, except for the stages in `fresh`. Raises an Img2WorldError when the
    source, the recipe or the folder cannot be used, and RejectedError when the video or the cameras found in it
    are too bad to go on with, unless the run shall go on `anyway`.
    """
    with RunFolder.open(out, listen) as folder:
        recipe = begin(folder, source, recipe, fresh)
        try:
            for stage in make_world(folder, source, recipe, anyway=anyway):
                if stage == last:
                    break
        except RejectedError:
            write_report(folder)
            raise
        return write_report(folder)


def make_world(folder: RunFolder, source: Source, recipe: Recipe, *, anyway: bool = False) -> Iterator[str]:
    """Do the stages one after the other; gives the name of each when it is done."""
    subject = find_subject(folder, source, recipe)
    yield "input"
    trajectory = plan_cameras(folder, recipe, subject)
    yield "trajectory"
    frames = generate(folder, recipe, subject, trajectory)
    yield "video"
    examine(folder, frames, anyway=anyway)
    yield "doctor"
    views = estimate(folder, recipe, frames, trajectory)
    judge(folder, anyway=anyway)
    yield "poses"
    scene = optimize(folder, recipe, views)
    yield "splat"
    measure(folder, recipe, scene)
    yield "measure"
    export(folder, recipe, scene, views)
    yield "export"


def begin(folder: RunFolder, source: Source, recipe: Recipe, fresh: Collection[str]) -> Recipe:
    """Check that source, recipe and folder belong together; gives the recipe that knows the source."""
    known = folder.manifest.get("source", {})
    has_products = any(folder.record(stage) for stage in folder.manifest["stages"])
    if has_products and known.get("sha256") != source.digest and set(fresh) != set(STAGES):
        raise RunFolderError(
            f"the folder holds a run of another source, {Path(known['path']).name}: {folder.path}",
            hint="give another folder with --out, or replace that run with --fresh",
        )
    if source.kind != "picture":
        if "path" not in options_of(recipe.video):
            raise RecipeError(
                f"the recipe makes its video from one picture, this source is a {source.kind}: {source.path}",
                hint="use --recipe video or --recipe photos, or give one picture",
            )
        recipe = replace(recipe, video=with_options(recipe.video, path=source.path))
    recipe = with_named_checkpoint(recipe)
    folder.manifest["licence"] = licence_of(recipe)
    folder.manifest["source"] = {"kind": source.kind, "path": str(source.path), "sha256": source.digest}
    folder.manifest["seed"] = recipe.seed
    folder.forget(fresh)
    write_text(folder.path / RECIPE, recipe_text(recipe))
    return recipe


def with_named_checkpoint(recipe: Recipe) -> Recipe:
    """The recipe with the weights of its video model by name, so that running it again takes the same."""
    name = backend_name(recipe.video, VIDEOS)
    if name not in CARDS:
        return recipe
    checkpoint = checkpoints.checkpoint_name(name, options_of(recipe.video)["checkpoint"])
    return replace(recipe, video=with_options(recipe.video, checkpoint=checkpoint))


def licence_of(recipe: Recipe) -> dict[str, str] | None:
    """What the licence of the video model says of the world; None for our own generators and for files."""
    return licence_note(backend_name(recipe.video, VIDEOS), {**options_of(recipe.subject), **options_of(recipe.video)})


def find_subject(folder: RunFolder, source: Source, recipe: Recipe) -> Product[Subject] | None:
    """input.png, subject/: the picture, what it shows, and the predicted geometry of that.

    Videos and photos are read by their backend instead.
    """
    if source.kind != "picture":
        return None

    def make(path: Path, progress: Progress) -> dict[str, float]:
        image = load_image(source.path)
        subject = recipe.subject.find(image)
        subject.save(path)
        focal = {} if image.focal is None else {"focal": image.focal}
        return {"width": float(image.width), "height": float(image.height), **focal}

    reads = {"source": source.digest}
    record = folder.stage("input", options=code_of(recipe.subject), reads=reads, make=make)
    return Product(digest=record.digest, load=lambda: Subject.load(folder.path))


def plan_cameras(folder: RunFolder, recipe: Recipe, subject: Product[Subject] | None) -> Product[Cameras] | None:
    """trajectory.json: the cameras that the video is to have, if there is a picture to make it from."""
    if subject is None:
        return None

    def make(path: Path, progress: Progress) -> dict[str, float]:
        cameras = recipe.trajectory.cameras(subject.value)
        save_cameras(cameras, path / "trajectory.json")
        return {"cameras": float(len(cameras))}

    options, reads = code_of(recipe.trajectory), digests(subject=subject)
    record = folder.stage("trajectory", options=options, reads=reads, make=make)
    return Product(digest=record.digest, load=lambda: load_cameras(folder.path / "trajectory.json"))


def generate(
    folder: RunFolder, recipe: Recipe, subject: Product[Subject] | None, trajectory: Product[Cameras] | None
) -> Product[Frames]:
    """frames/ and video.mp4: pictures from many sides."""
    from img2world.export.mp4 import write_mp4

    def make(path: Path, progress: Progress) -> dict[str, float]:
        frames = recipe.video.generate(value(subject), value(trajectory), seed=recipe.seed, progress=progress)
        frames.save(path / "frames")
        write_mp4(frames.rgb, path / "video.mp4", frames_per_second(frames))
        if subject is None:
            save_picture(Image(rgb=frames.rgb[0]), path / PICTURE)
        return {"frames": float(len(frames)), **seen_fractions(frames)}

    options, reads = code_of(recipe.video, recipe.seed), digests(subject=subject, trajectory=trajectory)
    record = folder.stage("video", options=options, reads=reads, make=make)
    return Product(digest=record.digest, load=lambda: Frames.load(folder.path / "frames"))


def examine(folder: RunFolder, frames: Product[Frames], *, anyway: bool) -> None:
    """doctor.json: what is wrong with the frames. Raises RejectedError when no cameras can be found in them."""
    from img2world.doctor.findings import findings_from_json, findings_to_json, select_rejections
    from img2world.doctor.video import examine_video

    def make(path: Path, progress: Progress) -> dict[str, float]:
        # Rendered frames can have none of the faults of videos, and their cameras are not to be found.
        findings = [] if frames.value.is_rendered else examine_video(frames.value)
        write_text(path / FINDINGS, findings_to_json(findings))
        return {"findings": float(len(findings))}

    folder.stage(
        "doctor",
        options=code_of("img2world.doctor.video"),
        reads=digests(frames=frames),
        make=make,
    )
    bad = select_rejections(findings_from_json((folder.path / FINDINGS).read_text()))
    # Frames of a generator that follows exact cameras are right by construction, however little they show.
    if bad and not anyway and not (folder.path / "frames" / "cameras.json").exists():
        raise RejectedError(
            f"the doctor rejects the video: {'; '.join(finding.line() for finding in bad)}",
            hint=f"{bad[0].advice}; --anyway goes on all the same",
        )


def judge(folder: RunFolder, *, anyway: bool) -> None:
    """Warn of doubtful cameras. Raises RejectedError when they are not to be used."""
    table = json.loads((folder.path / "views" / "transforms.json").read_text()).get("pose_report")
    report = None if table is None else PoseReport.from_json(table)
    if report is not None and report.moving_frames:
        from img2world.doctor.camera_motion import moving_subject

        warnings.warn(moving_subject(report.moving_share, report.moving_frames).line(), stacklevel=2)
    if report is None or report.grade in ("A", "B"):
        return
    why = "; ".join(report.reasons)
    if report.grade == "D" and not anyway:
        raise RejectedError(
            f"the cameras cannot be trusted (grade D, by {report.solver}): {why}",
            hint="look at the video with `img2world doctor`; --anyway goes on all the same",
        )
    warnings.warn(f"the cameras are doubtful (grade {report.grade}, by {report.solver}): {why}", stacklevel=2)


def estimate(
    folder: RunFolder, recipe: Recipe, frames: Product[Frames], trajectory: Product[Cameras] | None
) -> Product[Views]:
    """views/: the pictures that know their cameras, in a world that stands upright."""

    def make(path: Path, progress: Progress) -> dict[str, float]:
        views = upright(recipe.poses.estimate(frames.value, value(trajectory), seed=recipe.seed, progress=progress))
        views.save(path / "views")
        confidence = float(views.confidence.mean())
        return {"views": float(len(views)), "points": float(len(views.points)), "confidence": confidence}

    options, reads = code_of(recipe.poses, recipe.seed), digests(frames=frames, trajectory=trajectory)
    record = folder.stage("poses", options=options, reads=reads, make=make)
    return Product(digest=record.digest, load=lambda: Views.load(folder.path / "views"))


def optimize(folder: RunFolder, recipe: Recipe, views: Product[Views]) -> Product[Scene]:
    """scene/scene.safetensors: Gaussians that look like the views, and how well on views never trained on."""
    from img2world.splat.metrics import evaluate

    def make(path: Path, progress: Progress) -> dict[str, float]:
        scene = recipe.splat.optimize(views.value, seed=recipe.seed, progress=progress)
        (path / "scene").mkdir()
        scene.save(path / "scene" / "scene.safetensors")
        return evaluate(scene, views.value, recipe.splat.held_out(len(views.value)))

    record = folder.stage("splat", options=code_of(recipe.splat, recipe.seed), reads=digests(views=views), make=make)
    return Product(digest=record.digest, load=lambda: Scene.load(folder.path / "scene" / "scene.safetensors"))


def export(folder: RunFolder, recipe: Recipe, scene: Product[Scene], views: Product[Views]) -> None:
    """exports/: one file per format, each read back and checked by its exporter."""
    measured_product = Product(digest=scene.digest, load=lambda: measured_scene(scene.value, recipe.metric))
    reads = digests(scene=scene, views=views)
    for name, exporter in recipe.exports.items():

        def make(path: Path, progress: Progress, exporter: Any = exporter) -> dict[str, float]:
            (path / "exports").mkdir()
            target = path / "exports" / exporter.filename
            return exporter.write(measured_product.value, views.value, target, progress=progress)

        folder.stage(f"export.{name}", options={**code_of(exporter), "metric": recipe.metric}, reads=reads, make=make)
    if note := licence_of(recipe):

        def write_note(path: Path, progress: Progress) -> dict[str, float]:
            (path / "exports").mkdir()
            write_text(path / "exports" / LICENCE_FILE, licence_text(note))
            return {}

        folder.stage("export.licence", options=note, reads=reads, make=write_note)
    elif "export.licence" in folder.manifest["stages"]:
        folder.discard("export.licence")
    folder.discard_outdated("export.", reads)


def measure(folder: RunFolder, recipe: Recipe, scene: Product[Scene]) -> None:
    """world.json: where up and the ground are, how high the subject is, and what a unit is in metres."""

    def make(path: Path, progress: Progress) -> dict[str, float]:
        world = measured(scene.value, recipe.metric)
        write_text(path / WORLD, json.dumps(world.as_json(), indent=1) + "\n")
        known = {"metres_per_unit": world.metres_per_unit} if recipe.metric else {}
        return {"height": world.height, "ground": world.ground, **known}

    options = {**code_of(), "metric": recipe.metric}
    folder.stage("measure", options=options, reads=digests(scene=scene), make=make)


def measured_scene(scene: Scene, height_m: float) -> Scene:
    """The scene with its scale, where the height of its subject is known."""
    return replace(scene, metres_per_unit=measured(scene, height_m).metres_per_unit) if height_m else scene


def value(product: Product[T] | None) -> T | None:
    """Return what a stage has made, where it was done."""
    return product.value if product else None


def digests(**products: Product[Any] | None) -> dict[str, str]:
    """What a stage reads, for its key."""
    return {name: product.digest for name, product in products.items() if product}


def code_of(backend: object = None, seed: int = 0) -> dict[str, Any]:
    """Return what decides a stage's result beside its input: code, options and seed, for its key.

    `backend` is the one that does the work, the name of the module that does, or None where core alone does.
    """
    own = {"pipeline": file_digest(Path(__file__))}
    if backend is None or isinstance(backend, str):
        return {**own, "code": code_digest(SHARED_CODE, *([backend] if backend else []))}
    code = code_digest(SHARED_CODE, type(backend).__module__)
    # A path counts by what is there, wherever it is.
    options = options_of(backend)
    for name, option in options.items():
        if is_path(option):
            digest = path_digest if isinstance(option, Weights) else source_digest
            options[name] = digest(Path(option))
    return {**own, "backend": type(backend).__name__, "code": code, "seed": seed, **options}


def frames_per_second(frames: Frames) -> float:
    """The mean rate of the frames; one per second where they have no time, as photos."""
    seconds = float(frames.times[-1] - frames.times[0])
    return min((len(frames) - 1) / seconds, 60.0) if seconds > 0 else 1.0


def seen_fractions(frames: Frames) -> dict[str, float]:
    """Return the fractions of pixels that are seen in the photo, continued from what is beside it, and invented."""
    if frames.seen is None:
        return {}
    return {name: float((frames.seen == i).mean()) for i, name in enumerate(["invented", "continued", "seen"])}

"""The stages: each takes the products of earlier stages and writes its own into the run folder."""

import json
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from img2world.captures.panorama import load_photo
from img2world.core.cameras import Cameras, load_cameras, save_cameras
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.live import UNWATCHED, Live
from img2world.core.metric import asset_from_world, measured, upright
from img2world.core.progress import Progress
from img2world.core.scene import Scene
from img2world.core.subject import PICTURE, Subject, save_picture
from img2world.core.supported_region import region_from_json
from img2world.core.views import Views
from img2world.poses.coverage import seen_sides
from img2world.runs.files import write_text
from img2world.runs.folder import RunFolder
from img2world.runs.licences import licence_of, model_licences
from img2world.runs.product import Product, code_of, digests, value
from img2world.runs.recipe import NeedsPrograms, Recipe, options_of
from img2world.runs.refusals import rejected_video
from img2world.runs.report import COMPARISON, FINDINGS, INVENTORY, ISOLATED_FACTS, ISOLATION, WORLD
from img2world.runs.source import Source
from img2world.video.diffusion.cards import licence_text

MIN_PSNR = 20.0
"""PSNR in dB on held-out views below which a run warns; scenes from good cameras reach 25 to 35."""

PHOTOS_PER_SECOND = 24.0
"""Frame rate of the video that shows photos one after the other."""

LICENCE_FILE = "LICENCE.txt"
"""File with the licence verdict on a big video model, beside the files made with it."""


def find_subject(folder: RunFolder, source: Source, recipe: Recipe) -> Product[Subject] | None:
    """Write input.png and subject/: the picture, what it shows, and the predicted geometry.

    Returns None for videos and photos, which the video backend reads.
    """
    if source.kind != "picture":
        return None

    def make(path: Path, progress: Progress) -> dict[str, float]:
        image = load_photo(source.path)
        subject = recipe.subject.find(image)
        subject.save(path)
        focal = {} if image.focal is None else {"focal": image.focal}
        things = {} if subject.is_object else {"foreground": float(len(subject.foreground))}
        return {"width": float(image.width), "height": float(image.height), **focal, **things}

    options = {**code_of(recipe.subject), "photo": code_of("img2world.captures.panorama")}
    reads = {"source": source.digest}
    record = folder.stage("input", options=options, reads=reads, make=make)
    return Product(digest=record.digest, load=lambda: Subject.load(folder.path))


def plan_cameras(folder: RunFolder, recipe: Recipe, subject: Product[Subject] | None) -> Product[Cameras] | None:
    """Write trajectory.json, the camera path of the video. Returns None without a picture to make the video from."""
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
    """Write frames/ and video.mp4, generated from the picture or read from files, and of these inventory.json."""
    from img2world.export.mp4 import write_mp4
    from img2world.video.grid import tile_frames

    def make(path: Path, progress: Progress) -> dict[str, float | str]:
        frames = recipe.video.generate(value(subject), value(trajectory), seed=recipe.seed, progress=progress)
        frames.save(path / "frames")
        if frames.inventory is not None:
            write_text(path / INVENTORY, json.dumps(frames.inventory.as_json(), indent=1) + "\n")
            if not frames.inventory.is_complete:
                warnings.warn(f"{frames.inventory.line()}; see {INVENTORY}", stacklevel=2)
        shown = frames.rgb if frames.viewpoints is None else tile_frames(frames)
        write_mp4(shown, path / "video.mp4", frames_per_second(frames))
        if subject is None:
            save_picture(Image(rgb=frames.rgb[0]), path / PICTURE)
        selection = {"selection": frames.selection} if frames.selection else {}
        return {"frames": float(len(frames)), **seen_fractions(frames), **selection}

    options = code_of(recipe.video, recipe.seed, source=folder.manifest["source"])
    reads = digests(subject=subject, trajectory=trajectory)
    record = folder.stage("video", options=options, reads=reads, make=make)
    return Product(digest=record.digest, load=lambda: Frames.load(folder.path / "frames"))


def examine(
    folder: RunFolder, recipe: Recipe, subject: Product[Subject] | None, frames: Product[Frames], *, anyway: bool
) -> None:
    """Write doctor.json, the problems found in the photo and in the frames.

    Raises RejectedError when they rule out finding cameras.
    """
    from img2world.doctor.findings import findings_from_json, findings_to_json, select_rejections
    from img2world.doctor.photo import examine_photo
    from img2world.doctor.video import examine_video

    def make(path: Path, progress: Progress) -> dict[str, float]:
        # Rendered frames have none of the faults of videos, and their cameras are known.
        findings = [] if frames.value.is_rendered else examine_video(frames.value)
        if subject is not None:
            findings += examine_photo(subject.value, max(frames.value.rgb.shape[1:3]))
        write_text(path / FINDINGS, findings_to_json(findings))
        return {"findings": float(len(findings))}

    folder.stage(
        "doctor",
        options={"photo": code_of("img2world.doctor.photo"), "video": code_of("img2world.doctor.video")},
        reads=digests(subject=subject, frames=frames),
        make=make,
    )
    bad = select_rejections(findings_from_json((folder.path / FINDINGS).read_text()))
    # The cameras of frames that were generated along exact cameras are known, whatever the frames show.
    if bad and not anyway and not (folder.path / "frames" / "cameras.json").exists():
        raise rejected_video(folder, recipe, bad)


def estimate(
    folder: RunFolder, recipe: Recipe, frames: Product[Frames], trajectory: Product[Cameras] | None
) -> Product[Views]:
    """Write views/, the frames with their cameras, in an upright world."""

    def make(path: Path, progress: Progress) -> dict[str, float]:
        views = recipe.poses.estimate(
            frames.value, value(trajectory), seed=recipe.seed, progress=progress, work=folder.work("poses")
        )
        if frames.value.is_timed and views.times is None:
            placed = range(len(views)) if views.report is None else views.report.frames
            views = replace(views, times=frames.value.times[list(placed)])
        views = upright(views)
        views.save(path / "views")
        facts = {"views": float(len(views)), "points": float(len(views.points))}
        return {**facts, "confidence": float(views.confidence.mean()), **seen_sides(views)}

    options = {**code_of(recipe.poses, recipe.seed), "coverage": code_of("img2world.poses.coverage")}
    reads = digests(frames=frames, trajectory=trajectory)
    record = folder.stage("poses", options=options, reads=reads, make=make)
    return Product(digest=record.digest, load=lambda: Views.load(folder.path / "views"))


def isolate(folder: RunFolder, source: Source, recipe: Recipe, views: Product[Views]) -> Product[Views]:
    """Write isolated/, the views of what they turn around alone, where the recipe says that they show an object.

    Returns the views as they are for other recipes and for pictures, whose object was cut out before. Warns of views
    that are left out. Raises SubjectError when nothing can be isolated.
    """
    options = options_of(recipe.subject)
    if source.kind == "picture" or options["kind"] != "object":
        if ISOLATION in folder.manifest["stages"]:
            folder.discard(ISOLATION)
        return views

    def make(path: Path, progress: Progress) -> dict[str, float]:
        from img2world.isolation.isolate import isolate_subject

        isolation = isolate_subject(views.value, model=options["model"], progress=progress)
        isolation.views.save(path / "isolated")
        write_text(path / ISOLATED_FACTS, json.dumps(isolation.as_json(), indent=1) + "\n")
        count = len(isolation.views)
        return {"views": float(count), "points": float(len(isolation.views.points)), "overlap": isolation.mean_overlap}

    record = folder.stage(
        ISOLATION,
        options={**code_of("img2world.isolation"), "model": options["model"]},
        reads=digests(views=views),
        make=make,
    )
    facts = json.loads((folder.path / ISOLATED_FACTS).read_text(encoding="utf-8"))
    if left_out := facts["left_out"]:
        warnings.warn(
            f"{len(left_out)} of {len(facts['overlap'])} views left out, in which the subject is not seen or differs "
            f"from that of the others: {', '.join(map(str, left_out))}",
            stacklevel=2,
        )
    return Product(digest=record.digest, load=lambda: Views.load(folder.path / "isolated"))


def check_programs(*backends: Any) -> None:
    """Check that what backends need in addition to our own packages is installed. Raises MissingPackageError if not."""
    for backend in backends:
        if isinstance(backend, NeedsPrograms):
            backend.check_programs()


def optimize(folder: RunFolder, recipe: Recipe, views: Product[Views], live: Live = UNWATCHED) -> Product[Scene]:
    """Write scene/scene.safetensors, Gaussians fitted to the views, and measure them on held-out views.

    The metrics say where a training was stopped early by whoever looks on. Warns when the scene reproduces these badly.
    """
    from img2world.splat.metrics import evaluate

    def make(path: Path, progress: Progress) -> dict[str, float]:
        scene = recipe.splat.optimize(views.value, seed=recipe.seed, progress=progress, live=live)
        (path / "scene").mkdir()
        scene.save(path / "scene" / "scene.safetensors")
        stopped = {} if live.stopped_at is None else {"stopped_at": float(live.stopped_at)}
        return {**evaluate(scene, views.value, recipe.splat.held_out(len(views.value), views.value.times)), **stopped}

    record = folder.stage("splat", options=code_of(recipe.splat, recipe.seed), reads=digests(views=views), make=make)
    psnr = record.figures.get("heldout_psnr_matched", record.figures.get("heldout_psnr", MIN_PSNR))
    if psnr < MIN_PSNR:
        warnings.warn(
            f"the scene reproduces held-out views badly: {psnr:.1f} dB, {MIN_PSNR:g} or more are usual; expect blur",
            stacklevel=2,
        )
    return Product(digest=record.digest, load=lambda: Scene.load(folder.path / "scene" / "scene.safetensors"))


def compare(folder: RunFolder, recipe: Recipe, scene: Product[Scene], views: Product[Views]) -> None:
    """Write comparison/, some views beside what the scene's own cameras see there, for report.html."""
    from img2world.splat.comparison import compare_views, save_comparisons

    def make(path: Path, progress: Progress) -> dict[str, float]:
        comparisons = compare_views(
            scene.value, views.value, recipe.splat.held_out(len(views.value), views.value.times)
        )
        save_comparisons(comparisons, path / COMPARISON)
        return {"compared": float(len(comparisons))}

    options = {**code_of("img2world.splat.comparison"), "splat": code_of(recipe.splat)}
    folder.stage("comparison", options=options, reads=digests(scene=scene, views=views), make=make)


def measure(folder: RunFolder, recipe: Recipe, scene: Product[Scene]) -> Product[Scene]:
    """Write world.json: vertical, ground, height of the subject, metres per unit, place and supported region.

    Returns the scene with its place and region.
    """
    from img2world.export.support import supported_region

    def make(path: Path, progress: Progress) -> dict[str, float]:
        world, region = measured(scene.value, recipe.metric), supported_region(scene.value)
        placed = {"asset_from_world": asset_from_world(scene.value, world, recipe.size).tolist()}
        table = {**world.as_json(), **placed, "supported": region.as_json()}
        write_text(path / WORLD, json.dumps(table, indent=1) + "\n")
        known = {"metres_per_unit": world.metres_per_unit} if recipe.metric else {}
        return {"height": world.height, "ground": world.ground, **known}

    options = {**code_of("img2world.export.support"), "metric": recipe.metric, "size": recipe.size}
    record = folder.stage("measure", options=options, reads=digests(scene=scene), make=make)
    return Product(digest=record.digest, load=lambda: measured_scene(scene.value, folder.path / WORLD))


def assess(
    folder: RunFolder,
    subject: Product[Subject] | None,
    trajectory: Product[Cameras] | None,
    frames: Product[Frames],
    scene: Product[Scene],
) -> None:
    """Record the figures that tell how good a world from one photo looks; without a photo there are none."""
    from img2world.quality.figures import measure_quality, starts_at_photo

    if subject is None or trajectory is None:
        return

    def make(path: Path, progress: Progress) -> dict[str, float]:
        if not starts_at_photo(trajectory.value, subject.value):
            return {}
        return measure_quality(scene.value, subject.value, frames.value)

    folder.stage(
        "quality",
        options=code_of("img2world.quality.figures"),
        reads=digests(subject=subject, trajectory=trajectory, frames=frames, scene=scene),
        make=make,
    )


def measured_scene(scene: Scene, world: Path) -> Scene:
    """Return the scene with its place in exported files and its supported region."""
    table = json.loads(world.read_text(encoding="utf-8"))
    placed = np.array(table["asset_from_world"])
    return replace(scene, asset_from_world=placed, supported=region_from_json(table["supported"]))


def export(folder: RunFolder, recipe: Recipe, scene: Product[Scene], views: Product[Views]) -> None:
    """Write exports/: one file or folder per format, each read back and checked by its exporter."""
    from img2world.export.bundle_manifest import Origin
    from img2world.export.bundles import BundleExport

    reads = digests(scene=scene, views=views)
    licences = model_licences(recipe, is_picture=folder.manifest["source"]["kind"] == "picture")
    origin = Origin(is_metric=recipe.metric > 0, licences=licences)
    for name, exporter in recipe.exports.items():
        facts = {"origin": origin} if isinstance(exporter, BundleExport) else {}

        def make(
            path: Path, progress: Progress, exporter: Any = exporter, facts: Any = facts
        ) -> dict[str, float | str]:
            (path / "exports").mkdir()
            target = path / "exports" / exporter.filename
            return exporter.write(scene.value, views.value, target, progress=progress, **facts)

        options = {**code_of(exporter), **{fact: asdict(value) for fact, value in facts.items()}}
        folder.stage(f"export.{name}", options=options, reads=reads, make=make)
    if note := licence_of(recipe):

        def write_note(path: Path, progress: Progress) -> dict[str, float]:
            (path / "exports").mkdir()
            write_text(path / "exports" / LICENCE_FILE, licence_text(note))
            return {}

        folder.stage("export.licence", options=note, reads=reads, make=write_note)
    elif "export.licence" in folder.manifest["stages"]:
        folder.discard("export.licence")
    folder.discard_outdated("export.", reads)


def frames_per_second(frames: Frames) -> float:
    """Return the mean frame rate, of several viewpoints that of each; of photos a fixed one, whatever their times."""
    if not frames.ordered:
        return PHOTOS_PER_SECOND
    seconds = float(frames.times[-1] - frames.times[0])
    count = len(frames) if frames.viewpoints is None else len(np.unique(frames.times))
    return min((count - 1) / seconds, 60.0) if seconds > 0 else 1.0


def seen_fractions(frames: Frames) -> dict[str, float]:
    """Return the fractions of pixels that are seen in the photo, continued from its surroundings, and invented.

    Of an object, only the pixels that it covers count.
    """
    if frames.seen is None:
        return {}
    seen = frames.seen if frames.alpha is None else frames.seen[frames.alpha > 127]
    return {name: float((seen == i).mean()) for i, name in enumerate(["invented", "continued", "seen"])}

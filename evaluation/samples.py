"""Samples of the orbit benchmark: a photo and the ground truth along camera paths around its subject."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from evaluation.assets import TexturedMesh, find_assets, load_asset, scale_and_translate
from evaluation.placement import (
    dynamic_poses,
    elevation_from_name,
    object_cameras,
    place_asset,
    seed_from_name,
    square_cameras,
    static_poses,
    tilt,
)
from evaluation.procedural import procedural_object, procedural_room
from evaluation.rendering import RenderedViews, render_asset, seeded_lighting
from img2world.core.camera_paths import arc
from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.core.subject import Subject
from img2world.layered.subject import AutoSubject

NUM_VIEWS = 21
"""Views of each path; the first is the photo's."""

PHOTO_SCALE = 2
"""Size of the photo relative to the frames that are compared."""

DEFAULT_OBJECTS = 12
"""Number of procedural objects by default."""

HALF_ARC_DEG = 15.0
"""Largest angle to either side of a scene's photo."""

ROOM_FOV = np.radians(60)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A photo and its ground truth. The first view of each path is the photo's, at the size of the frames."""

    name: str
    image: Image
    is_object: bool
    photo: RenderedViews
    """The photo's view at the size of the frames, with depth and, for objects, the last surface."""
    paths: dict[str, RenderedViews]
    radius: float
    """Radius of an object about the origin; 1 for a scene."""
    render: Callable[[Cameras], RenderedViews] | None = None
    """Renders the ground truth from other cameras, where that is possible."""

    @cached_property
    def subject(self) -> Subject:
        """Return the subject that a run finds in the photo."""
        return AutoSubject().find(self.image)


@dataclass(frozen=True, kw_only=True)
class SampleSource:
    """A sample that is not yet rendered."""

    name: str
    is_object: bool
    make: Callable[[], Sample]
    file: Path | None = None
    """File of the asset or folder of the photos; None for procedural samples."""
    z_up: bool = False


def object_sources(
    assets: Path | None, *, count: int, size: int, z_up: str = "", alpha: bool = True
) -> list[SampleSource]:
    """Return the objects of a folder, file or manifest, or procedural ones; `z_up` is a pattern of files with +Z up.

    Raises AssetError when there are none.
    """
    if assets is None:
        return [_seeded_source(i, size, alpha) for i in range(count or DEFAULT_OBJECTS)]
    root = assets if assets.is_dir() else assets.parent
    return [
        _file_source(file, file.relative_to(root), z_up, size, alpha) for file in find_assets(assets)[: count or None]
    ]


def _seeded_source(seed: int, size: int, alpha: bool) -> SampleSource:
    """Return a procedural object."""
    name = f"object-{seed:03d}"
    return SampleSource(
        name=name,
        is_object=True,
        make=lambda: make_object_sample(procedural_object(seed), name, size=size, alpha=alpha),
    )


def _file_source(file: Path, relative: Path, z_up: str, size: int, alpha: bool) -> SampleSource:
    """Return an object from a file, named by its path."""
    is_z_up = bool(z_up) and relative.match(z_up)
    name = relative.with_suffix("").as_posix().replace("/", "-")
    return SampleSource(
        name=name,
        is_object=True,
        file=file,
        z_up=is_z_up,
        make=lambda: make_object_sample(load_asset(file, z_up=is_z_up), name, size=size, alpha=alpha),
    )


def room_sources(count: int, size: int) -> list[SampleSource]:
    """Return procedural rooms."""
    return [
        SampleSource(
            name=f"room-{i:03d}",
            is_object=False,
            make=lambda i=i: make_room_sample(procedural_room(i), f"room-{i:03d}", size=size),
        )
        for i in range(count)
    ]


def make_object_sample(mesh: TexturedMesh, name: str, *, size: int, alpha: bool) -> Sample:
    """Render an asset, with placement and lighting determined by its name."""
    elevation = elevation_from_name(name)
    placed = place_asset(mesh, name)
    lighting = seeded_lighting(seed_from_name(name))
    x, y, z = (tilt(elevation)[:3, :3] @ np.array(lighting.direction)).tolist()
    lighting = replace(lighting, direction=(x, y, z))
    photo_pose = static_poses(1, elevation)
    large = render_asset(placed, object_cameras(photo_pose, PHOTO_SCALE * size), lighting=lighting)
    poses = {"static": static_poses(NUM_VIEWS, elevation), "dynamic": dynamic_poses(NUM_VIEWS, elevation)}
    return Sample(
        name=name,
        image=Image(rgb=large.rgb[0], alpha=large.alpha[0] if alpha else None),
        is_object=True,
        photo=render_asset(placed, object_cameras(photo_pose, size), lighting=lighting, last_surface=True),
        paths={path: render_asset(placed, object_cameras(poses[path], size), lighting=lighting) for path in poses},
        radius=float(np.linalg.norm(placed.vertices, axis=1).max()),
        render=partial(render_asset, placed, lighting=lighting),
    )


def make_room_sample(mesh: TexturedMesh, name: str, *, size: int) -> Sample:
    """Render a room along an arc; the world's unit is the median depth of the photo."""
    lighting = seeded_lighting(seed_from_name(name))
    preview = room_cameras(np.eye(4, dtype=np.float32)[None], 64)
    depth = render_asset(mesh, preview, supersample=1).depth
    scale = INPUT_DISTANCE / float(np.median(depth[depth > 0]))
    placed = mesh.transformed(scale_and_translate(scale, (0.0, 0.0, -INPUT_DISTANCE)))
    half = np.radians(HALF_ARC_DEG)
    poses = arc(NUM_VIEWS, half_azimuth=half, half_elevation=half / 4)
    large = render_asset(placed, room_cameras(poses[:1], PHOTO_SCALE * size), lighting=lighting)
    truth = render_asset(placed, room_cameras(poses, size), lighting=lighting)
    return Sample(
        name=name,
        image=Image(rgb=large.rgb[0], focal=float(large.cameras.intrinsics[0, 0, 0])),
        is_object=False,
        photo=render_asset(placed, room_cameras(poses[:1], size), lighting=lighting),
        paths={"arc": truth},
        radius=1.0,
        render=partial(render_asset, placed, lighting=lighting),
    )


def room_cameras(poses: Float32[np.ndarray, "V 4 4"], size: int) -> Cameras:
    """Return square cameras with the field of view of a phone."""
    return square_cameras(poses, ROOM_FOV, size)

"""What is evaluated: a photo, the paths around what it shows, and what is truly seen from there."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from evaluation.assets import TexturedMesh, find_assets, load_asset
from evaluation.placement import (
    dynamic_poses,
    elevation_of,
    object_cameras,
    place,
    seed_of,
    static_poses,
    tilt,
)
from evaluation.procedural import procedural_object, procedural_room
from evaluation.rendering import RenderedAsset, render_asset, seeded_light
from img2world.core.camera_paths import arc
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.core.subject import Subject
from img2world.layered.subject import AutoSubject

NUM_VIEWS = 21
"""Of each path, the first being the photo itself."""

PHOTO_SCALE = 2
"""Pixels of the photo along a side, per pixel of the frames that are judged."""

DEFAULT_COUNT = 12
"""Objects made by seed when no number is asked for."""

HALF_ARC_DEG = 15.0
"""How far the camera swings to either side of a scene."""

ROOM_FOV = np.radians(60)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One photo and its truth. The first view of each path is the photo's own, at the size of the frames."""

    name: str
    image: Image
    is_object: bool
    photo: RenderedAsset
    """The photo's view at the size of the frames, with its depth and, for an object, its last surface."""
    paths: dict[str, RenderedAsset]
    radius: float
    """Of an object from the origin; 1 for a scene."""
    draw: Callable[[Cameras], RenderedAsset] | None = None
    """The truth from other cameras, where it is known from everywhere."""

    @cached_property
    def subject(self) -> Subject:
        """What a run finds in the photo."""
        return AutoSubject().find(self.image)


@dataclass(frozen=True, kw_only=True)
class CaseSource:
    """A case that is not made yet."""

    name: str
    is_object: bool
    make: Callable[[], Case]
    file: Path | None = None
    """Where its model comes from."""
    z_up: bool = False


def object_sources(
    assets: Path | None, *, count: int, size: int, z_up: str = "", alpha: bool = True
) -> list[CaseSource]:
    """The objects of a folder or manifest, or as many made by seed; `z_up` is a pattern of those that stand along +Z.

    Raises AssetError when there are none.
    """
    if assets is None:
        return [_made_source(i, size, alpha) for i in range(count or DEFAULT_COUNT)]
    root = assets if assets.is_dir() else assets.parent
    return [
        _file_source(file, file.relative_to(root), z_up, size, alpha) for file in find_assets(assets)[: count or None]
    ]


def _made_source(seed: int, size: int, alpha: bool) -> CaseSource:
    """An object made by seed."""
    name = f"object-{seed:03d}"
    return CaseSource(
        name=name, is_object=True, make=lambda: object_case(procedural_object(seed), name, size=size, alpha=alpha)
    )


def _file_source(file: Path, relative: Path, z_up: str, size: int, alpha: bool) -> CaseSource:
    """An object of a file, named by where it lies."""
    stands = bool(z_up) and relative.match(z_up)
    name = relative.with_suffix("").as_posix().replace("/", "-")
    return CaseSource(
        name=name,
        is_object=True,
        file=file,
        z_up=stands,
        make=lambda: object_case(load_asset(file, z_up=stands), name, size=size, alpha=alpha),
    )


def room_sources(count: int, size: int) -> list[CaseSource]:
    """Rooms made by seed."""
    return [
        CaseSource(
            name=f"room-{i:03d}",
            is_object=False,
            make=lambda i=i: room_case(procedural_room(i), f"room-{i:03d}", size=size),
        )
        for i in range(count)
    ]


def object_case(mesh: TexturedMesh, name: str, *, size: int, alpha: bool) -> Case:
    """A model before the camera, lit and seen as its name decides."""
    elevation = elevation_of(name)
    placed = place(mesh, name)
    light = seeded_light(seed_of(name))
    x, y, z = (tilt(elevation)[:3, :3] @ np.array(light.towards)).tolist()
    light = replace(light, towards=(x, y, z))
    here = static_poses(1, elevation)
    picture = render_asset(placed, object_cameras(here, PHOTO_SCALE * size), light=light)
    poses = {"static": static_poses(NUM_VIEWS, elevation), "dynamic": dynamic_poses(NUM_VIEWS, elevation)}
    return Case(
        name=name,
        image=Image(rgb=picture.rgb[0], alpha=picture.alpha[0] if alpha else None),
        is_object=True,
        photo=render_asset(placed, object_cameras(here, size), light=light, last_surface=True),
        paths={path: render_asset(placed, object_cameras(poses[path], size), light=light) for path in poses},
        radius=float(np.linalg.norm(placed.vertices, axis=1).max()),
        draw=partial(render_asset, placed, light=light),
    )


def room_case(mesh: TexturedMesh, name: str, *, size: int) -> Case:
    """A room seen along an arc; the world's unit is the median depth of the photo."""
    light = seeded_light(seed_of(name))
    here = room_cameras(np.eye(4, dtype=np.float32)[None], 64)
    depth = render_asset(mesh, here, supersample=1).depth
    matrix = np.eye(4) * INPUT_DISTANCE / float(np.median(depth[depth > 0]))
    matrix[:3, 3] = (0, 0, -INPUT_DISTANCE)
    matrix[3, 3] = 1
    placed = mesh.moved(matrix)
    half = np.radians(HALF_ARC_DEG)
    poses = arc(NUM_VIEWS, half_azimuth=half, half_elevation=half / 4)
    picture = render_asset(placed, room_cameras(poses[:1], PHOTO_SCALE * size), light=light)
    truth = render_asset(placed, room_cameras(poses, size), light=light)
    return Case(
        name=name,
        image=Image(rgb=picture.rgb[0], focal=float(picture.cameras.intrinsics[0, 0, 0])),
        is_object=False,
        photo=render_asset(placed, room_cameras(poses[:1], size), light=light),
        paths={"arc": truth},
        radius=1.0,
        draw=partial(render_asset, placed, light=light),
    )


def room_cameras(poses: Float32[np.ndarray, "V 4 4"], size: int) -> Cameras:
    """Cameras with the lens of a phone."""
    intrinsics = np.repeat(intrinsics_from_fov(ROOM_FOV, size, size)[None], len(poses), 0)
    return Cameras(world_from_cam=poses, intrinsics=intrinsics, width=size, height=size)

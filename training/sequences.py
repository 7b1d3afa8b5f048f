"""Sequences of posed frames of procedural objects and scenes; the first frame is the photo."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.object_layers import OBJECT_FOV, OBJECT_FRACTION
from training import raster
from training.assembly import SceneMesh
from training.camera_effects import take_photo
from training.materials import MaterialSampler
from training.renderer import RenderBuffers, cam_from_scene, render_view
from training.rotations import unit_direction
from training.scene import ProceduralScene, SceneLighting, Viewpoint, centered_lens, daylight
from training.scene_kinds import random_scene
from training.views import ViewGenerator

OBJECT_SEQUENCE_FRACTION = 0.5
"""Fraction of sequences that show objects rather than scenes."""

DEGRADED_FRACTION = 0.3
"""Fraction of photos with blur, noise and compression; most photos lose these when they are reduced in size."""

MIN_DISTANCE = 0.2
"""A camera is taken to be inside a surface where the nearest 2 % of what it sees are closer than this."""


@dataclass(frozen=True, kw_only=True)
class PosedFrame:
    """One frame of a sequence with its ground truth, in the world of the first frame's camera."""

    rgb: UInt8[np.ndarray, "H W 3"]
    """Objects are shown on white. The first frame may be degraded."""
    clean_rgb: UInt8[np.ndarray, "H W 3"]
    """The same frame without degradation; an object's colours are not blended with a background."""
    alpha: Float32[np.ndarray, "H W"]
    known: Bool[np.ndarray, "H W"]
    """True where there is a surface."""
    depth: Float32[np.ndarray, "H W"]
    hidden_depth: Float32[np.ndarray, "H W"]
    camera: Cameras


@dataclass(frozen=True, kw_only=True)
class FrameSequence:
    """Frames of one object or scene from several viewpoints."""

    frames: tuple[PosedFrame, ...]
    kind: str
    """"object" or a kind of scene."""

    @property
    def is_object(self) -> bool:
        """Return True for an object, False for a scene."""
        return self.kind == "object"


class SequenceGenerator:
    """Generates sequences. The same seed and number give the same sequence, whatever was generated before."""

    def __init__(self, views: ViewGenerator, *, object_fraction: float = OBJECT_SEQUENCE_FRACTION) -> None:
        self.views, self.object_fraction = views, object_fraction

    @property
    def seed(self) -> int:
        """Return the seed of the views, which is that of the sequences, too."""
        return self.views.seed

    def sequence(self, number: int, *, count: int, width: int, height: int) -> FrameSequence | None:
        """Return a sequence of `count` frames; None where a camera is inside a surface or sees next to nothing."""
        rng = np.random.default_rng((self.seed, 2, number))
        if rng.random() < self.object_fraction:
            return self.object_sequence(rng, count=count, size=round(np.sqrt(width * height) / 16) * 16)
        return self.scene_sequence(rng, count=count, width=width, height=height)

    def object_sequence(self, rng: np.random.Generator, *, count: int, size: int) -> FrameSequence | None:
        """Return frames all around an object, with the lens and framing that `nano` assumes."""
        mesh = self.views.sample_object(rng).build()
        azimuth, elevation = rng.uniform(0, 2 * np.pi), float(np.clip(rng.normal(0.25, 0.15), -0.1, 0.6))
        first, unit = fit_viewpoint(mesh, azimuth, elevation)
        span = rng.choice([2 * np.pi, 2 * np.pi, np.pi])
        start = azimuth + rng.uniform(0, 2 * np.pi)
        azimuths = start + span * (np.arange(count - 1) + rng.uniform(-0.3, 0.3)) / (count - 1)
        elevations = elevation + rng.choice([0.0, 0.3]) * np.sin(2 * (azimuths - azimuth))
        elevations = (elevations + rng.normal(0, 0.06, count - 1)).clip(-0.5, 1)
        viewpoints = [first]
        for around, above in zip(rng.permutation(azimuths), elevations, strict=True):
            eye = first.target + unit * unit_direction(around, above)
            viewpoints.append(Viewpoint(eye=eye, target=first.target, fov=OBJECT_FOV))
        lighting = daylight(rng)
        return self.render_sequence(mesh, lighting, viewpoints, unit, rng, width=size, height=size, kind="object")

    def scene_sequence(self, rng: np.random.Generator, *, count: int, width: int, height: int) -> FrameSequence | None:
        """Return frames around the first viewpoint of a random scene."""
        scene = random_scene(MaterialSampler(rng=rng, num_textures=len(self.views.bank)), 1)
        prepared = prepare_scene(scene, width, height)
        if prepared is None:
            return None
        mesh, lighting, first, unit = prepared
        reach = rng.uniform(0.08, 0.45)
        viewpoints = [first]
        for _ in range(count - 1):
            azimuth, elevation = reach * rng.uniform(-1, 1), 0.3 * reach * rng.uniform(-1, 1)
            viewpoints.append(orbit_viewpoint(first, azimuth, elevation, rng.normal(0, 0.2 * reach, 3) * unit))
        return self.render_sequence(mesh, lighting, viewpoints, unit, rng, width=width, height=height, kind=scene.kind)

    def render_sequence(
        self,
        mesh: SceneMesh,
        lighting: SceneLighting,
        viewpoints: list[Viewpoint],
        unit: float,
        rng: np.random.Generator,
        *,
        width: int,
        height: int,
        kind: str,
    ) -> FrameSequence | None:
        """Render all viewpoints with one exposure; `unit` is the scene's length that becomes 1.

        Return None where a camera is inside a surface or sees next to nothing.
        """
        is_object = kind == "object"
        focal = viewpoints[0].focal(max(width, height))
        lens = centered_lens(focal, width, height)
        hidden = raster.LAST if is_object else raster.OTHER_OBJECT
        sky_seed, photo_seed = rng.integers(2**31), rng.integers(2**31)
        is_degraded = rng.random() < DEGRADED_FRACTION
        rendered: list[RenderBuffers] = []
        for viewpoint in viewpoints:
            sky = np.random.default_rng(sky_seed)
            buffers = render_view(
                mesh, lighting, viewpoint, lens, self.views.bank, sky, width=width, height=height, hidden=hidden
            )
            nearest = np.percentile(buffers.depth[buffers.known], 2) / unit if buffers.known.any() else 0.0
            if buffers.known.mean() < 0.03 or nearest < MIN_DISTANCE:
                return None
            rendered.append(buffers)
        frames = []
        for i, (viewpoint, buffers) in enumerate(zip(viewpoints, rendered, strict=True)):
            clean = take_photo(
                buffers.linear, np.random.default_rng(photo_seed), alpha=rendered[0].alpha if is_object else None,
                exposed_for=rendered[0].linear, perfect=True,
            )  # fmt: skip
            rgb = clean
            if i == 0 and is_degraded:
                alpha = buffers.alpha if is_object else None
                rgb = take_photo(buffers.linear, np.random.default_rng(photo_seed), alpha=alpha)
            elif is_object:
                alpha = buffers.alpha[..., None]
                rgb = np.round(clean * alpha + 255 * (1 - alpha)).astype(np.uint8)
            frames.append(
                PosedFrame(
                    rgb=rgb,
                    clean_rgb=clean,
                    alpha=buffers.alpha if is_object else np.ones_like(buffers.alpha),
                    known=buffers.known,
                    depth=(buffers.depth / unit).astype(np.float32),
                    hidden_depth=(buffers.hidden_depth / unit).astype(np.float32),
                    camera=camera_from_viewpoint(viewpoint, viewpoints[0], unit, focal, width, height),
                )
            )
        return FrameSequence(frames=tuple(frames), kind=kind)


def prepare_scene(
    scene: ProceduralScene, width: int, height: int
) -> tuple[SceneMesh, SceneLighting, Viewpoint, float] | None:
    """Return mesh and lighting, the first viewpoint levelled and aimed at the median depth, and that depth.

    There are no clouds, because the renderer moves them with the camera. Return None where the viewpoint shows little.
    """
    mesh, lighting = scene.assembly.build(), replace(scene.lighting, cloudiness=0.0)
    first = replace(scene.viewpoints[0], roll=0.0)
    depth = preview_depth(mesh, first, width, height)
    if (depth < raster.NEAR * 2).mean() > 0.5:
        return None
    unit = float(np.median(depth[depth > 0])) / INPUT_DISTANCE
    return mesh, lighting, replace(first, target=first.eye + unit * cam_from_scene(first)[2]), unit


def fit_viewpoint(mesh: SceneMesh, azimuth: float, elevation: float) -> tuple[Viewpoint, float]:
    """Return the viewpoint from which the mesh is centred and fills OBJECT_FRACTION, and the distance of its centre."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    target, distance = (low + high).astype(np.float64) / 2, 4 * float(np.linalg.norm(high - low))
    direction = unit_direction(azimuth, elevation)
    for _ in range(5):
        viewpoint = Viewpoint(eye=target + distance * direction, target=target, fov=OBJECT_FOV)
        rotation = cam_from_scene(viewpoint)
        points = (mesh.vertices - viewpoint.eye) @ rotation.T
        xy = points[:, :2] / points[:, 2:]
        low_xy, high_xy = xy.min(0), xy.max(0)
        depth = 0.5 * (points[:, 2].min() + points[:, 2].max())
        target = target + np.append((low_xy + high_xy) / 2 * depth, depth - distance) @ rotation
        distance *= float((high_xy - low_xy).max()) / (2 * np.tan(OBJECT_FOV / 2)) / OBJECT_FRACTION
    return Viewpoint(eye=target + distance * direction, target=target, fov=OBJECT_FOV), distance


def orbit_viewpoint(viewpoint: Viewpoint, azimuth: float, elevation: float, shift: Float[np.ndarray, "3"]) -> Viewpoint:
    """Return a viewpoint moved around its target by the angles, and shifted."""
    offset = viewpoint.eye - viewpoint.target
    azimuth = np.arctan2(offset[0], offset[2]) + azimuth
    elevation = np.clip(np.arctan2(offset[1], np.hypot(offset[0], offset[2])) + elevation, -1.3, 1.3)
    eye = viewpoint.target + np.linalg.norm(offset) * unit_direction(azimuth, elevation) + shift
    return replace(viewpoint, eye=eye)


def preview_depth(mesh: SceneMesh, viewpoint: Viewpoint, width: int, height: int) -> Float[np.ndarray, "h w"]:
    """Return the depth at a quarter of the size, 0 where there is no surface."""
    focal = viewpoint.focal(max(width, height))
    rotation = cam_from_scene(viewpoint)
    vertices = (mesh.vertices - viewpoint.eye.astype(np.float32)) @ rotation.T.astype(np.float32)
    inverse_depth, *_ = raster.rasterize(
        vertices, mesh.faces, mesh.object_ids, focal / 4, focal / 4, width / 8, height / 8, width // 4, height // 4,
        raster.OTHER_OBJECT,
    )  # fmt: skip
    return np.where(inverse_depth > 0, 1 / np.maximum(inverse_depth, 1e-6), 0)


def camera_from_viewpoint(
    viewpoint: Viewpoint, first: Viewpoint, unit: float, focal: float, width: int, height: int
) -> Cameras:
    """Return the camera of a viewpoint in the world of the first viewpoint's camera."""
    world_from_scene = cam_from_scene(first)
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = world_from_scene @ cam_from_scene(viewpoint).T
    pose[:3, 3] = world_from_scene @ (viewpoint.eye - first.eye) / unit - (0, 0, INPUT_DISTANCE)
    intrinsics = intrinsics_from_fov(2 * np.arctan(0.5 * width / focal), width, height)
    return Cameras(world_from_cam=pose[None], intrinsics=intrinsics[None], width=width, height=height)

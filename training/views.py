"""Random views of procedural objects and scenes, with the geometry of the visible and of a hidden surface."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.depth.network import DIRECTIONS
from training import raster
from training.assembly import Assembly
from training.augmentation import combine, vary_proportions
from training.camera_effects import take_photo
from training.imported_assets import retexture
from training.materials import MaterialSampler
from training.object_kinds import make_random_object
from training.renderer import RenderBuffers, cam_from_scene, fit_lens, render_shadow_map, render_view, shares_shadow_map
from training.rotations import unit_direction
from training.scene import ProceduralScene, Viewpoint, centered_lens, daylight
from training.scene_kinds import random_scene
from training.symmetry import find_mirror_planes, plane_distribution
from training.textures import TextureBank, make_texture_bank

OBJECT_VIEW_FRACTION = 0.6
"""Fraction of views that show cut-out objects rather than scenes."""

ASSET_FRACTION = 0.5
"""Fraction of objects that are imported assets, where there are any."""

VARIED_FRACTION, COMBINED_FRACTION = 0.5, 0.1
"""Fractions of assets that are deformed, and that are combined with another one (either may be deformed, too)."""

RETEXTURED_FRACTION = 0.3
"""Fraction of assets that get procedural textures: many have none of their own, and few real objects are so plain."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One image with its ground truth."""

    rgb: UInt8[np.ndarray, "H W 3"]
    """Objects are shown on white."""
    alpha: Float32[np.ndarray, "H W"]
    """Coverage of an object; 1 everywhere in a scene."""
    is_object: bool
    known: Bool[np.ndarray, "H W"]
    """True where there is a surface: on the object, or anywhere but in the sky."""
    front: Float32[np.ndarray, "H W"]
    """Scenes: log depth. Objects: depth minus that of the object's centre, in widths of the frame at that depth."""
    hidden_known: Bool[np.ndarray, "H W"]
    hidden: Float32[np.ndarray, "H W"]
    """The same for the hidden surface: an object's last one, or the first one of another object in a scene."""
    hidden_rgb: UInt8[np.ndarray, "H W 3"]
    planes: Float32[np.ndarray, "37"]
    """Distribution over the object's vertical mirror planes, see `plane_distribution`; 0 in a scene."""
    elevation: float
    """Elevation of the camera above an object in radians; NaN in a scene."""
    kind: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Return height and width."""
        return self.known.shape


class ViewGenerator:
    """Generates views. The same seed and number give the same views, whatever was generated before."""

    def __init__(
        self,
        seed: int,
        *,
        textures: int = 256,
        object_fraction: float = OBJECT_VIEW_FRACTION,
        assets: list[Assembly] | None = None,
        asset_textures: list[np.ndarray] | None = None,
    ) -> None:
        """Textures of the assets are numbered from `textures` on, after the procedural ones."""
        self.seed, self.object_fraction = seed, object_fraction
        self.bank: TextureBank = make_texture_bank(seed, textures, asset_textures)
        self.num_procedural = textures
        self.assets = assets or []

    @classmethod
    def of_assets(cls, assets: list[Assembly], textures: list[np.ndarray]) -> "ViewGenerator":
        """Return a generator of views of assets only, whose textures are numbered from 0."""
        return cls(0, textures=0, assets=assets, asset_textures=textures)

    def views(self, number: int, *, count: int = 8, width: int = 128, height: int = 128) -> list[View]:
        """Return views of one object or scene; fewer than `count` where some show too little."""
        rng = np.random.default_rng((self.seed, number))
        if rng.random() < self.object_fraction:
            return self.object_views(rng, count=count, size=round(np.sqrt(width * height) / 16) * 16)
        scene = random_scene(MaterialSampler(rng=rng, num_textures=len(self.bank)), count)
        return self.scene_views(rng, scene, width=width, height=height)

    def scene_views(self, rng: np.random.Generator, scene: ProceduralScene, *, width: int, height: int) -> list[View]:
        """Return views from a scene's viewpoints, except those right in front of a surface."""
        mesh, lighting = scene.assembly.build(), scene.lighting
        shadows = None
        if shares_shadow_map(mesh, lighting):
            shadows = render_shadow_map(mesh, lighting, scene.viewpoints[0])
        views = []
        for viewpoint in scene.viewpoints:
            lens = centered_lens(viewpoint.focal(max(width, height)), width, height)
            buffers = render_view(
                mesh, lighting, viewpoint, lens, self.bank, rng, width=width, height=height,
                hidden=raster.OTHER_OBJECT, shadows=shadows,
            )  # fmt: skip
            depth = buffers.depth[buffers.known]
            if len(depth) > 0.05 * buffers.known.size and (depth < 0.25).mean() < 0.03 and depth.std() > 1e-3:
                views.append(make_scene_view(buffers, rng, kind=scene.kind))
        return views

    def object_views(self, rng: np.random.Generator, *, count: int, size: int) -> list[View]:
        """Return views of one object from all around, each framed like a cut-out photo."""
        mesh = self.sample_object(rng).build()
        low, high = mesh.bounds
        center, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
        planes = find_mirror_planes(mesh)
        views = []
        for _ in range(count):
            azimuth, elevation = rng.uniform(0, 2 * np.pi), float(np.clip(rng.normal(0.25, 0.2), -0.3, 1.2))
            fov = rng.uniform(0.26, 0.85)
            eye = center + unit_direction(azimuth, elevation) * radius / np.sin(fov / 2)
            viewpoint = Viewpoint(eye=eye, target=center, fov=fov, roll=rng.normal(0, 0.05))
            lens = fit_lens(mesh, viewpoint, size, rng.uniform(0.62, 0.9))
            lighting = daylight(rng)
            buffers = render_view(
                mesh, lighting, viewpoint, lens, self.bank, rng, width=size, height=size, hidden=raster.LAST
            )
            if buffers.known.mean() > 0.03:
                rotation = cam_from_scene(viewpoint)
                views.append(make_object_view(buffers, rng, focal=lens[0], planes=planes, rotation=rotation))
        return views

    def sample_object(self, rng: np.random.Generator) -> Assembly:
        """Return a random asset or procedural object."""
        materials = MaterialSampler(rng=rng, num_textures=len(self.bank))
        if self.num_procedural == 0:
            return self.assets[int(rng.integers(len(self.assets)))]
        if not self.assets or rng.random() >= ASSET_FRACTION:
            return make_random_object(materials)
        if rng.random() < COMBINED_FRACTION:
            return combine(self.sample_asset(materials), self.sample_asset(materials), rng)
        return self.sample_asset(materials)

    def sample_asset(self, materials: MaterialSampler) -> Assembly:
        """Return a random asset, perhaps deformed or with other materials."""
        rng = materials.rng
        asset = self.assets[int(rng.integers(len(self.assets)))]
        asset = vary_proportions(asset, rng) if rng.random() < VARIED_FRACTION else asset
        return retexture(asset, materials) if rng.random() < RETEXTURED_FRACTION else asset


def make_scene_view(buffers: RenderBuffers, rng: np.random.Generator, *, kind: str) -> View:
    """Return a photo of a scene with log depths."""
    state = rng.integers(2**31)
    rgb = take_photo(buffers.linear, np.random.default_rng(state))
    hidden_rgb = take_photo(buffers.hidden_linear, np.random.default_rng(state), exposed_for=buffers.linear)
    return View(
        rgb=rgb,
        alpha=np.ones(rgb.shape[:2], np.float32),
        is_object=False,
        known=buffers.known,
        front=np.log(buffers.depth),
        hidden_known=buffers.hidden_known & buffers.known,
        hidden=np.log(buffers.hidden_depth),
        hidden_rgb=hidden_rgb,
        planes=np.zeros(DIRECTIONS + 1, np.float32),
        elevation=np.nan,
        kind=kind,
    )


def make_object_view(
    buffers: RenderBuffers, rng: np.random.Generator, *, focal: float, planes: np.ndarray, rotation: np.ndarray
) -> View:
    """Return a photo of an object with depths relative to its centre and the frame's width.

    `planes` and `rotation` (camera from scene) are those of `plane_distribution`.
    """
    state = rng.integers(2**31)
    rgb = take_photo(buffers.linear, np.random.default_rng(state), alpha=buffers.alpha)
    hidden_rgb = take_photo(
        buffers.hidden_linear, np.random.default_rng(state), alpha=buffers.alpha, exposed_for=buffers.linear
    )
    known, depth, hidden_depth = buffers.known, buffers.depth, buffers.hidden_depth
    center = 0.5 * (depth[known].min() + hidden_depth[known].max())
    frame_width = center * known.shape[1] / focal
    return View(
        rgb=rgb,
        alpha=buffers.alpha,
        is_object=True,
        known=known,
        front=(depth - center) / frame_width,
        hidden_known=known,
        hidden=(hidden_depth - center) / frame_width,
        hidden_rgb=hidden_rgb,
        planes=plane_distribution(planes, rotation),
        elevation=float(np.arcsin(np.clip(-rotation[2, 1], -1, 1))),
        kind="object",
    )

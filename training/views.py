"""Seeded pictures of made things and places, with the depth of what they show and of what they hide."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.depth.network import DIRECTIONS
from training import raster
from training.imported_assets import redressed
from training.assembly import Composition
from training.renderer import Drawn, cam_from_place, draw, framing_lens, lamp_of, one_lamp
from training.materials import Maker
from training.camera_effects import photographed
from training.scene import Place, Shot, daylight
from training.scene_kinds import PLACES, SHARES
from training.symmetry import mirror_planes, seen_planes
from training.textures import TextureBank, texture_bank
from training.object_kinds import any_thing
from training.augmentation import joined, varied

OBJECT_SHARE_OF_VIEWS = 0.6

SHARE_OF_MODELS = 0.5
"""Of things, where there are models from files."""

SHARE_OF_VARIED, SHARE_OF_JOINED = 0.5, 0.1
"""Of models, of which there are few. What is joined may be varied, too."""

SHARE_OF_REDRESSED = 0.3
"""Of models: their shapes with made textures. Many have none of their own, and few real things are so plain."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One picture and the truth about it."""

    rgb: UInt8[np.ndarray, "H W 3"]
    """An object is seen before white."""
    alpha: Float32[np.ndarray, "H W"]
    """Cover of an object; 1 everywhere in a scene."""
    is_object: bool
    known: Bool[np.ndarray, "H W"]
    """Where there is a surface: an object, or what is not sky."""
    front: Float32[np.ndarray, "H W"]
    """Scenes: log depth. Objects: depth less that of the middle, relative to the frame's width there."""
    hidden_known: Bool[np.ndarray, "H W"]
    hidden: Float32[np.ndarray, "H W"]
    """The same for what is hidden: an object's last surface, or what stands behind the thing seen."""
    hidden_rgb: UInt8[np.ndarray, "H W 3"]
    planes: Float32[np.ndarray, "37"]
    """Directions of the upright planes that an object is its own mirror image in, see `seen_planes`; 0 in a scene."""
    elevation: float
    """Of the camera above an object, radians; NaN in a scene."""
    kind: str


class Studio:
    """Makes views. The same seed and number give the same views, whatever was made before."""

    def __init__(
        self,
        seed: int,
        *,
        textures: int = 256,
        objects: float = OBJECT_SHARE_OF_VIEWS,
        assets: list[Composition] | None = None,
        asset_pictures: list[np.ndarray] | None = None,
    ) -> None:
        """`objects` is their share of the views; `assets` are compositions whose textures come after the made ones."""
        self.seed, self.objects = seed, objects
        self.bank: TextureBank = texture_bank(seed, textures, asset_pictures)
        self.num_made = textures
        self.assets = assets or []

    @classmethod
    def of_models(cls, assets: list[Composition], pictures: list[np.ndarray]) -> "Studio":
        """A studio whose only textures are the models' own, numbered from 0."""
        return cls(0, textures=0, assets=assets, asset_pictures=pictures)

    def views(self, number: int, *, count: int = 8, width: int = 128, height: int = 128) -> list[View]:
        """Views of one made thing or place."""
        rng = np.random.default_rng((self.seed, number))
        if rng.random() < self.objects:
            return self.object_views(rng, count=count, size=round(np.sqrt(width * height) / 16) * 16)
        name = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        place = PLACES[name](Maker(rng=rng, num_textures=len(self.bank)), count)
        return self.place_views(rng, place, width=width, height=height)

    def place_views(self, rng: np.random.Generator, place: Place, *, width: int, height: int) -> list[View]:
        """The shots of a place that are not right before something."""
        world = place.composition.finished()
        lamp = lamp_of(world, place.light, place.shots[0]) if one_lamp(world, place.light) else None
        views = []
        for shot in place.shots:
            focal = 0.5 * max(width, height) / np.tan(shot.fov / 2)
            lens = np.array([focal, focal, width / 2, height / 2])
            drawn = draw(
                world, place.light, shot, lens, self.bank, rng, width=width, height=height,
                hidden=raster.OTHER_THING, lamp=lamp,
            )  # fmt: skip
            depth = drawn.depth[drawn.known]
            if len(depth) > 0.05 * drawn.known.size and (depth < 0.25).mean() < 0.03 and depth.std() > 1e-3:
                views.append(scene_view(drawn, rng, kind=place.kind))
        return views

    def object_views(self, rng: np.random.Generator, *, count: int, size: int) -> list[View]:
        """One thing from all around, each time cut out and framed like a cut-out photo."""
        made = self.thing(rng)
        world = made.finished()
        low, high = world.bounds
        middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
        planes = mirror_planes(world)
        views = []
        for _ in range(count):
            around, up = rng.uniform(0, 2 * np.pi), float(np.clip(rng.normal(0.25, 0.2), -0.3, 1.2))
            fov = rng.uniform(0.26, 0.85)
            direction = np.array([np.sin(around) * np.cos(up), np.sin(up), np.cos(around) * np.cos(up)])
            eye = middle + direction * radius / np.sin(fov / 2)
            shot = Shot(eye=eye, target=middle, fov=fov, roll=rng.normal(0, 0.05))
            lens = framing_lens(world, shot, size, rng.uniform(0.62, 0.9))
            light = daylight(rng)
            drawn = draw(world, light, shot, lens, self.bank, rng, width=size, height=size, hidden=raster.LAST)
            if drawn.known.mean() > 0.03:
                views.append(
                    object_view(drawn, rng, lens=lens, planes=planes, turn=cam_from_place(shot), kind="object")
                )
        return views

    def thing(self, rng: np.random.Generator) -> Composition:
        """A model or a made thing."""
        make = Maker(rng=rng, num_textures=len(self.bank))
        if self.num_made == 0:
            return self.assets[int(rng.integers(len(self.assets)))]
        if not self.assets or rng.random() >= SHARE_OF_MODELS:
            return any_thing(make)
        return joined(self.model(make), self.model(make), rng) if rng.random() < SHARE_OF_JOINED else self.model(make)

    def model(self, make: Maker) -> Composition:
        """A model as it is, in other materials, or of another shape."""
        rng = make.rng
        model = self.assets[int(rng.integers(len(self.assets)))]
        model = varied(model, rng) if rng.random() < SHARE_OF_VARIED else model
        return redressed(model, make) if rng.random() < SHARE_OF_REDRESSED else model


def scene_view(drawn: Drawn, rng: np.random.Generator, *, kind: str) -> View:
    """A scene's picture with log depths."""
    state = rng.integers(2**31)
    rgb = photographed(drawn.linear, np.random.default_rng(state))
    hidden_rgb = photographed(drawn.hidden_linear, np.random.default_rng(state), exposed_for=drawn.linear)
    return View(
        rgb=rgb,
        alpha=np.ones(rgb.shape[:2], np.float32),
        is_object=False,
        known=drawn.known,
        front=np.log(drawn.depth),
        hidden_known=drawn.hidden_known & drawn.known,
        hidden=np.log(drawn.hidden_depth),
        hidden_rgb=hidden_rgb,
        planes=np.zeros(DIRECTIONS + 1, np.float32),
        elevation=np.nan,
        kind=kind,
    )


def object_view(
    drawn: Drawn, rng: np.random.Generator, *, lens: np.ndarray, planes: np.ndarray, turn: np.ndarray, kind: str
) -> View:
    """An object's picture, depths relative to its middle and to the frame; `planes` and `turn` as in `seen_planes`."""
    state = rng.integers(2**31)
    rgb = photographed(drawn.linear, np.random.default_rng(state), alpha=drawn.alpha)
    hidden_rgb = photographed(
        drawn.hidden_linear, np.random.default_rng(state), alpha=drawn.alpha, exposed_for=drawn.linear
    )
    middle = 0.5 * (drawn.depth[drawn.known].min() + drawn.hidden_depth[drawn.known].max())
    frame = middle * drawn.known.shape[1] / lens[0]
    return View(
        rgb=rgb,
        alpha=drawn.alpha,
        is_object=True,
        known=drawn.known,
        front=((drawn.depth - middle) / frame),
        hidden_known=drawn.known,
        hidden=((drawn.hidden_depth - middle) / frame),
        hidden_rgb=hidden_rgb,
        planes=seen_planes(planes, turn),
        elevation=float(np.arcsin(np.clip(-turn[2, 1], -1, 1))),
        kind=kind,
    )

"""Clips of the kinds that video generators make, with true cameras: what they show is not always rigid or unambiguous.

Each kind is a recipe for one clip from a seed. What moves by itself is rendered apart and put into the picture by its
depth. Where the camera stands still the true cameras are all equal, so that no estimate of its motion is right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from evaluation.assets import TexturedMesh, mesh_from_scene, normalize_mesh, scale_and_translate
from evaluation.placement import azimuth_rotation, square_cameras
from evaluation.procedural import procedural_object, procedural_room, with_random_texture
from evaluation.rendering import RenderedViews, render_asset, stack_renders
from img2world.core.camera_paths import look_at, on_sphere
from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.rotation import rotation_about

RADIUS = 0.25
"""Radius of an object's bounding sphere from a distance of 1, at which it stays in the frame all around."""

NUM_FRAMES = 21
"""Frames that models of orbits generate."""

SHAKE_DEG = 0.4
"""Standard deviation by which a hand shakes a camera, about each axis."""

MOVING_PERCENT = (5, 15, 30, 60)
"""Percentages of the picture that passers-by cover, about."""


@dataclass(frozen=True, kw_only=True)
class GeneratedClip:
    """A clip before degradation, and the truth about it."""

    frames: Frames
    cameras: Cameras
    moving: Bool[np.ndarray, "V H W"] | None = None
    """Pixels that show something which moves by itself; None where nothing does."""


def make_clip(kind: str, seed: int, size: int) -> GeneratedClip:
    """Return the clip of a kind and a seed. Raises KeyError for an unknown kind."""
    return KINDS[kind](np.random.default_rng([seed, len(kind), sum(kind.encode())]), seed, size)


def _clip(views: RenderedViews, moving: Bool[np.ndarray, "V H W"] | None = None) -> GeneratedClip:
    """Return the clip that renders make; in a room nothing is transparent."""
    alpha = None if views.alpha.min() == 255 else views.alpha
    frames = Frames(rgb=views.rgb, alpha=alpha, times=np.arange(len(views.rgb)) / 8.0)
    return GeneratedClip(frames=frames, cameras=views.cameras, moving=moving)


def _orbit_cameras(rng: np.random.Generator, azimuths: Float[np.ndarray, "V"], size: int) -> Cameras:
    """Return cameras around the origin, at one random elevation and with a random lens."""
    # A longer lens shows the object in the same size, from farther away.
    fov, elevation = np.radians(rng.uniform(26, 42)), np.radians(rng.uniform(-5, 22))
    distance = np.tan(np.radians(17)) / np.tan(fov / 2)
    return square_cameras(on_sphere(azimuths, np.full(len(azimuths), elevation), distance), float(fov), size)


def _azimuths(arc_deg: float, rng: np.random.Generator) -> Float[np.ndarray, "V"]:
    """Return even steps over an arc, around the circle without its end where it is closed, in a random direction."""
    steps = np.arange(NUM_FRAMES) / (NUM_FRAMES if arc_deg >= 360 else NUM_FRAMES - 1)
    return rng.choice([-1.0, 1.0]) * np.radians(arc_deg) * steps


def _object(seed: int) -> TexturedMesh:
    return normalize_mesh(procedural_object(seed), RADIUS)


def _rigid(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    return _clip(render_asset(_object(seed), _orbit_cameras(rng, _azimuths(360.0, rng), size)))


def _arc(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    arc = float(rng.choice([80.0, 140.0, 220.0]))
    return _clip(render_asset(_object(seed), _orbit_cameras(rng, _azimuths(arc, rng), size)))


def _swing(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    """Return a camera that goes there and back again, as a loop of an arc does."""
    phase = 2 * np.pi * np.arange(NUM_FRAMES) / NUM_FRAMES
    azimuths = np.radians(rng.uniform(40, 90)) * (np.sin(phase) if seed % 2 else 0.5 * (1 - np.cos(phase)))
    return _clip(render_asset(_object(seed), _orbit_cameras(rng, azimuths, size)))


def _repeated_around(mesh: TexturedMesh, copies: int) -> list[TexturedMesh]:
    """Return copies of a mesh, turned evenly about the vertical."""
    return [mesh.transformed(azimuth_rotation(2 * np.pi * k / copies)) for k in range(copies)]


def _symmetric(rng: np.random.Generator, seed: int, size: int, copies: int | None = None) -> GeneratedClip:
    """Return an orbit of something that looks alike from several sides."""
    copies = int(rng.integers(3, 7)) if copies is None else copies
    side = normalize_mesh(procedural_object(seed), 0.6 * RADIUS)
    side = side.transformed(scale_and_translate(1.0, np.array([0.0, 0.0, -0.35 * RADIUS])))
    cameras = _orbit_cameras(rng, _azimuths(360.0, rng), size)
    return _clip(_composite([render_asset(each, cameras) for each in _repeated_around(side, copies)]))


def _two_fronts(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    return _symmetric(rng, seed, size, copies=2)


def make_janus_clip(seed: int, size: int) -> GeneratedClip:
    """Return an orbit of what a generator with the Janus problem makes: a front, and the same front as its back.

    The halves are reliefs, flat where they meet, so that the sides are those of neither.
    """
    rng, mesh = np.random.default_rng([seed, 7]), _object(seed)
    relief = replace(mesh, vertices=np.minimum(mesh.vertices, np.array([np.inf, np.inf, 0.0])).astype(np.float32))
    cameras = _orbit_cameras(rng, _azimuths(360.0, rng), size)
    return _clip(_composite([render_asset(each, cameras) for each in _repeated_around(relief, 2)]))


def _vase(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    """Return an orbit of a solid of revolution, whose outline never changes."""
    import trimesh

    heights = np.linspace(-0.5, 0.5, 25)
    radii = 0.3 + 0.1 * np.sin(heights * rng.uniform(4, 9) + rng.uniform(0, 6))
    outline = np.stack([np.r_[0, radii, 0], np.r_[heights[0], heights, heights[-1]]], 1)
    body = trimesh.creation.revolve(outline, sections=64)
    body.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0]))
    mesh = normalize_mesh(mesh_from_scene(trimesh.Scene([with_random_texture(body, rng)])), RADIUS)
    return _clip(render_asset(mesh, _orbit_cameras(rng, _azimuths(360.0, rng), size)))


def _soft(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    """Return an orbit of something whose shape drifts from frame to frame."""
    mesh, cameras = _object(seed), _orbit_cameras(rng, _azimuths(360.0, rng), size)
    shapes = _drifting(mesh, rng, 0.05 * RADIUS, periods=1.0)
    return _clip(stack_renders([render_asset(shape, cameras.select([i])) for i, shape in enumerate(shapes)]))


def _breathing(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    """Return a subject whose shape changes in front of a camera that stands still."""
    shapes = _drifting(_object(seed), rng, 0.25 * RADIUS, periods=1.0)
    cameras = _orbit_cameras(rng, np.zeros(NUM_FRAMES), size)
    return _still(stack_renders([render_asset(shape, cameras.select([i])) for i, shape in enumerate(shapes)]))


def _drifting(mesh: TexturedMesh, rng: np.random.Generator, amount: float, periods: float) -> list[TexturedMesh]:
    """Return the mesh at each time, displaced by smooth waves."""
    waves, phases = rng.normal(size=(3, 3)) / RADIUS, rng.uniform(0, 6, 3)
    times = 2 * np.pi * periods * np.arange(NUM_FRAMES) / NUM_FRAMES
    offsets = [amount * np.sin(mesh.vertices @ waves.T + phases + time) for time in times]
    return [replace(mesh, vertices=(mesh.vertices + offset).astype(np.float32)) for offset in offsets]


def _sails(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    """Return an orbit of something of which a part turns by itself, as the sails of a windmill."""
    arc = float(rng.choice([60.0, 120.0, 360.0]))
    return _turning_part(rng, seed, _orbit_cameras(rng, _azimuths(arc, rng), size))


def _still_sails(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    """Return the same before a camera that stands still."""
    return _turning_part(rng, seed, _orbit_cameras(rng, np.full(NUM_FRAMES, rng.uniform(-0.6, 0.6)), size))


def _turning_part(rng: np.random.Generator, seed: int, cameras: Cameras) -> GeneratedClip:
    """Return a body in front of which four blades turn by a third of a turn."""
    import trimesh

    body = _object(seed).transformed(scale_and_translate(0.9, np.array([0.0, 0.1 * RADIUS, 0.0])))
    blades = [trimesh.creation.box(extents=(1.0, 0.22, 0.03)) for _ in range(2)]
    blades[1].apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 0, 1]))
    sails = mesh_from_scene(trimesh.Scene([with_random_texture(blade, rng) for blade in blades]))
    sails = normalize_mesh(sails, 0.8 * RADIUS)
    turns = np.linspace(0, 2 * np.pi / 3, NUM_FRAMES)
    place = scale_and_translate(1.0, np.array([0.0, -0.2 * RADIUS, -0.75 * RADIUS]))
    parts = [
        render_asset(sails.transformed(place @ _rotation((0.0, 0.0, 1.0), turn)), cameras.select([i]))
        for i, turn in enumerate(turns)
    ]
    return _with_moving(render_asset(body, cameras), stack_renders(parts))


def _walking(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    """Return a figure with swinging limbs that walks on the spot, turns a little, before a still camera."""
    cameras = _orbit_cameras(rng, np.full(NUM_FRAMES, rng.uniform(-0.8, 0.8)), size)
    return _still(_figure(rng, seed, cameras, advance=rng.uniform(0.0, 0.4) * RADIUS))


def _figure(rng: np.random.Generator, seed: int, cameras: Cameras, *, advance: float) -> RenderedViews:
    """Return renders of a figure at each time; it advances by a distance along its own front."""
    import trimesh

    def limb(length: float, width: float) -> TexturedMesh:
        bar = trimesh.creation.capsule(length, width)
        bar.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
        bar.apply_translation([0, -bar.bounds[1, 1], 0])
        mesh = mesh_from_scene(trimesh.Scene([with_random_texture(bar, rng)]))
        return mesh.transformed(scale_and_translate(RADIUS, np.zeros(3)))

    body = normalize_mesh(procedural_object(seed), 0.55 * RADIUS)
    body = body.transformed(scale_and_translate(1.0, np.array([0.0, -0.35 * RADIUS, 0.0])))
    places = [(side * 0.25 * RADIUS, hip, 0.0) for side in (-1, 1) for hip in (-0.55 * RADIUS, 0.0)]
    limbs = [limb(0.55, 0.11) for _ in places]
    views = []
    for i in range(NUM_FRAMES):
        time = i / (NUM_FRAMES - 1)
        forward = scale_and_translate(1.0, np.array([advance * (time - 0.5), 0.02 * np.sin(20 * time), 0.0]))
        swing = 0.7 * np.sin(2 * np.pi * 1.5 * time)
        swings = (swing, -swing, -swing, swing)
        parts = [body.transformed(forward)] + [
            each.transformed(
                forward @ scale_and_translate(1.0, np.array(place)) @ _rotation((0.0, 0.0, 1.0), float(angle))
            )
            for each, place, angle in zip(limbs, places, swings, strict=True)
        ]
        views.append(_composite([render_asset(part, cameras.select([i])) for part in parts]))
    return stack_renders(views)


def _walk(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    return _clip(render_asset(procedural_room(seed), _walk_cameras(rng, size)))


def _walk_cameras(rng: np.random.Generator, size: int, *, still: bool = False) -> Cameras:
    """Return a hand-held camera that moves sideways through a room and keeps looking at its middle."""
    side = np.zeros(NUM_FRAMES) if still else rng.choice([-1.0, 1.0]) * np.linspace(-0.7, 0.7, NUM_FRAMES)
    ahead = np.zeros(NUM_FRAMES) if still else rng.uniform(-0.3, 0.5) * np.linspace(0, 1, NUM_FRAMES)
    poses = []
    for x, z in zip(side, ahead, strict=True):
        pose = look_at(np.array([x, 0.0, z]), np.array([0.0, 0.1, 3.0]))
        for axis in np.eye(3) if not still else ():
            pose[:3, :3] = pose[:3, :3] @ rotation_about(axis, float(np.radians(SHAKE_DEG) * rng.normal()))
        poses.append(pose)
    return square_cameras(np.stack(poses).astype(np.float32), float(np.radians(rng.uniform(50, 65))), size)


def _passer_by(percent: int) -> Callable[[np.random.Generator, int, int], GeneratedClip]:
    """Return a recipe: someone who covers a percentage of the picture passes through a room, filmed by hand."""

    def make(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
        return _with_passer_by(rng, seed, _walk_cameras(rng, size), percent)

    return make


def _still_room(rng: np.random.Generator, seed: int, size: int) -> GeneratedClip:
    """Return someone who passes through a room before a camera that stands still."""
    return _with_passer_by(rng, seed, _walk_cameras(rng, size, still=True), int(rng.choice(MOVING_PERCENT[1:])))


def _with_passer_by(rng: np.random.Generator, seed: int, cameras: Cameras, percent: int) -> GeneratedClip:
    """Return a room through which an object moves, bobs and turns."""
    focal = cameras.intrinsics[0, 0, 0] / cameras.width
    distance = 1.6
    # An object fills a bit over half of the disc of its bounding sphere.
    radius = distance * np.sqrt(percent / 100 / (0.55 * np.pi)) / focal
    mesh = normalize_mesh(procedural_object(seed + 50), float(radius))
    reach, parts = 0.35 * distance / focal * rng.choice([-1.0, 1.0]), []
    for i in range(NUM_FRAMES):
        time = i / (NUM_FRAMES - 1)
        center = np.array([reach * (2 * time - 1), 0.15 + 0.05 * np.sin(9 * time), distance + 0.3 * np.sin(4 * time)])
        turned = mesh.transformed(_rotation((0.0, 1.0, 0.0), 0.8 * time))
        parts.append(render_asset(turned.transformed(scale_and_translate(1.0, center)), cameras.select([i])))
    return _with_moving(render_asset(procedural_room(seed), cameras), stack_renders(parts))


def _rotation(axis: tuple[float, float, float], angle: float) -> Float[np.ndarray, "4 4"]:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_about(np.array(axis), angle)
    return matrix


def _still(views: RenderedViews) -> GeneratedClip:
    """Return the clip of a still camera, of which everything that is not background moves."""
    return _clip(views, views.alpha > 127)


def _with_moving(still: RenderedViews, moving: RenderedViews) -> GeneratedClip:
    """Return the clip that shows both, and where the moving one is in front."""
    in_front = (moving.alpha > 127) & ((still.depth == 0) | (moving.depth < still.depth))
    return _clip(_composite([still, moving]), in_front)


def _composite(layers: Sequence[RenderedViews]) -> RenderedViews:
    """Return renders from the same cameras in one picture, the nearest surface in front."""
    result = layers[0]
    for layer in layers[1:]:
        known, covered = layer.depth > 0, result.depth > 0
        front = known & (~covered | (layer.depth < result.depth))
        # At its outline what is in front is blended; white is the background of both.
        share = np.where(front | ~covered, layer.alpha / 255.0, 0.0)[..., None]
        behind = result.rgb.astype(np.float64)
        own = layer.rgb.astype(np.float64) - 255 * (1 - layer.alpha[..., None] / 255.0)
        blended = np.where(share > 0, own + (1 - share) * behind, behind)
        result = replace(
            result,
            rgb=np.round(blended.clip(0, 255)).astype(np.uint8),
            alpha=np.maximum(result.alpha, layer.alpha),
            depth=np.where(front, layer.depth, result.depth),
        )
    return result


KINDS: dict[str, Callable[[np.random.Generator, int, int], GeneratedClip]] = {
    "rigid": _rigid,
    "arc": _arc,
    "swing": _swing,
    "symmetric": _symmetric,
    "two fronts": _two_fronts,
    "vase": _vase,
    "soft": _soft,
    "sails": _sails,
    "walk": _walk,
    **{f"passer-by {percent} %": _passer_by(percent) for percent in MOVING_PERCENT},
    "still, sails": _still_sails,
    "still, breathing": _breathing,
    "still, walking": _walking,
    "still, room": _still_room,
}
"""How to make a clip of each kind, from a random generator, a seed and a size in pixels."""

"""Make the video of a walk as a phone records it: `python benchmarks/walk_video.py FOLDER --seconds 60`.

A room of textured boxes, drawn by homographies: 4K held upright (rotation metadata), 30 frames a second, blurred by the
camera's own motion, with hand shake, pauses, jerks, sensor noise and changes of exposure. The cameras of the upright
frames (world_from_cam [V, 4, 4]) and the length of the blur in pixels are written beside it as truth.npz.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from training.textures import random_texture

RATE, SHUTTER = 30, 0.5
WIDTH, HEIGHT, FOCAL = 3840, 2160, 2900.0
"""The stored frame; it is shown after a quarter turn."""

RENDERED = 0.5
"""Fraction of the size at which the room is drawn; the noise has the full size."""


def big_texture(rng: np.random.Generator) -> list[np.ndarray]:
    """Return a texture of 2048 pixels with fine detail, and its mipmaps."""
    tiles = [[random_texture(rng) for _ in range(4)] for _ in range(4)]
    picture = cv2.resize(np.vstack([np.hstack(row) for row in tiles]), (2048, 2048), interpolation=cv2.INTER_CUBIC)
    for _ in range(500):
        x, y = rng.integers(0, 2048, 2).tolist()
        color = rng.integers(0, 255, 3).tolist()
        size = int(rng.exponential(18)) + 3
        cv2.rectangle(picture, (x, y), (x + size, y + int(size * rng.uniform(0.3, 2))), color, int(rng.integers(-1, 4)))
        cv2.putText(picture, chr(33 + int(rng.integers(90))), (y, x), 0, size / 20, color, 2, cv2.LINE_AA)
    levels = [picture]
    while levels[-1].shape[0] > 64:
        levels.append(cv2.pyrDown(levels[-1]))
    return levels


def box_faces(low: np.ndarray, high: np.ndarray, *, inward: bool) -> list[np.ndarray]:
    """Return the faces of a box as origin, first side, second side and outward normal [4, 3]."""
    faces = []
    for axis in range(3):
        for side in (0, 1):
            u, v = np.eye(3)[(axis + 1) % 3] * (high - low), np.eye(3)[(axis + 2) % 3] * (high - low)
            origin = low + np.eye(3)[axis] * (high - low) * side
            normal = np.eye(3)[axis] * (1 if side else -1) * (-1 if inward else 1)
            faces.append(np.stack([origin, u, v, normal]))
    return faces


class Room:
    """A room with boxes in it; +Y is down."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.walls = box_faces(np.array([-6.0, -2.8, -5.0]), np.array([6.0, 0.0, 5.0]), inward=True)
        self.boxes = []
        for i in range(14):
            angle, far = i / 14 * 2 * np.pi, rng.uniform(2.2, 3.6)
            centre = np.array([far * 1.3 * np.cos(angle), 0, far * np.sin(angle)])
            half = np.array([rng.uniform(0.2, 0.5), 0, rng.uniform(0.2, 0.5)])
            self.boxes.append(box_faces(centre - half - [0, rng.uniform(0.5, 2.0), 0], centre + half, inward=False))
        self.textures = [big_texture(rng) for _ in range(len(self.walls) + len(self.boxes))]

    def render(self, rotation: np.ndarray, eye: np.ndarray, scale: float) -> np.ndarray:
        """Return the picture [H, W, 3] of a camera (cam_from_world rotation) at a fraction of the full size."""
        width, height = round(WIDTH * scale), round(HEIGHT * scale)
        intrinsics = np.array([[FOCAL * scale, 0, width / 2], [0, FOCAL * scale, height / 2], [0, 0, 1.0]])
        canvas = np.zeros((height, width, 3), np.uint8)
        order = sorted(range(len(self.boxes)), key=lambda i: -np.linalg.norm(self.boxes[i][0][:1].mean(0) - eye))
        for i, face in enumerate(self.walls):
            self.draw(canvas, face, self.textures[i], rotation, eye, intrinsics)
        for i in order:
            for face in self.boxes[i]:
                self.draw(canvas, face, self.textures[len(self.walls) + i], rotation, eye, intrinsics)
        return canvas

    def draw(
        self,
        canvas: np.ndarray,
        face: np.ndarray,
        levels: list[np.ndarray],
        rotation: np.ndarray,
        eye: np.ndarray,
        intrinsics: np.ndarray,
    ) -> None:
        """Draw one face over what lies behind it."""
        origin, u, v, normal = face
        if (eye - origin) @ normal <= 0:
            return
        corners = (np.array([origin, origin + u, origin + u + v, origin + v]) - eye) @ rotation.T
        polygon = clip_near(corners)
        if len(polygon) < 3:
            return
        pixels = polygon @ intrinsics.T
        pixels = (pixels[:, :2] / pixels[:, 2:]).clip(-30000, 30000)
        height, width = canvas.shape[:2]
        x0, y0 = np.floor(pixels.min(0)).clip(0, [width, height]).astype(int)
        x1, y1 = np.ceil(pixels.max(0)).clip(0, [width, height]).astype(int)
        if x1 - x0 < 1 or y1 - y0 < 1:
            return
        area = abs(float(cv2.contourArea(pixels.clip(-width, 2 * width).astype(np.float32))))
        level = int(np.clip(np.floor(np.log2(2048 / max(np.sqrt(area), 1))), 0, len(levels) - 1))
        texture = levels[level]
        side = texture.shape[0]
        plane = np.stack([u / side, v / side, origin - eye], 1)
        homography = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1.0]]) @ intrinsics @ rotation @ plane
        size = (int(x1 - x0), int(y1 - y0))
        warped = cv2.warpPerspective(texture, homography, size, borderMode=cv2.BORDER_REFLECT)
        mask = np.zeros(warped.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, ((pixels - [x0, y0]) * 16).round().astype(np.int32), 255, cv2.LINE_8, 4)
        shade = 0.55 + 0.45 * abs(float(normal @ np.array([0.36, 0.48, 0.8])))
        cv2.copyTo(cv2.convertScaleAbs(warped, alpha=shade), mask, canvas[y0:y1, x0:x1])


def clip_near(corners: np.ndarray, near: float = 0.05) -> np.ndarray:
    """Return the part of a polygon in camera space that lies in front of the camera."""
    kept = []
    for a, b in zip(corners, np.roll(corners, -1, 0), strict=True):
        if a[2] > near:
            kept.append(a)
        if (a[2] > near) != (b[2] > near):
            kept.append(a + (b - a) * (near - a[2]) / (b[2] - a[2]))
    return np.array(kept)


def smooth_noise(rng: np.random.Generator, seconds: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return knots in time and normal values [K, 3] between which motion is interpolated."""
    knots = np.arange(-2 * step, seconds + 3 * step, step)
    return knots, rng.standard_normal((len(knots), 3))


class Walk:
    """The motion of the camera in time."""

    def __init__(self, seconds: float, seed: int) -> None:
        from scipy.interpolate import CubicSpline

        rng = np.random.default_rng(seed)
        self.seconds = seconds
        sizes = {0.9: 0.035, 0.13: 0.006}  # Radians of slow and of quick trembling.
        self.shake = [(CubicSpline(*smooth_noise(rng, seconds, step)), size) for step, size in sizes.items()]
        speed_at = np.arange(0, seconds + 2, 0.1)
        speed = np.ones_like(speed_at)
        for start in np.arange(9, seconds, 17):
            speed[(speed_at > start) & (speed_at < start + 3)] = 0.02
        speed = np.convolve(speed, np.ones(9) / 9, "same")
        self.progress = CubicSpline(speed_at, np.cumsum(speed) / speed[speed_at < seconds].sum())
        self.jerks = rng.uniform(1, seconds - 1, max(2, int(seconds / 4)))

    def camera(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the rotation (cam_from_world) and the place of the camera."""
        angle = 2 * np.pi * float(self.progress(time))
        eye = np.array([2.0 * np.cos(angle), -1.55, 1.4 * np.sin(angle)])
        eye[1] += 0.025 * np.sin(2 * np.pi * 1.8 * time)
        yaw, pitch, roll = np.array([angle, 0.08, 0.0]) + sum(size * spline(time) for spline, size in self.shake)
        for jerk in self.jerks:
            yaw += 0.22 * np.exp(-(((time - jerk) / 0.16) ** 2))
        forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(pitch), np.sin(yaw) * np.cos(pitch)])
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        right, down = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
        # The phone is held upright: its sensor lies a quarter turn counter-clockwise.
        return np.stack([down, -right, forward]), eye

    def exposure(self, time: float) -> float:
        """Return the brightness, which the camera changes as it sees darker and lighter parts."""
        return 0.85 + 0.25 * np.sin(2 * np.pi * time / 13) + (0.25 if int(time / 7) % 3 == 1 else 0.0)


def blur_length(walk: Walk, time: float) -> float:
    """Return the median length in pixels of the paths of points 2.5 m away while the shutter is open."""
    grid = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 5), np.linspace(-0.3, 0.3, 4)), -1).reshape(-1, 2)
    start_rotation, start_eye = walk.camera(time)
    points = np.hstack([grid * 2.5, np.full((len(grid), 1), 2.5)]) @ start_rotation + start_eye
    ends = []
    for moment in (time, time + SHUTTER / RATE):
        rotation, eye = walk.camera(moment)
        seen = (points - eye) @ rotation.T
        ends.append(seen[:, :2] / seen[:, 2:] * FOCAL)
    return float(np.median(np.linalg.norm(ends[1] - ends[0], axis=1)))


def frames_of(room: Room, walk: Walk, truth: dict[str, list]) -> Iterator[np.ndarray]:
    """Yield the frames, and note the truth of each."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 2.5, (HEIGHT + 64, WIDTH + 64, 1)).astype(np.int16)
    for i in range(round(walk.seconds * RATE)):
        time = i / RATE
        blur = blur_length(walk, time)
        count = int(np.clip(np.ceil(blur / 6), 1, 8))
        total = np.zeros((round(HEIGHT * RENDERED), round(WIDTH * RENDERED), 3), np.uint16)
        for moment in time + (np.arange(count) + 0.5) / count * SHUTTER / RATE:
            total += room.render(*walk.camera(moment), RENDERED)
        picture = cv2.convertScaleAbs(total, alpha=walk.exposure(time) / count)
        picture = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        x, y = rng.integers(0, 64, 2)
        picture = cv2.add(picture, np.repeat(noise[y : y + HEIGHT, x : x + WIDTH], 3, 2), dtype=cv2.CV_8U)
        (down, left, forward), eye = walk.camera(time + SHUTTER / RATE / 2)
        truth["blur"].append(blur)
        # Of the picture as it is shown, upright.
        pose = np.eye(4)
        pose[:3] = np.stack([-left, down, forward, eye], 1)
        truth["world_from_cam"].append(pose)
        yield picture


ENCODERS = {
    "h264": ("libx264", {"preset": "superfast", "bf": "0", "g": "30", "crf": "21"}),
    "hevc": ("libx265", {"preset": "ultrafast", "crf": "24", "x265-params": "log-level=none:bframes=0:keyint=30"}),
}


def main() -> None:
    """Write h264.mp4, hevc.mp4 and truth.npz."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--codecs", nargs="+", default=list(ENCODERS), choices=list(ENCODERS))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    outputs = []
    for name in args.codecs:
        codec, options = ENCODERS[name]
        container = av.open(str(args.folder / f"{name}.mp4"), "w")
        stream = cast(VideoStream, container.add_stream(codec, rate=RATE, options=options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.set_display_rotation(270)
        outputs.append((container, stream))
    truth: dict[str, list] = {"blur": [], "world_from_cam": []}
    for picture in frames_of(Room(args.seed), Walk(args.seconds, args.seed), truth):
        frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
        for container, stream in outputs:
            container.mux(stream.encode(frame))
        if len(truth["blur"]) % 100 == 0:
            print(len(truth["blur"]), "frames", flush=True)
    for container, stream in outputs:
        container.mux(stream.encode())
        container.close()
    np.savez(args.folder / "truth.npz", blur=np.array(truth["blur"]), world_from_cam=np.array(truth["world_from_cam"]))


if __name__ == "__main__":
    main()

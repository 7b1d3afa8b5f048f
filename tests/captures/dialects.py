"""Writers of posed datasets in the dialects of other tools, each by the tool's own conventions, written out by hand.

The truth is a world with +Y down and poses `world_from_cam` with OpenCV's axes (+X right, +Y down, +Z forward).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from scipy.spatial.transform import Rotation

Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Rows: where x, y and z of a +Z up world are in the true world: z is up, which is -y there."""
Y_UP = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])


@dataclass(frozen=True, kw_only=True)
class Truth:
    rgb: np.ndarray
    poses: np.ndarray
    """World from camera [V, 4, 4]."""
    matrix: np.ndarray
    """Intrinsics [3, 3]."""
    points: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.rgb.shape[2], self.rgb.shape[1]

    def pixels(self) -> np.ndarray:
        """Pixels [V, P, 2] of the points."""
        return np.stack([project(self.points, pose, self.matrix) for pose in self.poses])


def project(points: np.ndarray, world_from_cam: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    in_cam = (points - world_from_cam[:3, 3]) @ world_from_cam[:3, :3]
    flat = in_cam @ matrix.T
    return flat[:, :2] / flat[:, 2:]


def look_at(center: np.ndarray) -> np.ndarray:
    """A camera at `center` that looks at the origin, in a world with +Y down."""
    forward = -center / np.linalg.norm(center)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = center
    return pose


def some_truth(count: int = 5, size: tuple[int, int] = (96, 64)) -> Truth:
    """Noise pictures from cameras on an arc above the ground."""
    random = np.random.default_rng(3)
    angles = np.linspace(-0.5, 0.7, count)
    centers = [np.array([3 * np.sin(a), -0.8 - 0.2 * a, -3 * np.cos(a)]) for a in angles]
    return Truth(
        rgb=random.integers(0, 255, (count, size[1], size[0], 3), dtype=np.uint8),
        poses=np.stack([look_at(center) for center in centers]),
        matrix=np.array([[80.0, 0, 50], [0, 82.0, 31], [0, 0, 1]]),
        points=random.uniform(-0.6, 0.6, (40, 3)),
    )


def opengl(pose: np.ndarray, world: np.ndarray) -> np.ndarray:
    """A pose in another world, with the columns right, up and backward."""
    right, down, forward, center = pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3]
    matrix = np.eye(4)
    matrix[:3] = np.stack([world @ right, -(world @ down), -(world @ forward), world @ center], 1)
    return matrix


def save_pictures(folder: Path, truth: Truth, names: list[str]) -> None:
    for name, rgb in zip(names, truth.rgb, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(rgb).save(folder / name)


def write_ply(path: Path, points: np.ndarray) -> None:
    names = ["property float x", "property float y", "property float z"]
    names += ["property uchar red", "property uchar green", "property uchar blue"]
    rows = "".join(f"{x!r} {y!r} {z!r} 10 20 30\n" for x, y, z in points.tolist())
    path.write_text(
        "\n".join(["ply", "format ascii 1.0", f"element vertex {len(points)}", *names, "end_header"]) + "\n" + rows
    )


def write_nerfstudio(folder: Path, truth: Truth, *, shared: bool = True, **extra) -> Path:
    """ns-process-data: +Z up, intrinsics shared or per frame, points in a PLY file of the same world."""
    names = [f"images/frame_{i + 1:05d}.png" for i in range(len(truth.rgb))]
    save_pictures(folder, truth, names)
    write_ply(folder / "sparse_pc.ply", truth.points @ Z_UP.T)
    (width, height), k = truth.size, truth.matrix
    lens = {"w": width, "h": height, "fl_x": k[0, 0], "fl_y": k[1, 1], "cx": k[0, 2], "cy": k[1, 2]}
    frames = [
        {"file_path": name, "transform_matrix": opengl(pose, Z_UP).tolist(), **({} if shared else lens)}
        for name, pose in zip(names, truth.poses, strict=True)
    ]
    table = {"camera_model": "OPENCV", **(lens if shared else {}), "ply_file_path": "sparse_pc.ply", **extra}
    return write_table(folder, {**table, "frames": frames})


def write_table(folder: Path, table: dict, name: str = "transforms.json") -> Path:
    (folder / name).write_text(json.dumps(table))
    return folder


def edit_table(folder: Path, change, name: str = "transforms.json") -> None:
    """Change a JSON file in place."""
    table = json.loads((folder / name).read_text())
    change(table)
    write_table(folder, table, name)


def write_ngp(folder: Path, truth: Truth) -> Path:
    """colmap2nerf.py: ./images/…, camera_angle_x beside fl_x, k1 of 0, frames in any order."""
    write_nerfstudio(folder, truth)

    def change(table: dict) -> None:
        del table["camera_model"]
        table |= {"camera_angle_x": 1.0, "k1": 0, "k2": 0, "p1": 0, "p2": 0, "aabb_scale": 16, "is_fisheye": False}
        for frame in table["frames"]:
            frame |= {"file_path": "./" + frame["file_path"], "sharpness": 30.0}
        table["frames"] = table["frames"][2:] + table["frames"][:2]

    edit_table(folder, change)
    return folder


def write_blender(folder: Path, truth: Truth) -> Path:
    """NeRF-synthetic: one field of view, centred, square pixels, names without suffix, no size."""
    names = [f"train/r_{i}.png" for i in range(len(truth.rgb))]
    save_pictures(folder, truth, names)
    angle = 2 * np.arctan(truth.size[0] / 2 / truth.matrix[0, 0])
    frames = [
        {"file_path": f"./train/r_{i}", "rotation": 0.01, "transform_matrix": opengl(pose, Z_UP).tolist()}
        for i, pose in enumerate(truth.poses)
    ]
    write_table(folder, {"camera_angle_x": angle, "frames": frames[:1]}, "transforms_test.json")
    return write_table(folder, {"camera_angle_x": angle, "frames": frames}, "transforms_train.json")


def write_colmap(folder: Path, truth: Truth, *, binary: bool = False, model: str = "PINHOLE", params=None) -> Path:
    """cameras, images and points3D: camera from world, wxyz; each point is seen by all images."""
    import pycolmap

    names = [f"IMG_{i}.png" for i in range(len(truth.rgb))]
    save_pictures(folder / "images", truth, names)
    sparse = folder / "sparse" / "0"
    sparse.mkdir(parents=True)
    (width, height), k = truth.size, truth.matrix
    params = [k[0, 0], k[1, 1], k[0, 2], k[1, 2]] if params is None else params
    (sparse / "cameras.txt").write_text(f"1 {model} {width} {height} {' '.join(map(repr, map(float, params)))}\n")
    lines, pixels = [], truth.pixels()
    for i, pose in enumerate(truth.poses):
        rotation = pose[:3, :3].T
        x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
        tx, ty, tz = (-rotation @ pose[:3, 3]).tolist()
        lines.append(f"{i + 1} {w!r} {x!r} {y!r} {z!r} {tx!r} {ty!r} {tz!r} 1 {names[i]}")
        lines.append(" ".join(f"{u!r} {v!r} {j + 1}" for j, (u, v) in enumerate(pixels[i].tolist())))
    (sparse / "images.txt").write_text("\n".join(lines) + "\n")
    tracks = [" ".join(f"{i + 1} {j}" for i in range(len(truth.poses))) for j in range(len(truth.points))]
    rows = [f"{j + 1} {x!r} {y!r} {z!r} 10 20 30 0.5 {tracks[j]}" for j, (x, y, z) in enumerate(truth.points.tolist())]
    (sparse / "points3D.txt").write_text("\n".join(rows) + "\n")
    if binary:
        pycolmap.Reconstruction(sparse).write_binary(sparse)
        for path in sparse.glob("*.txt"):
            path.unlink()
    return folder


def write_polycam(folder: Path, truth: Truth) -> Path:
    """keyframes: ARKit's +Y up world, a file of camera for each picture, named by its time."""
    names = [f"keyframes/images/{1000 + 37 * i}.jpg" for i in range(len(truth.rgb))]
    save_pictures(folder, truth, names)
    cameras = folder / "keyframes" / "cameras"
    cameras.mkdir()
    (width, height), k = truth.size, truth.matrix
    for name, pose in zip(names, truth.poses, strict=True):
        matrix = opengl(pose, Y_UP)
        row = {f"t_{i}{j}": matrix[i, j] for i in range(3) for j in range(4)}
        row |= {"fx": k[0, 0], "fy": k[1, 1], "cx": k[0, 2], "cy": k[1, 2], "width": width, "height": height}
        write_table(cameras, {**row, "blur_score": 99.0}, f"{Path(name).stem}.json")
    return folder


def write_record3d(folder: Path, truth: Truth) -> Path:
    """metadata.json: K by columns, poses as quaternion xyzw and position in a +Y up world."""
    names = [f"rgbd/{i}.jpg" for i in range(len(truth.rgb))]
    save_pictures(folder, truth, names)
    poses = []
    for pose in truth.poses:
        matrix = opengl(pose, Y_UP)
        poses.append([*Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist(), *matrix[:3, 3].tolist()])
    table = {"w": truth.size[0], "h": truth.size[1], "K": truth.matrix.T.reshape(-1).tolist(), "fps": 60}
    return write_table(folder, {**table, "poses": poses}, "metadata.json")

"""Bake pictures with known cameras into the texture of a mesh.

The texture is the least-squares solution of a linear system: drawn from each camera, the mesh is to show its picture.
Each pixel that sees the surface is one equation for the four texels of which it is the bilinear sample; neighboring
texels are to be alike where nothing else is known. Blending, sharpening where pictures are finer than texels, and
filling of small gaps all follow from that.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from img2world.core.cameras import Cameras
from img2world.core.progress import Progress, silent
from img2world.core.views import Views
from img2world.meshing.surface import Surface
from img2world.meshing.unwrap import Charts
from img2world.meshing.viewpoints import evenly_spaced
from img2world.render.texels import TexelEquations
from img2world.render.triangles import TriangleHits, rasterize_triangles

OTHER_VIEWS = 0.03
"""Weight of a pixel relative to one of the first view: what the photo shows, it shows best."""

COSINE_POWER = 4
"""Pixels count by this power of the cosine of incidence."""

MAX_VIEWS = 32
"""More views add time but no detail."""

EDGE_RADIUS = 2
"""Pixels around a jump of the depth, or the outline of an object, that do not count."""

MAX_DEPTH_JUMP = 0.08
"""Difference of depth within EDGE_RADIUS, relative to the depth, above which there is an edge."""

SMOOTHNESS = 1e-4
"""Weight of the difference between neighboring texels."""

PRIOR = 1e-6
"""Weight of the difference from the colors of the vertices."""

MAX_ITERATIONS = 24


def bake_texture(
    surface: Surface,
    charts: Charts,
    colors: Float32[np.ndarray, "M 3"],
    views: Views,
    size: int,
    *,
    progress: Progress = silent,
) -> np.ndarray:
    """Return the texture, uint8 [size, size, 3], of a surface in world units.

    `colors`, 0 to 1, are those of its vertices; they are used where no view sees the surface.
    """
    vertices = surface.vertices[charts.vertices]
    normals = face_normals(vertices, charts.faces)
    equations = TexelEquations(size, size)
    chosen = evenly_spaced(len(views), MAX_VIEWS)
    for count, i in enumerate(chosen):
        camera = views.cameras.select([i])
        hits = rasterize_triangles(
            in_camera(vertices, camera), charts.faces, np.ones(len(vertices), np.float32), camera
        )
        weight = _weights(hits, normals, camera) * _counted(views, i)
        weight *= np.float32(1 if i == 0 else OTHER_VIEWS * views.confidence[i])
        equations.add_view(hits, weight, views.rgb[i].astype(np.float32) / 255, charts.faces, charts.uvs)
        progress(count + 1, len(chosen))
    texture = _solve(equations, draw_colors(colors[charts.vertices], charts, size))
    return np.rint(255 * texture.clip(0, 1)).astype(np.uint8)


def face_normals(vertices: Float64[np.ndarray, "M 3"], faces: Int32[np.ndarray, "F 3"]) -> Float32[np.ndarray, "F 3"]:
    """Return the unit normals of faces; zero for a face without area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)).astype(np.float32)


def in_camera(points: Float64[np.ndarray, "M 3"], camera: Cameras) -> Float32[np.ndarray, "M 3"]:
    """Return world positions in the axes of a camera."""
    pose = camera.world_from_cam[0].astype(np.float64)
    return ((points - pose[:3, 3]) @ pose[:3, :3]).astype(np.float32)


def _weights(hits: TriangleHits, normals: Float32[np.ndarray, "F 3"], camera: Cameras) -> Float32[np.ndarray, "H W"]:
    """Return the weights of pixels: 0 beside edges, else a power of the cosine of incidence."""
    import cv2

    hit = hits.face >= 0
    # Nothing is as good as infinitely far.
    window = np.ones((2 * EDGE_RADIUS + 1,) * 2, np.uint8)
    depth = np.where(hit, hits.depth, np.float32(1e6))
    jump = cv2.dilate(depth, window) - cv2.erode(depth, window) > MAX_DEPTH_JUMP * depth
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics[0]
    x = (np.arange(camera.width, dtype=np.float32) + 0.5 - cx) / fx
    y = (np.arange(camera.height, dtype=np.float32)[:, None] + 0.5 - cy) / fy
    normals_in_cam = normals @ camera.world_from_cam[0, :3, :3]
    across, down, ahead = np.moveaxis(normals_in_cam[np.maximum(hits.face, 0)], -1, 0)
    cosine = np.abs(across * x + down * y + ahead) / np.sqrt(x * x + y * y + 1)
    return np.where(hit & ~jump, np.minimum(cosine, 1) ** COSINE_POWER, 0).astype(np.float32)


def _counted(views: Views, i: int) -> Bool[np.ndarray, "H W"]:
    """Return the pixels of a view that show the object, if there is one, and nothing to be ignored."""
    import cv2

    counted = np.ones(views.rgb.shape[1:3], bool)
    if views.alpha is not None:
        counted &= cv2.erode((views.alpha[i] >= 250).view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if views.mask is not None:
        counted &= views.mask[i] > 0
    return counted


def draw_colors(colors: Float32[np.ndarray, "M 3"], charts: Charts, size: int) -> Float32[np.ndarray, "S S 3"]:
    """Return a texture with the interpolated colors of the vertices, continued between the charts."""
    from scipy.ndimage import distance_transform_edt

    # The charts as they lie in the texture, one unit in front of a camera whose picture is the texture.
    flat = np.concatenate([charts.uvs, np.ones((len(charts.uvs), 1), np.float32)], 1)
    intrinsics = np.array([[[size, 0, 0], [0, size, 0], [0, 0, 1]]], np.float32)
    camera = Cameras(world_from_cam=np.eye(4, dtype=np.float32)[None], intrinsics=intrinsics, width=size, height=size)
    hits = rasterize_triangles(flat, charts.faces, np.ones(len(flat), np.float32), camera)
    if (hits.face < 0).all():
        return np.broadcast_to(colors.mean(0), (size, size, 3)).astype(np.float32)
    weights = np.dstack([1 - hits.barycentric.sum(-1), hits.barycentric])
    drawn = np.einsum("hwc,hwci->hwi", weights, colors[charts.faces[hits.face]])
    # A face may be too small to contain the center of a texel.
    empty = hits.face < 0
    middle = charts.uvs[charts.faces].mean(1)
    for uvs, values in ((middle, colors[charts.faces].mean(1)), (charts.uvs, colors)):
        column, row = (size * uvs).astype(int).clip(0, size - 1).T
        small = hits.face[row, column] < 0
        drawn[row[small], column[small]] = values[small]
        empty[row, column] = False
    row, column = np.asarray(distance_transform_edt(empty, return_distances=False, return_indices=True))
    return drawn[row, column].astype(np.float32)


def _solve(equations: TexelEquations, prior: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Return the colors of the texels, by conjugate gradients from the prior."""
    from scipy.sparse import dia_array
    from scipy.sparse.linalg import cg

    width, shape = equations.diagonal.shape[1], prior.shape
    right, down = equations.right.copy(), equations.down.copy()
    right[:, :-1] -= SMOOTHNESS
    down[:-1] -= SMOOTHNESS
    diagonal = equations.diagonal + np.float32(PRIOR)
    diagonal[:, :-1] += SMOOTHNESS
    diagonal[:, 1:] += SMOOTHNESS
    diagonal[:-1] += SMOOTHNESS
    diagonal[1:] += SMOOTHNESS
    upper = {1: right, width: down, width + 1: equations.down_right, width - 1: equations.down_left}
    data, offsets = [diagonal.ravel()], [0]
    for offset, values in upper.items():
        # dia_array keeps the entry of row i - offset and column i at i.
        data += [np.roll(values.ravel(), offset), values.ravel()]
        offsets += [offset, -offset]
    count = diagonal.size
    matrix = dia_array((np.stack(data), offsets), shape=(count, count))
    inverse = dia_array((1 / diagonal.ravel()[None], [0]), shape=(count, count))
    target = (equations.target + PRIOR * prior).reshape(-1, 3)
    start = prior.reshape(-1, 3)
    solution = [
        cg(matrix, target[:, i], x0=start[:, i], M=inverse, rtol=1e-4, maxiter=MAX_ITERATIONS)[0] for i in range(3)
    ]
    return np.stack(solution, -1).reshape(shape)

"""A smooth surface through the points of depth maps, by Open3D.

Source: Kazhdan and Hoppe 2013, "Screened Poisson Surface Reconstruction". Needs the package open3d-cpu
(`pip install 'img2world[open3d]'`).
"""

from typing import Any

import numpy as np
from jaxtyping import Float64

from img2world.core.errors import MissingPackageError
from img2world.meshing.depth_maps import MAX_STEP, SNAP_RADIUS, DepthMaps
from img2world.meshing.grids import Grid
from img2world.meshing.surface import Surface, drop_unused_vertices

MIN_TILT = 0.3
"""Pixels that see the surface at a more grazing angle than this cosine are not used."""

SPACING = 0.7
"""Grid steps within which points are averaged."""

NEIGHBORS, MAX_SIGMAS = 20, 2.0
"""A point is an outlier when its mean distance to its neighbors is more than so many standard deviations above the
mean of all."""

MAX_GAP = 1.5
"""Grid steps from a point within which no other is needed."""

SCALE = 1.5
"""Side of the cube in which the surface is closed, relative to the extent of the points."""

MIN_DENSITY = 0.03
"""Fraction of the vertices of an open surface, those with the fewest points around them, that is trimmed."""


OrientedPoints = tuple[Float64[np.ndarray, "M 3"], Float64[np.ndarray, "M 3"]]
"""Points and their outward normals."""


def poisson_surface(maps: DepthMaps, grid: Grid, *, closed: OrientedPoints | None = None) -> Surface:
    """Return the surface in grid indices; it is closed when points on all sides are given.

    They are used where depth maps show nothing, since the method knows of surfaces but not of empty space, and bulges
    where there are no points. Raises MissingPackageError without Open3D.
    """
    from scipy.spatial import KDTree

    o3d = open3d()
    points, normals = (np.concatenate(arrays) for arrays in zip(*oriented_points(maps, grid), strict=True))
    inside = ((points >= 0) & (points <= np.array(grid.shape) - 1)).all(1)

    def cloud_of(points: np.ndarray, normals: np.ndarray) -> Any:
        cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
        cloud.normals = o3d.utility.Vector3dVector(normals)
        return cloud

    cloud = cloud_of(points[inside], normals[inside])
    cloud, _ = cloud.voxel_down_sample(SPACING).remove_statistical_outlier(NEIGHBORS, MAX_SIGMAS)
    if closed is not None and len(cloud.points):
        distance, _ = KDTree(np.asarray(cloud.points)).query(closed[0])
        cloud += cloud_of(*(array[distance > MAX_GAP] for array in closed))
    if len(cloud.points) < NEIGHBORS:
        return Surface(np.empty((0, 3)), np.empty((0, 3), np.int32))
    cloud.normalize_normals()
    # The cells of its octree are about as large as those of the grid. With more threads, results vary.
    extent = SCALE * np.ptp(np.asarray(cloud.points), axis=0).max()
    depth = int(np.ceil(np.log2(max(extent, 8))))
    create = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson
    mesh, density = create(cloud, depth=depth, scale=SCALE, n_threads=1)
    surface = Surface(np.asarray(mesh.vertices), np.asarray(mesh.triangles))
    if closed is not None:
        return surface
    density = np.asarray(density)
    return drop_unused_vertices(
        Surface(surface.vertices, surface.faces[(density > np.quantile(density, MIN_DENSITY))[surface.faces].all(1)])
    )


def open3d() -> Any:
    """Return Open3D. Raises MissingPackageError when it is not installed."""
    try:
        import open3d
    except ImportError as error:
        raise MissingPackageError(
            "export.mesh.method=poisson needs Open3D", hint="pip install 'img2world[open3d]', or use method=tsdf"
        ) from error
    return open3d


def oriented_points(maps: DepthMaps, grid: Grid) -> list[tuple[Float64[np.ndarray, "M 3"], Float64[np.ndarray, "M 3"]]]:
    """Return for each view the points that it sees and their normals, in grid indices."""
    import cv2

    parts, window = [], np.ones((2 * SNAP_RADIUS + 1,) * 2, np.uint8)
    for i in np.flatnonzero(maps.weights > 0).tolist():
        hit = maps.is_hit(i)
        place = np.full((*hit.shape, 3), np.nan)
        place[hit] = grid.to_index(maps.surface_points(i))
        # Down times right points at the camera, in the indices of either grid.
        normals = np.cross(np.gradient(place, axis=0), np.gradient(place, axis=1))
        length = np.linalg.norm(normals, axis=-1)
        # Beside an edge, depth is known too roughly for a normal.
        inner = cv2.dilate(maps.depth[i], window) / MAX_STEP < cv2.erode(maps.depth[i], window)
        used = hit & inner & (length > 0) & (maps.tilt[i] > MIN_TILT)
        parts.append((place[used], normals[used] / length[used, None]))
    return parts

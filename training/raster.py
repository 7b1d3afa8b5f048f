"""Rasterization of triangles: the first surface and a hidden one behind it. Compiled by numba."""

import numpy as np
from numba import njit

NEAR = 0.02
LAST, OTHER_OBJECT, NONE = 0, 1, 2
"""Hidden surface to return: the last one on the ray, the first one of another object, or none."""


@njit(cache=True, fastmath=True)
def rasterize(vertices, faces, object_ids, fx, fy, cx, cy, width, height, hidden):
    """Return nearest and hidden face (-1 for none) and their inverse depths, at pixel centres.

    Edges and depth are linear in homogeneous coordinates, so nothing needs clipping (Olano and Greer 1997, "Triangle
    scan conversion using 2D homogeneous coordinates").
    """
    near_w, near_face = np.zeros((height, width), np.float32), np.full((height, width), -1, np.int32)
    back_w, back_face = np.zeros((height, width), np.float32), np.full((height, width), -1, np.int32)
    for f in range(len(faces)):
        ia, ib, ic = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = vertices[ia, 0], vertices[ia, 1], vertices[ia, 2]
        bx, by, bz = vertices[ib, 0], vertices[ib, 1], vertices[ib, 2]
        kx, ky, kz = vertices[ic, 0], vertices[ic, 1], vertices[ic, 2]
        front = (az > NEAR) + (bz > NEAR) + (kz > NEAR)
        if front == 0:
            continue
        x0, x1, y0, y1 = 0, width, 0, height
        if front == 3:
            pa, pb, pc = ax / az * fx + cx, bx / bz * fx + cx, kx / kz * fx + cx
            qa, qb, qc = ay / az * fy + cy, by / bz * fy + cy, ky / kz * fy + cy
            x0, x1 = max(0, int(np.ceil(min(pa, pb, pc) - 0.5))), min(width, int(np.floor(max(pa, pb, pc) - 0.5)) + 1)
            y0, y1 = max(0, int(np.ceil(min(qa, qb, qc) - 0.5))), min(height, int(np.floor(max(qa, qb, qc) - 0.5)) + 1)
            if x0 >= x1 or y0 >= y1:
                continue
        n0x, n0y, n0z = by * kz - bz * ky, bz * kx - bx * kz, bx * ky - by * kx
        n1x, n1y, n1z = ky * az - kz * ay, kz * ax - kx * az, kx * ay - ky * ax
        n2x, n2y, n2z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        volume = ax * n0x + ay * n0y + az * n0z
        if abs(volume) < 1e-12:
            continue
        # Each edge function is step * x + start on a row; its sign change bounds the row's span.
        scale_x, scale_y = 1 / (volume * fx), 1 / (volume * fy)
        s0, s1, s2 = n0x * scale_x, n1x * scale_x, n2x * scale_x
        for y in range(y0, y1):
            ry, rx = y + 0.5 - cy, 0.5 - cx
            r0 = s0 * rx + n0y * scale_y * ry + n0z / volume
            r1 = s1 * rx + n1y * scale_y * ry + n1z / volume
            r2 = s2 * rx + n2y * scale_y * ry + n2z / volume
            low, high = np.float64(x0), np.float64(x1 - 1)
            for step, start in ((s0, r0), (s1, r1), (s2, r2)):
                if step > 0:
                    low = max(low, -start / step)
                elif step < 0:
                    high = min(high, -start / step)
                elif start < 0:
                    high = -1.0
            step, start = s0 + s1 + s2, r0 + r1 + r2
            object_id = object_ids[f]
            for x in range(int(np.ceil(low)), int(np.floor(high)) + 1):
                w = start + step * x
                if w <= 0 or w > 1 / NEAR:
                    continue
                if hidden == NONE:
                    if w > near_w[y, x]:
                        near_w[y, x], near_face[y, x] = w, f
                elif hidden == LAST:
                    if w > near_w[y, x]:
                        near_w[y, x], near_face[y, x] = w, f
                    if back_face[y, x] < 0 or w < back_w[y, x]:
                        back_w[y, x], back_face[y, x] = w, f
                elif w > near_w[y, x]:
                    if near_face[y, x] >= 0 and object_ids[near_face[y, x]] != object_id:
                        back_w[y, x], back_face[y, x] = near_w[y, x], near_face[y, x]
                    near_w[y, x], near_face[y, x] = w, f
                elif w > back_w[y, x] and object_ids[near_face[y, x]] != object_id:
                    back_w[y, x], back_face[y, x] = w, f
    return near_w, near_face, back_w, back_face

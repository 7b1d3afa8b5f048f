"""Draw triangles: the first surface, a hidden one behind it, and their shading. Compiled by numba."""

import numpy as np
from numba import njit

NEAR = 0.02
LAST, OTHER_THING = 0, 1
"""Which hidden surface is drawn: the last one along the ray, or the first one of another thing."""


@njit(cache=True, fastmath=True)
def layers(vertices, faces, things, fx, fy, cx, cy, width, height, hidden):
    """Nearest and hidden face (-1 for none) and their inverse depth, at pixel centres.

    Edges and depth are linear in homogeneous coordinates, so nothing has to be clipped
    (Olano and Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997).
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
            thing = things[f]
            for x in range(int(np.ceil(low)), int(np.floor(high)) + 1):
                w = start + step * x
                if w <= 0 or w > 1 / NEAR:
                    continue
                if hidden == LAST:
                    if w > near_w[y, x]:
                        near_w[y, x], near_face[y, x] = w, f
                    if back_face[y, x] < 0 or w < back_w[y, x]:
                        back_w[y, x], back_face[y, x] = w, f
                elif w > near_w[y, x]:
                    if near_face[y, x] >= 0 and things[near_face[y, x]] != thing:
                        back_w[y, x], back_face[y, x] = near_w[y, x], near_face[y, x]
                    near_w[y, x], near_face[y, x] = w, f
                elif w > back_w[y, x] and things[near_face[y, x]] != thing:
                    back_w[y, x], back_face[y, x] = w, f
    return near_w, near_face, back_w, back_face


@njit(cache=True, fastmath=True)
def texel(atlas, texture, u, v, level):
    """Bilinear texture colour from the smaller copy that fits."""
    size = 256 >> level
    row, column = 0, 0
    if level > 0:
        column = 256
        row = 256 - (512 >> level)
    x, y = (u - np.floor(u)) * size, (v - np.floor(v)) * size
    i, j = int(y), int(x)
    fy, fx = y - i, x - j
    i, j = i % size, j % size
    i1, j1 = (i + 1) % size, (j + 1) % size
    one = atlas[texture]
    w00, w01, w10, w11 = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
    red = (
        one[row + i, column + j, 0] * w00
        + one[row + i, column + j1, 0] * w01
        + one[row + i1, column + j, 0] * w10
        + one[row + i1, column + j1, 0] * w11
    )
    green = (
        one[row + i, column + j, 1] * w00
        + one[row + i, column + j1, 1] * w01
        + one[row + i1, column + j, 1] * w10
        + one[row + i1, column + j1, 1] * w11
    )
    blue = (
        one[row + i, column + j, 2] * w00
        + one[row + i, column + j1, 2] * w01
        + one[row + i1, column + j, 2] * w10
        + one[row + i1, column + j1, 2] * w11
    )
    return red / 255, green / 255, blue / 255


@njit(cache=True, fastmath=True)
def shade(
    face,
    w,
    vertices,
    faces,
    corner_normals,
    corner_uv,
    material_of,
    textures,
    tints,
    looks,
    texel_density,
    atlas,
    camera,
    sun,
    sky,
    shadow,
    shadow_from_cam,
    shadow_lens,
    blocks,
):
    """Colour of each pixel in camera space, before exposure; sky where no face is.

    camera: fx fy cx cy; sun: direction or place in camera space, 1 for a place, strength, ambient, fog, up vector;
    sky: horizon and zenith colour, clouds' strength, texture and place; shadow: inverse depth seen from the light.
    With `blocks`, 2 x 2 pixels of one surface are shaded once.
    """
    height, width = face.shape
    out = np.empty((height, width, 3), np.float32)
    fx, fy, cx, cy = camera
    for y in range(height):
        for x in range(width):
            rx, ry = (x + 0.5 - cx) / fx, (y + 0.5 - cy) / fy
            ray = np.sqrt(rx * rx + ry * ry + 1)
            up = (rx * sun[7] + ry * sun[8] + sun[9]) / ray
            f = face[y, x]
            if blocks and (x | y) & 1 and one_surface(face, w, material_of, y & ~1, x & ~1):
                for k in range(3):
                    out[y, x, k] = out[y & ~1, x & ~1, k]
                continue
            if f < 0:
                red, green, blue = sky_color(rx / ray, ry / ray, 1 / ray, up, sky, atlas)
                out[y, x, 0], out[y, x, 1], out[y, x, 2] = red, green, blue
                continue
            z = 1 / w[y, x]
            px, py, pz = rx * z, ry * z, z
            ia, ib, ic = faces[f]
            a, b, c = vertices[ia], vertices[ib], vertices[ic]
            n0 = (b[1] * c[2] - b[2] * c[1]) * px + (b[2] * c[0] - b[0] * c[2]) * py + (b[0] * c[1] - b[1] * c[0]) * pz
            n1 = (c[1] * a[2] - c[2] * a[1]) * px + (c[2] * a[0] - c[0] * a[2]) * py + (c[0] * a[1] - c[1] * a[0]) * pz
            n2 = (a[1] * b[2] - a[2] * b[1]) * px + (a[2] * b[0] - a[0] * b[2]) * py + (a[0] * b[1] - a[1] * b[0]) * pz
            total = n0 + n1 + n2
            b0, b1, b2 = n0 / total, n1 / total, n2 / total
            u = b0 * corner_uv[f, 0, 0] + b1 * corner_uv[f, 1, 0] + b2 * corner_uv[f, 2, 0]
            v = b0 * corner_uv[f, 0, 1] + b1 * corner_uv[f, 1, 1] + b2 * corner_uv[f, 2, 1]
            nx = b0 * corner_normals[f, 0, 0] + b1 * corner_normals[f, 1, 0] + b2 * corner_normals[f, 2, 0]
            ny = b0 * corner_normals[f, 0, 1] + b1 * corner_normals[f, 1, 1] + b2 * corner_normals[f, 2, 1]
            nz = b0 * corner_normals[f, 0, 2] + b1 * corner_normals[f, 1, 2] + b2 * corner_normals[f, 2, 2]
            length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            facing = -(nx * rx + ny * ry + nz) / (ray * length)
            flip = -1.0 if facing < 0 else 1.0
            nx, ny, nz, facing = nx / length * flip, ny / length * flip, nz / length * flip, abs(facing)
            m = material_of[f]
            footprint = texel_density[f] * z * ray / (fx * max(facing, 0.15))
            level = min(6, max(0, int(np.log2(footprint + 1e-6) + 0.5)))
            red, green, blue = texel(atlas, textures[m], u, v, level)
            # A place of the light shines from there, a direction from everywhere alike.
            lx, ly, lz = sun[0] - px * sun[3], sun[1] - py * sun[3], sun[2] - pz * sun[3]
            distance = np.sqrt(lx * lx + ly * ly + lz * lz) + 1e-9
            lx, ly, lz = lx / distance, ly / distance, lz / distance
            light = max(0.0, nx * lx + ny * ly + nz * lz)
            if light > 0:
                light *= lit(
                    px + 0.02 * z * nx,
                    py + 0.02 * z * ny,
                    pz + 0.02 * z * nz,
                    x,
                    y,
                    shadow,
                    shadow_from_cam,
                    shadow_lens,
                )
            if sun[3] > 0:
                light *= min(3.0, sun[11] / (distance * distance))
            above = nx * sun[7] + ny * sun[8] + nz * sun[9]
            total_light = sun[5] * (0.7 + 0.3 * above) + sun[4] * light + looks[m, 2]
            hx, hy, hz = lx - rx / ray, ly - ry / ray, lz - 1 / ray
            half = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
            shine, mirror = 0.0, 0.0
            if looks[m, 0] > 0:
                shine = (
                    looks[m, 0]
                    * max(0.0, (nx * hx + ny * hy + nz * hz) / half) ** looks[m, 1]
                    * sun[4]
                    * min(light, 1.0)
                )
                mirror = looks[m, 0] * 0.6 * (0.05 + 0.95 * (1 - facing) ** 5)
            reflected = (rx * sun[7] + ry * sun[8] + sun[9]) / ray + 2 * facing * above
            toward = min(1.0, max(0.0, 0.5 + 0.5 * reflected))
            fog = 1 - np.exp(-z * ray * sun[6]) if sun[6] > 0 else 0.0
            for k in range(3):
                albedo = red if k == 0 else (green if k == 1 else blue)
                surface = (
                    albedo * tints[m, k] * total_light * (1 - mirror)
                    + shine
                    + mirror * (sky[k] * (1 - toward) * 0.5 + sky[3 + k] * toward)
                )
                out[y, x, k] = surface * (1 - fog) + fog * sky[k]
    return out


@njit(cache=True, fastmath=True)
def one_surface(face, w, material_of, y, x):
    """Whether 2 x 2 pixels show one material without a step in depth."""
    first = face[y, x]
    if first < 0:
        return face[y, x + 1] < 0 and face[y + 1, x] < 0 and face[y + 1, x + 1] < 0
    for i in range(2):
        for j in range(2):
            other = face[y + i, x + j]
            if other < 0 or material_of[other] != material_of[first] or abs(w[y + i, x + j] - w[y, x]) > 0.03 * w[y, x]:
                return False
    return True


@njit(cache=True, fastmath=True)
def sky_color(rx, ry, rz, up, sky, atlas):
    """From horizon to zenith, with clouds from a texture on a plane high above."""
    blend = min(1.0, max(0.0, up)) ** 0.6
    red, green, blue = (
        sky[0] + (sky[3] - sky[0]) * blend,
        sky[1] + (sky[4] - sky[1]) * blend,
        sky[2] + (sky[5] - sky[2]) * blend,
    )
    if sky[6] > 0 and up > 0.02:
        scale = sky[9] / (up + 0.15)
        one, two, three = texel(atlas, int(sky[7]), sky[8] + rx * scale, sky[8] + rz * scale, 1)
        cover = min(1.0, max(0.0, ((one + two + three) / 3 - 0.4) * 3)) * sky[6] * min(1.0, up * 6)
        red, green, blue = red + (0.97 - red) * cover, green + (0.97 - green) * cover, blue + (0.97 - blue) * cover
    return red, green, blue


@njit(cache=True, fastmath=True)
def lit(px, py, pz, x, y, shadow, shadow_from_cam, lens):
    """Share of the light that arrives, from a few taps around the place in the light's view."""
    lx = shadow_from_cam[0, 0] * px + shadow_from_cam[0, 1] * py + shadow_from_cam[0, 2] * pz + shadow_from_cam[0, 3]
    ly = shadow_from_cam[1, 0] * px + shadow_from_cam[1, 1] * py + shadow_from_cam[1, 2] * pz + shadow_from_cam[1, 3]
    lz = shadow_from_cam[2, 0] * px + shadow_from_cam[2, 1] * py + shadow_from_cam[2, 2] * pz + shadow_from_cam[2, 3]
    if lz <= NEAR:
        return 1.0
    size = shadow.shape[0]
    u, v = lx / lz * lens[0] + 0.5 * size, ly / lz * lens[0] + 0.5 * size
    # A pixel's own pattern of taps turns banding into grain, which the supersampling averages.
    turn = ((x * 12.9898 + y * 78.233) % 6.2831853) * 7.0
    arrived = 0.0
    for tap in range(4):
        angle = turn + tap * 1.5707963
        reach = lens[1] * (0.35 + 0.65 * ((tap + x + y) % 3) / 2)
        i, j = int(v + np.sin(angle) * reach), int(u + np.cos(angle) * reach)
        if i < 0 or j < 0 or i >= size or j >= size or shadow[i, j] * lz < 1 + lens[2]:
            arrived += 0.25
    return arrived


@njit(cache=True, fastmath=True)
def occlusion(w, focal, reach):
    """Ambient light that arrives in corners and under things, from the depth alone; 1 is all of it."""
    height, width = w.shape
    out = np.ones((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            here = w[y, x]
            if here <= 0:
                continue
            z = 1 / here
            radius = min(0.12 * width, max(1.5, reach * focal * here))
            world = radius * z / focal
            turn = (x * 5 + y * 3) % 8
            hidden = 0.0
            for tap in range(6):
                angle = (turn + tap) * 1.0471976 + turn * 0.13
                far = radius * (0.25 + 0.15 * ((tap * 3 + turn) % 6))
                dy, dx = np.sin(angle) * far, np.cos(angle) * far
                i, j = int(y + dy + 0.5), int(x + dx + 0.5)
                i2, j2 = int(y - dy + 0.5), int(x - dx + 0.5)
                if i < 0 or j < 0 or i >= height or j >= width or i2 < 0 or j2 < 0 or i2 >= height or j2 >= width:
                    continue
                if w[i, j] <= 0 or w[i2, j2] <= 0:
                    continue
                # A plane's mean over a tap and its mirror is the plane itself; what rises above it shades.
                rise = z - 0.5 * (1 / w[i, j] + 1 / w[i2, j2])
                if rise > 0.02 * world and rise < 2.5 * world:
                    hidden += min(1.0, 2 * rise / world)
            out[y, x] = 1 - hidden / 6
    return out

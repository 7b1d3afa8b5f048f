"""The look of what was drawn: texture, light and shadow, highlights, fog, sky and dark corners. Compiled by numba."""

import numpy as np
from numba import njit

from training.raster import NEAR

within = njit(cache=True, fastmath=True, error_model="numpy", forceinline=True)
"""A call hands over each array as seven numbers, which would cost more than what is done with them."""

_Y, _X = np.mgrid[0:32, 0:32]
_ANGLES = (_X * 12.9898 + _Y * 78.233) % (2 * np.pi) * 7
SHADOW_TAPS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)
"""A pixel's own direction of its taps into the shadow turns banding into grain, which the samples average."""

_TURN, _TAP = np.mgrid[0:8, 0:6]
_ANGLES = (_TURN + _TAP) * np.pi / 3 + _TURN * 0.13
CORNER_TAPS = (0.25 + 0.15 * ((_TAP * 3 + _TURN) % 6))[..., None] * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)
"""Where a pixel looks for what stands out around it, in radii: eight patterns of six places."""


@njit(cache=True, fastmath=True, error_model="numpy")
def shade(face, w, samples, world, camera, turn, lamp, with_sky):
    """Colour of each pixel, before exposure: the mean of its `samples` x `samples` places in `face` and `w`.

    world: vertices in camera space, then what `World` and the bank say of them; camera: fx fy cx cy of the samples;
    turn: rotation of the normals into camera space; lamp: `light_in_cam`, horizon and zenith colour with the clouds'
    strength, texture and place, and `shadow_map`. Where no face is there is sky, which may be left out: then only
    samples with a face count, and a pixel without any has the horizon's colour. A pixel of one surface is shaded once.
    """
    height, width = face.shape[0] // samples, face.shape[1] // samples
    out = np.empty((height, width, 3), np.float32)
    material_of, atlas, sun, sky = world[4], world[9], lamp[0], lamp[1]
    fx, fy, cx, cy = camera
    for y in range(height):
        for x in range(width):
            once = samples == 1 or one_surface(face, w, material_of, 2 * y, 2 * x)
            red, green, blue, count = 0.0, 0.0, 0.0, 0
            for sample in range(1 if once else samples * samples):
                i, j = samples * y + sample // 2, samples * x + sample % 2
                f = face[i, j]
                if f < 0 and not with_sky:
                    continue
                rx, ry = (j + 0.5 - cx) / fx, (i + 0.5 - cy) / fy
                if f < 0:
                    one, two, three = sky_color(rx, ry, sun, sky, atlas)
                else:
                    one, two, three = surface_color(f, rx, ry, 1 / w[i, j], j, i, world, fx, turn, lamp)
                red, green, blue, count = red + one, green + two, blue + three, count + 1
            if count == 0:
                red, green, blue, count = sky[0], sky[1], sky[2], 1
            share = 1 / count
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = red * share, green * share, blue * share
    return out


@within
def one_surface(face, w, material_of, y, x):
    """Whether 2 x 2 pixels show one material without a step in depth."""
    first, one, two, three = face[y, x], face[y, x + 1], face[y + 1, x], face[y + 1, x + 1]
    # No face is -1, which is a place in the array, too.
    m, here = material_of[first], w[y, x]
    same = (m == material_of[one]) & (m == material_of[two]) & (m == material_of[three])
    step = max(abs(w[y, x + 1] - here), abs(w[y + 1, x] - here), abs(w[y + 1, x + 1] - here))
    covered, empty = min(first, one, two, three) >= 0, max(first, one, two, three) < 0
    return empty | (covered & same & (step <= 0.03 * here))


@within
def surface_color(f, rx, ry, z, x, y, world, fx, turn, lamp):
    """Colour of a face at depth z along a line of sight (rx, ry, 1)."""
    vertices, faces, corner_normals, corner_uv, material_of, textures, tints, looks, texel_density, atlas = world
    m = material_of[f]
    texture, gloss, sharpness, glow = textures[m], looks[m, 0], looks[m, 1], looks[m, 2]
    tint_red, tint_green, tint_blue = tints[m, 0], tints[m, 1], tints[m, 2]
    b0, b1, b2 = barycentric(vertices, faces[f, 0], faces[f, 1], faces[f, 2], rx, ry)
    u = b0 * corner_uv[f, 0, 0] + b1 * corner_uv[f, 1, 0] + b2 * corner_uv[f, 2, 0]
    v = b0 * corner_uv[f, 0, 1] + b1 * corner_uv[f, 1, 1] + b2 * corner_uv[f, 2, 1]
    wx = b0 * corner_normals[f, 0, 0] + b1 * corner_normals[f, 1, 0] + b2 * corner_normals[f, 2, 0]
    wy = b0 * corner_normals[f, 0, 1] + b1 * corner_normals[f, 1, 1] + b2 * corner_normals[f, 2, 1]
    wz = b0 * corner_normals[f, 0, 2] + b1 * corner_normals[f, 1, 2] + b2 * corner_normals[f, 2, 2]
    nx = turn[0][0] * wx + turn[0][1] * wy + turn[0][2] * wz
    ny = turn[1][0] * wx + turn[1][1] * wy + turn[1][2] * wz
    nz = turn[2][0] * wx + turn[2][1] * wy + turn[2][2] * wz
    ray = np.sqrt(rx * rx + ry * ry + 1)
    per_ray, per_normal = 1 / ray, 1 / (np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9)
    facing = -(nx * rx + ny * ry + nz) * per_ray * per_normal
    # Either side of a face may be seen.
    per_normal = -per_normal if facing < 0 else per_normal
    nx, ny, nz, facing = nx * per_normal, ny * per_normal, nz * per_normal, abs(facing)
    footprint = texel_density[f] * z * ray / (fx * max(facing, 0.15))
    red, green, blue = texel(atlas, texture, u, v, level_of(footprint))
    light, shine = lighting(rx, ry, z, per_ray, nx, ny, nz, x, y, gloss, sharpness, lamp)
    sun, sky = lamp[0], lamp[1]
    above = nx * sun[7] + ny * sun[8] + nz * sun[9]
    total_light = sun[5] * (0.7 + 0.3 * above) + sun[4] * light + glow
    mirror, toward = 0.0, 0.0
    if gloss > 0:
        mirror = gloss * 0.6 * (0.05 + 0.95 * (1 - facing) ** 5)
        reflected = (rx * sun[7] + ry * sun[8] + sun[9]) * per_ray + 2 * facing * above
        toward = min(1.0, max(0.0, 0.5 + 0.5 * reflected))
    total_light *= 1 - mirror
    near, far = mirror * 0.5 * (1 - toward), mirror * toward
    red = red * tint_red * total_light + shine + near * sky[0] + far * sky[3]
    green = green * tint_green * total_light + shine + near * sky[1] + far * sky[4]
    blue = blue * tint_blue * total_light + shine + near * sky[2] + far * sky[5]
    if sun[6] > 0:
        fog = 1 - np.exp(np.float32(-z * ray * sun[6]))
        red, green, blue = red + (sky[0] - red) * fog, green + (sky[1] - green) * fog, blue + (sky[2] - blue) * fog
    return red, green, blue


@within
def barycentric(vertices, ia, ib, ic, rx, ry):
    """Shares of a face's corners where the line of sight (rx, ry, 1) meets it."""
    ax, ay, az = vertices[ia, 0], vertices[ia, 1], vertices[ia, 2]
    bx, by, bz = vertices[ib, 0], vertices[ib, 1], vertices[ib, 2]
    kx, ky, kz = vertices[ic, 0], vertices[ic, 1], vertices[ic, 2]
    n0 = (by * kz - bz * ky) * rx + (bz * kx - bx * kz) * ry + (bx * ky - by * kx)
    n1 = (ky * az - kz * ay) * rx + (kz * ax - kx * az) * ry + (kx * ay - ky * ax)
    n2 = (ay * bz - az * by) * rx + (az * bx - ax * bz) * ry + (ax * by - ay * bx)
    share = 1 / (n0 + n1 + n2)
    return n0 * share, n1 * share, n2 * share


@within
def level_of(footprint):
    """The smaller copy of a texture of which a texel is about as large as a pixel."""
    level, size = 0, 1.41421356
    while level < 6 and footprint > size:
        level, size = level + 1, 2 * size
    return level


@within
def texel(atlas, texture, u, v, level):
    """Bilinear texture colour, 0 to 1, from a smaller copy."""
    size = 256 >> level
    row, column = 0, 0
    if level > 0:
        row, column = 256 - (512 >> level), 256
    x, y = (u - np.floor(u)) * size, (v - np.floor(v)) * size
    i, j = int(y), int(x)
    fy, fx = y - i, x - j
    i0, j0 = row + (i & (size - 1)), column + (j & (size - 1))
    i1, j1 = row + ((i + 1) & (size - 1)), column + ((j + 1) & (size - 1))
    low, high = (1 - fy) / 255, fy / 255
    w00, w01, w10, w11 = low * (1 - fx), low * fx, high * (1 - fx), high * fx
    red = atlas[texture, i0, j0, 0] * w00 + atlas[texture, i0, j1, 0] * w01
    green = atlas[texture, i0, j0, 1] * w00 + atlas[texture, i0, j1, 1] * w01
    blue = atlas[texture, i0, j0, 2] * w00 + atlas[texture, i0, j1, 2] * w01
    red += atlas[texture, i1, j0, 0] * w10 + atlas[texture, i1, j1, 0] * w11
    green += atlas[texture, i1, j0, 1] * w10 + atlas[texture, i1, j1, 1] * w11
    blue += atlas[texture, i1, j0, 2] * w10 + atlas[texture, i1, j1, 2] * w11
    return red, green, blue


@within
def lighting(rx, ry, z, per_ray, nx, ny, nz, x, y, gloss, sharpness, lamp):
    """Light that arrives, as a share of the lamp's strength, and the highlight."""
    sun, _, shadow, shadow_from_cam, shadow_lens = lamp
    # A place of the light shines from there, a direction from everywhere alike.
    lx, ly, lz = sun[0] - rx * z * sun[3], sun[1] - ry * z * sun[3], sun[2] - z * sun[3]
    squared = lx * lx + ly * ly + lz * lz + 1e-18
    per_distance = 1 / np.sqrt(squared)
    lx, ly, lz = lx * per_distance, ly * per_distance, lz * per_distance
    light = nx * lx + ny * ly + nz * lz
    if light <= 0:
        return 0.0, 0.0
    off = 0.02 * z
    light *= lit(rx * z + off * nx, ry * z + off * ny, z + off * nz, x, y, shadow, shadow_from_cam, shadow_lens)
    if sun[3] > 0:
        light *= min(3.0, sun[11] / squared)
    if gloss <= 0 or light <= 0:
        return light, 0.0
    hx, hy, hz = lx - rx * per_ray, ly - ry * per_ray, lz - per_ray
    half = (nx * hx + ny * hy + nz * hz) / (np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9)
    if half <= 0:
        return light, 0.0
    return light, gloss * np.float32(half) ** np.float32(sharpness) * sun[4] * min(light, 1.0)


@within
def lit(px, py, pz, x, y, shadow, shadow_from_cam, lens):
    """Share of the light that arrives, from a few taps around the place in the light's view."""
    lx = shadow_from_cam[0][0] * px + shadow_from_cam[0][1] * py + shadow_from_cam[0][2] * pz + shadow_from_cam[0][3]
    ly = shadow_from_cam[1][0] * px + shadow_from_cam[1][1] * py + shadow_from_cam[1][2] * pz + shadow_from_cam[1][3]
    lz = shadow_from_cam[2][0] * px + shadow_from_cam[2][1] * py + shadow_from_cam[2][2] * pz + shadow_from_cam[2][3]
    size, beyond_near = shadow.shape[0], max(lz, NEAR)
    scale = lens[0] / beyond_near
    u, v, dark = lx * scale + 0.5 * size, ly * scale + 0.5 * size, (1 + lens[2]) / beyond_near
    cos, sin = SHADOW_TAPS[y & 31, x & 31, 0] * lens[1], SHADOW_TAPS[y & 31, x & 31, 1] * lens[1]
    first = (x + y) % 3
    second = 0 if first == 2 else first + 1
    third = 3 - first - second
    one, two, three = 0.35 + 0.325 * first, 0.35 + 0.325 * second, 0.35 + 0.325 * third
    last = size - 1
    shaded = (
        (shadow[inside(v + sin * one, last), inside(u + cos * one, last)] >= dark)
        + (shadow[inside(v + cos * two, last), inside(u - sin * two, last)] >= dark)
        + (shadow[inside(v - sin * three, last), inside(u - cos * three, last)] >= dark)
        + (shadow[inside(v - cos * one, last), inside(u + sin * one, last)] >= dark)
    )
    return 1 - 0.25 * shaded if lz > NEAR else 1.0


@within
def inside(place, last):
    """The pixel of a place, or the nearest one."""
    return np.uint32(min(max(place, 0), last))


@within
def sky_color(rx, ry, sun, sky, atlas):
    """From horizon to zenith, with clouds from a texture on a plane high above."""
    per_ray = 1 / np.sqrt(rx * rx + ry * ry + 1)
    up = (rx * sun[7] + ry * sun[8] + sun[9]) * per_ray
    blend = np.float32(min(1.0, max(0.0, up))) ** np.float32(0.6)
    red, green, blue = (
        sky[0] + (sky[3] - sky[0]) * blend,
        sky[1] + (sky[4] - sky[1]) * blend,
        sky[2] + (sky[5] - sky[2]) * blend,
    )
    if sky[6] > 0 and up > 0.02:
        scale = sky[9] / (up + 0.15) * per_ray
        one, two, three = texel(atlas, int(sky[7]), sky[8] + rx * scale, sky[8] + scale, 1)
        cover = min(1.0, max(0.0, ((one + two + three) / 3 - 0.4) * 3)) * sky[6] * min(1.0, up * 6)
        red, green, blue = red + (0.97 - red) * cover, green + (0.97 - green) * cover, blue + (0.97 - blue) * cover
    return red, green, blue


@njit(cache=True, fastmath=True, error_model="numpy")
def occlusion(known, depth, focal, reach):
    """Ambient light that arrives in corners and under things, from the depth alone; 1 is all of it."""
    height, width = depth.shape
    out = np.ones((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if not known[y, x]:
                continue
            z = depth[y, x]
            radius = min(0.12 * width, max(1.5, reach * focal / z))
            world = radius * z / focal
            pattern = (x * 5 + y * 3) & 7
            hidden = 0.0
            for tap in range(6):
                dx, dy = CORNER_TAPS[pattern, tap, 0] * radius, CORNER_TAPS[pattern, tap, 1] * radius
                i, j = int(y + dy + 0.5), int(x + dx + 0.5)
                i2, j2 = int(y - dy + 0.5), int(x - dx + 0.5)
                if i < 0 or j < 0 or i >= height or j >= width or i2 < 0 or j2 < 0 or i2 >= height or j2 >= width:
                    continue
                # A plane's mean over a tap and its mirror is the plane itself; what rises above it shades.
                rise = z - 0.5 * (depth[i, j] + depth[i2, j2])
                if rise > 0.02 * world and rise < 2.5 * world and known[i, j] and known[i2, j2]:
                    hidden += min(1.0, 2 * rise / world)
            out[y, x] = 1 - hidden / 6
    return out

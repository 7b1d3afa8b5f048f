"""Shading of rasterized surfaces: textures, lighting, shadows, fog, sky and ambient occlusion. Compiled by numba."""

import numpy as np
from numba import njit

from training.raster import NEAR

inlined = njit(cache=True, fastmath=True, error_model="numpy", forceinline=True)
"""Calls pass each array as seven numbers, which would cost more than the functions' own work."""

_Y, _X = np.mgrid[0:32, 0:32]
_ANGLES = (_X * 12.9898 + _Y * 78.233) % (2 * np.pi) * 7
SHADOW_TAPS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)
"""Direction of each pixel's taps into the shadow map; turns banding into noise, which the samples average."""

_TURN, _TAP = np.mgrid[0:8, 0:6]
_ANGLES = (_TURN + _TAP) * np.pi / 3 + _TURN * 0.13
CORNER_TAPS = (0.25 + 0.15 * ((_TAP * 3 + _TURN) % 6))[..., None] * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)
"""Offsets, in radii, at which ambient occlusion looks: eight patterns of six taps."""


@njit(cache=True, fastmath=True, error_model="numpy")
def shade(face, w, samples, surfaces, camera, rotation, light, with_sky):
    """Return the colour of each pixel before exposure: the mean over its `samples` × `samples` entries of `face`, `w`.

    surfaces: vertices in camera space, then arrays of `SceneMesh` and the texture atlas. camera: fx, fy, cx, cy of the
    samples. rotation: camera from scene, for the normals. light: `light_in_cam`; horizon and zenith colour with the
    clouds' strength, texture and position; `shadow_inputs`. Samples without a face show the sky; without the sky only
    samples with a face count, and pixels without any have the horizon's colour. Uniform pixels are shaded once.
    """
    height, width = face.shape[0] // samples, face.shape[1] // samples
    out = np.empty((height, width, 3), np.float32)
    face_materials, atlas, sun, sky = surfaces[4], surfaces[9], light[0], light[1]
    fx, fy, cx, cy = camera
    for y in range(height):
        for x in range(width):
            uniform = samples == 1 or is_uniform(face, w, face_materials, 2 * y, 2 * x)
            red, green, blue, count = 0.0, 0.0, 0.0, 0
            for sample in range(1 if uniform else samples * samples):
                i, j = samples * y + sample // 2, samples * x + sample % 2
                f = face[i, j]
                if f < 0 and not with_sky:
                    continue
                rx, ry = (j + 0.5 - cx) / fx, (i + 0.5 - cy) / fy
                if f < 0:
                    r, g, b = sky_color(rx, ry, sun, sky, atlas)
                else:
                    r, g, b = surface_color(f, rx, ry, 1 / w[i, j], j, i, surfaces, fx, rotation, light)
                red, green, blue, count = red + r, green + g, blue + b, count + 1
            if count == 0:
                red, green, blue, count = sky[0], sky[1], sky[2], 1
            scale = 1 / count
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = red * scale, green * scale, blue * scale
    return out


@inlined
def is_uniform(face, w, face_materials, y, x):
    """Return True if 2 × 2 samples show one material without a step in depth."""
    first, one, two, three = face[y, x], face[y, x + 1], face[y + 1, x], face[y + 1, x + 1]
    # Where there is no face the index is -1, which is the last material.
    m, here = face_materials[first], w[y, x]
    same = (m == face_materials[one]) & (m == face_materials[two]) & (m == face_materials[three])
    step = max(abs(w[y, x + 1] - here), abs(w[y + 1, x] - here), abs(w[y + 1, x + 1] - here))
    covered, empty = min(first, one, two, three) >= 0, max(first, one, two, three) < 0
    return empty | (covered & same & (step <= 0.03 * here))


@inlined
def surface_color(f, rx, ry, z, x, y, surfaces, fx, rotation, light):
    """Return the colour of a face at depth z along a line of sight (rx, ry, 1)."""
    vertices, faces, corner_normals, corner_uv, face_materials, textures, tints, reflectance, texel_density, atlas = (
        surfaces
    )
    m = face_materials[f]
    texture, gloss, shininess, emission = textures[m], reflectance[m, 0], reflectance[m, 1], reflectance[m, 2]
    tint_red, tint_green, tint_blue = tints[m, 0], tints[m, 1], tints[m, 2]
    b0, b1, b2 = barycentric(vertices, faces[f, 0], faces[f, 1], faces[f, 2], rx, ry)
    u = b0 * corner_uv[f, 0, 0] + b1 * corner_uv[f, 1, 0] + b2 * corner_uv[f, 2, 0]
    v = b0 * corner_uv[f, 0, 1] + b1 * corner_uv[f, 1, 1] + b2 * corner_uv[f, 2, 1]
    wx = b0 * corner_normals[f, 0, 0] + b1 * corner_normals[f, 1, 0] + b2 * corner_normals[f, 2, 0]
    wy = b0 * corner_normals[f, 0, 1] + b1 * corner_normals[f, 1, 1] + b2 * corner_normals[f, 2, 1]
    wz = b0 * corner_normals[f, 0, 2] + b1 * corner_normals[f, 1, 2] + b2 * corner_normals[f, 2, 2]
    nx = rotation[0][0] * wx + rotation[0][1] * wy + rotation[0][2] * wz
    ny = rotation[1][0] * wx + rotation[1][1] * wy + rotation[1][2] * wz
    nz = rotation[2][0] * wx + rotation[2][1] * wy + rotation[2][2] * wz
    ray = np.sqrt(rx * rx + ry * ry + 1)
    per_ray, per_normal = 1 / ray, 1 / (np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9)
    facing = -(nx * rx + ny * ry + nz) * per_ray * per_normal
    # Faces are visible from both sides.
    per_normal = -per_normal if facing < 0 else per_normal
    nx, ny, nz, facing = nx * per_normal, ny * per_normal, nz * per_normal, abs(facing)
    footprint = texel_density[f] * z * ray / (fx * max(facing, 0.15))
    red, green, blue = sample_texture(atlas, texture, u, v, mip_level(footprint))
    incoming, highlight = lighting(rx, ry, z, per_ray, nx, ny, nz, x, y, gloss, shininess, light)
    sun, sky = light[0], light[1]
    above = nx * sun[7] + ny * sun[8] + nz * sun[9]
    total_light = sun[5] * (0.7 + 0.3 * above) + sun[4] * incoming + emission
    mirror, toward = 0.0, 0.0
    if gloss > 0:
        mirror = gloss * 0.6 * (0.05 + 0.95 * (1 - facing) ** 5)
        reflected = (rx * sun[7] + ry * sun[8] + sun[9]) * per_ray + 2 * facing * above
        toward = min(1.0, max(0.0, 0.5 + 0.5 * reflected))
    total_light *= 1 - mirror
    near, far = mirror * 0.5 * (1 - toward), mirror * toward
    red = red * tint_red * total_light + highlight + near * sky[0] + far * sky[3]
    green = green * tint_green * total_light + highlight + near * sky[1] + far * sky[4]
    blue = blue * tint_blue * total_light + highlight + near * sky[2] + far * sky[5]
    if sun[6] > 0:
        fog = 1 - np.exp(np.float32(-z * ray * sun[6]))
        red, green, blue = red + (sky[0] - red) * fog, green + (sky[1] - green) * fog, blue + (sky[2] - blue) * fog
    return red, green, blue


@inlined
def barycentric(vertices, ia, ib, ic, rx, ry):
    """Return barycentric coordinates of the point where the line of sight (rx, ry, 1) meets a face."""
    ax, ay, az = vertices[ia, 0], vertices[ia, 1], vertices[ia, 2]
    bx, by, bz = vertices[ib, 0], vertices[ib, 1], vertices[ib, 2]
    kx, ky, kz = vertices[ic, 0], vertices[ic, 1], vertices[ic, 2]
    n0 = (by * kz - bz * ky) * rx + (bz * kx - bx * kz) * ry + (bx * ky - by * kx)
    n1 = (ky * az - kz * ay) * rx + (kz * ax - kx * az) * ry + (kx * ay - ky * ax)
    n2 = (ay * bz - az * by) * rx + (az * bx - ax * bz) * ry + (ax * by - ay * bx)
    scale = 1 / (n0 + n1 + n2)
    return n0 * scale, n1 * scale, n2 * scale


@inlined
def mip_level(footprint):
    """Return the mipmap level whose texels are about as large as a pixel."""
    level, size = 0, 1.41421356
    while level < 6 and footprint > size:
        level, size = level + 1, 2 * size
    return level


@inlined
def sample_texture(atlas, texture, u, v, level):
    """Return the bilinear colour, 0 to 1, of a mipmap level."""
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


@inlined
def lighting(rx, ry, z, per_ray, nx, ny, nz, x, y, gloss, shininess, light):
    """Return the incoming light relative to the light's strength, and the specular highlight."""
    sun, _, shadow, shadow_from_cam, shadow_lens = light
    # A near light has a position, a distant one only a direction.
    lx, ly, lz = sun[0] - rx * z * sun[3], sun[1] - ry * z * sun[3], sun[2] - z * sun[3]
    squared = lx * lx + ly * ly + lz * lz + 1e-18
    per_distance = 1 / np.sqrt(squared)
    lx, ly, lz = lx * per_distance, ly * per_distance, lz * per_distance
    incoming = nx * lx + ny * ly + nz * lz
    if incoming <= 0:
        return 0.0, 0.0
    off = 0.02 * z
    incoming *= shadow_factor(
        rx * z + off * nx, ry * z + off * ny, z + off * nz, x, y, shadow, shadow_from_cam, shadow_lens
    )
    if sun[3] > 0:
        incoming *= min(3.0, sun[11] / squared)
    if gloss <= 0 or incoming <= 0:
        return incoming, 0.0
    hx, hy, hz = lx - rx * per_ray, ly - ry * per_ray, lz - per_ray
    half = (nx * hx + ny * hy + nz * hz) / (np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9)
    if half <= 0:
        return incoming, 0.0
    return incoming, gloss * np.float32(half) ** np.float32(shininess) * sun[4] * min(incoming, 1.0)


@inlined
def shadow_factor(px, py, pz, x, y, shadow, shadow_from_cam, lens):
    """Return the fraction of light that is not shadowed, from four taps around the point in the shadow map."""
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
        (shadow[clamp_index(v + sin * one, last), clamp_index(u + cos * one, last)] >= dark)
        + (shadow[clamp_index(v + cos * two, last), clamp_index(u - sin * two, last)] >= dark)
        + (shadow[clamp_index(v - sin * three, last), clamp_index(u - cos * three, last)] >= dark)
        + (shadow[clamp_index(v - cos * one, last), clamp_index(u + sin * one, last)] >= dark)
    )
    return 1 - 0.25 * shaded if lz > NEAR else 1.0


@inlined
def clamp_index(position, last):
    """Return the index of a position, clamped to the array."""
    return np.uint32(min(max(position, 0), last))


@inlined
def sky_color(rx, ry, sun, sky, atlas):
    """Return the sky's gradient from horizon to zenith, with clouds from a texture on a high plane."""
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
        r, g, b = sample_texture(atlas, int(sky[7]), sky[8] + rx * scale, sky[8] + scale, 1)
        cover = min(1.0, max(0.0, ((r + g + b) / 3 - 0.4) * 3)) * sky[6] * min(1.0, up * 6)
        red, green, blue = red + (0.97 - red) * cover, green + (0.97 - green) * cover, blue + (0.97 - blue) * cover
    return red, green, blue


@njit(cache=True, fastmath=True, error_model="numpy")
def occlusion(known, depth, focal, reach):
    """Return ambient occlusion computed from the depth alone; 1 is unoccluded."""
    height, width = depth.shape
    out = np.ones((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if not known[y, x]:
                continue
            z = depth[y, x]
            radius = min(0.12 * width, max(1.5, reach * focal / z))
            world_radius = radius * z / focal
            pattern = (x * 5 + y * 3) & 7
            hidden = 0.0
            for tap in range(6):
                dx, dy = CORNER_TAPS[pattern, tap, 0] * radius, CORNER_TAPS[pattern, tap, 1] * radius
                i, j = int(y + dy + 0.5), int(x + dx + 0.5)
                i2, j2 = int(y - dy + 0.5), int(x - dx + 0.5)
                if i < 0 or j < 0 or i >= height or j >= width or i2 < 0 or j2 < 0 or i2 >= height or j2 >= width:
                    continue
                # On a plane the mean over a tap and its mirror image is the plane itself; what rises above it occludes.
                rise = z - 0.5 * (depth[i, j] + depth[i2, j2])
                if rise > 0.02 * world_radius and rise < 2.5 * world_radius and known[i, j] and known[i2, j2]:
                    hidden += min(1.0, 2 * rise / world_radius)
            out[y, x] = 1 - hidden / 6
    return out

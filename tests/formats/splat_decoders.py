"""Decoders of splat files, one Gaussian and one number at a time, written from the published descriptions.

They share no code with the package and return the Gaussians in the axes of the file.
"""

import gzip
import io
import json
import math
import struct
import zipfile
from pathlib import Path

import numpy as np
from known_scene import Splat
from PIL import Image

SH_COUNTS = {0: 0, 9: 3, 24: 8, 45: 15}


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def coefficients(dc: list[float], rest: list[list[float]]) -> np.ndarray:
    """Return [K, 3] of the constant coefficients and rows of three."""
    return np.array([dc, *rest], float)


def dc_of(color: float) -> float:
    """Return the constant coefficient of a color from 0 to 1: 1 / (2 sqrt(pi)) is the constant harmonic."""
    return (color - 0.5) * 2 * math.sqrt(math.pi)


def largest_from(others: list[float], index: int) -> list[float]:
    """Return the components of a unit quaternion of which the largest, at `index`, is left out."""
    whole = list(others)
    whole.insert(index, math.sqrt(max(0.0, 1 - sum(value * value for value in others))))
    return whole


# ---- PLY ----

SIZES = {"float": ("f", 4), "uchar": ("B", 1), "uint": ("I", 4), "double": ("d", 8)}


def ply_elements(data: bytes) -> dict[str, list[dict[str, float]]]:
    """Return the rows of each element of a little-endian PLY."""
    header, _, body = data.partition(b"end_header\n")
    elements: list[tuple[str, int, list[tuple[str, str]]]] = []
    for line in header.decode("ascii").splitlines():
        words = line.split()
        if words[0] == "element":
            elements.append((words[1], int(words[2]), []))
        elif words[0] == "property":
            elements[-1][2].append((words[1], words[2]))
        elif words[0] == "format":
            assert words[1:] == ["binary_little_endian", "1.0"]
    offset, tables = 0, {}
    for title, count, properties in elements:
        rows = []
        for _ in range(count):
            row = {}
            for kind, name in properties:
                letter, size = SIZES[kind]
                (row[name],) = struct.unpack_from(f"<{letter}", body, offset)
                offset += size
            rows.append(row)
        tables[title] = rows
    assert offset == len(body)
    return tables


def rest_of(row: dict[str, float], value=float) -> list[list[float]]:
    """Return f_rest as rows of three: all coefficients of red, then of green, then of blue."""
    count = SH_COUNTS[sum(name.startswith("f_rest_") for name in row)]
    return [[value(row[f"f_rest_{channel * count + k}"]) for channel in range(3)] for k in range(count)]


def decode_ply(path: Path) -> list[Splat]:
    """GaussianModel.save_ply of the 3D Gaussian splatting reference code."""
    return [
        Splat(
            (row["x"], row["y"], row["z"]),
            tuple(row[f"rot_{i}"] for i in range(4)),
            tuple(math.exp(row[f"scale_{i}"]) for i in range(3)),
            sigmoid(row["opacity"]),
            coefficients([row[f"f_dc_{i}"] for i in range(3)], rest_of(row)),
        )
        for row in ply_elements(path.read_bytes())["vertex"]
    ]


def decode_compressed_ply(path: Path) -> list[Splat]:
    """PlayCanvas: chunks of 256; positions and scales 11-10-11 bits, rotations 2-10-10-10, colors 8-8-8-8."""
    tables = ply_elements(path.read_bytes())
    splats = []
    for index, row in enumerate(tables["vertex"]):
        chunk = tables["chunk"][index // 256]

        def between(name: str, unit: float, chunk: dict = chunk) -> float:
            return chunk[f"min_{name}"] + unit * (chunk[f"max_{name}"] - chunk[f"min_{name}"])

        def three(word: int, prefix: str, between=between) -> tuple[float, ...]:
            units = (word >> 21) / 2047, (word >> 11 & 1023) / 1023, (word & 2047) / 2047
            return tuple(between(prefix + axis, unit) for axis, unit in zip("xyz", units, strict=True))

        word = row["packed_rotation"]
        others = [((word >> shift & 1023) / 1023 - 0.5) * math.sqrt(2) for shift in (20, 10, 0)]
        bytes_ = [row["packed_color"] >> shift & 255 for shift in (24, 16, 8, 0)]
        dc = [dc_of(between(name, byte / 255)) for name, byte in zip("rgb", bytes_[:3], strict=True)]

        def unquantized(byte: int) -> float:
            return 8 * ({0: 0.0, 255: 1.0}.get(byte, (byte + 0.5) / 256) - 0.5)

        rest = rest_of(tables["sh"][index], unquantized) if "sh" in tables else []
        splats.append(
            Splat(
                three(row["packed_position"], ""),
                tuple(largest_from(others, word >> 30)),
                tuple(math.exp(value) for value in three(row["packed_scale"], "scale_")),
                bytes_[3] / 255,
                coefficients(dc, rest),
            )
        )
    return splats


# ---- .splat and .ksplat ----


def decode_splat(path: Path) -> list[Splat]:
    """convert.py of antimatter15/splat: 3 and 3 floats, 4 and 4 bytes."""
    splats = []
    for row in struct.iter_unpack("<6f8B", path.read_bytes()):
        dc = [dc_of(byte / 255) for byte in row[6:9]]
        quaternion = tuple((byte - 128) / 128 for byte in row[10:14])
        splats.append(Splat(row[:3], quaternion, row[3:6], row[9] / 255, coefficients(dc, [])))
    return splats


def decode_ksplat(path: Path) -> list[Splat]:
    """SplatBuffer.js of mkkellogg/GaussianSplats3D."""
    data = path.read_bytes()
    assert (data[0], data[1]) == (0, 1)
    max_sections, sections, max_count, count = struct.unpack_from("<4I", data, 4)
    (level,) = struct.unpack_from("<H", data, 20)
    low, high = struct.unpack_from("<2f", data, 36)
    real, real_size = ("f", 4) if level == 0 else ("e", 2)
    splats, start = [], 4096 + 1024 * max_sections
    for section in range(sections):
        head = 4096 + 1024 * section
        here, room, capacity, buckets = struct.unpack_from("<4I", data, head)
        (block,) = struct.unpack_from("<f", data, head + 16)
        (bucket_size,) = struct.unpack_from("<H", data, head + 20)
        (steps,) = struct.unpack_from("<I", data, head + 24)
        (size,) = struct.unpack_from("<I", data, head + 28)
        full, partial = struct.unpack_from("<2I", data, head + 32)
        (degree,) = struct.unpack_from("<H", data, head + 40)
        sizes = [capacity] * full + list(struct.unpack_from(f"<{partial}I", data, start))
        bucket_of = [bucket for bucket, held in enumerate(sizes) for _ in range(held)]
        centers = start + 4 * partial
        rows = centers + bucket_size * buckets
        rest = 3 * ((degree + 1) ** 2 - 1)
        wide = 3 * (4 if level == 0 else 2) + 7 * real_size + 4 + rest * (1 if level == 2 else real_size)
        if size:
            assert size == 4 * partial + bucket_size * buckets + room * wide
        for index in range(here):
            offset = rows + index * wide
            if level == 0:
                center = struct.unpack_from("<3f", data, offset)
                offset += 12
            else:
                middle = struct.unpack_from("<3f", data, centers + bucket_size * bucket_of[index])
                words = struct.unpack_from("<3H", data, offset)
                pairs = zip(words, middle, strict=True)
                center = tuple((word - steps) * block / 2 / steps + axis for word, axis in pairs)
                offset += 6
            numbers = struct.unpack_from(f"<7{real}", data, offset)
            offset += 7 * real_size
            red, green, blue, alpha = data[offset : offset + 4]
            offset += 4
            if level == 2:
                flat = [low + byte / 255 * (high - low) for byte in data[offset : offset + rest]]
            else:
                flat = list(struct.unpack_from(f"<{rest}{real}", data, offset))
            bands, taken = [], 0
            for band in range(1, degree + 1):
                width = 2 * band + 1
                bands += [[flat[taken + channel * width + k] for channel in range(3)] for k in range(width)]
                taken += 3 * width
            dc = [dc_of(byte / 255) for byte in (red, green, blue)]
            splats.append(Splat(center, numbers[3:], numbers[:3], alpha / 255, coefficients(dc, bands)))
        start = rows + room * wide
    assert len(splats) == count <= max_count
    assert start == len(data)
    return splats


# ---- SPZ ----


def decode_spz(path: Path) -> list[Splat]:
    """load-spz.cc of nianticlabs/spz, without extensions."""
    return spz_splats(path.read_bytes())


def spz_splats(data: bytes) -> list[Splat]:
    if data[:4] == b"NGSP":
        import zstandard

        magic, version, count, degree, bits, _, streams, table = struct.unpack_from("<IIIBBBBI", data)
        offset, body = table + 16 * streams, b""
        for stream in range(streams):
            packed, raw = struct.unpack_from("<QQ", data, table + 16 * stream)
            content = zstandard.ZstdDecompressor().decompress(data[offset : offset + packed])
            assert len(content) == raw
            body, offset = body + content, offset + packed
        assert offset == len(data)
        assert version == 4
    else:
        whole = gzip.decompress(data)
        magic, version, count, degree, bits, _ = struct.unpack_from("<IIIBBB", whole)
        body = whole[16:]
        assert version <= 3
    assert magic == 0x5053474E
    extra = (degree + 1) ** 2 - 1
    widths = [6 if version == 1 else 9, 1, 3, 3, 4 if version >= 3 else 3, 3 * extra]
    starts = [count * sum(widths[:i]) for i in range(6)]
    splats = []
    for index in range(count):
        pieces = [body[start + index * width :][:width] for start, width in zip(starts, widths, strict=True)]
        position, (alpha,), rgb, scale, rotation, rest = pieces
        if version == 1:
            center = struct.unpack("<3e", position)
        else:
            fixed = [int.from_bytes(position[3 * axis : 3 * axis + 3], "little", signed=True) for axis in range(3)]
            center = tuple(value / 2**bits for value in fixed)
        if version >= 3:
            word = int.from_bytes(rotation, "little")
            parts = [word >> shift & 1023 for shift in (20, 10, 0)]
            others = [(part & 511) / 511 / math.sqrt(2) * (-1 if part & 512 else 1) for part in parts]
            x, y, z, w = largest_from(others, word >> 30)
        else:
            x, y, z = (byte / 127.5 - 1 for byte in rotation)
            w = math.sqrt(max(0.0, 1 - x * x - y * y - z * z))
        splats.append(
            Splat(
                center,
                (w, x, y, z),
                tuple(math.exp(byte / 16 - 10) for byte in scale),
                alpha / 255,
                coefficients(
                    [(byte / 255 - 0.5) / 0.15 for byte in rgb],
                    [[(byte - 128) / 128 for byte in rest[3 * k : 3 * k + 3]] for k in range(extra)],
                ),
            )
        )
    return splats


# ---- SOG ----


def decode_sog(path: Path) -> list[Splat]:
    """The SOG format, version 2, of developer.playcanvas.com."""
    if path.suffix == ".json":
        return sog_splats(lambda name: path.with_name(name.replace("meta.json", path.name)).read_bytes())
    with zipfile.ZipFile(path) as archive:
        return sog_splats(archive.read)


def sog_splats(load) -> list[Splat]:
    meta = json.loads(load("meta.json"))
    assert meta["version"] == 2

    def picture(name: str) -> Image.Image:
        image = Image.open(io.BytesIO(load(name)))
        assert image.format == "WEBP"
        return image.convert("RGBA")

    def pixel(image: Image.Image, index: int) -> tuple[int, ...]:
        return image.getpixel((index % image.width, index // image.width))

    lower, upper = map(picture, meta["means"]["files"])
    (scales,), (quats,), (colors,) = (map(picture, meta[part]["files"]) for part in ("scales", "quats", "sh0"))
    splats = []
    if "shN" in meta:
        centroids, labels = map(picture, meta["shN"]["files"])
        extra = (meta["shN"]["bands"] + 1) ** 2 - 1
        assert centroids.width == 64 * extra
    for index in range(meta["count"]):
        center = []
        for axis in range(3):
            low, high = meta["means"]["mins"][axis], meta["means"]["maxs"][axis]
            step = pixel(upper, index)[axis] << 8 | pixel(lower, index)[axis]
            stored = low + step / 65535 * (high - low)
            center.append(math.copysign(math.exp(abs(stored)) - 1, stored))
        *three, tag = pixel(quats, index)
        others = [(byte / 255 * 2 - 1) / math.sqrt(2) for byte in three]
        rest = []
        if "shN" in meta:
            low, high = pixel(labels, index)[:2]
            entry = high << 8 | low
            assert entry < meta["shN"]["count"]
            for k in range(extra):
                spot = centroids.getpixel((entry % 64 * extra + k, entry // 64))
                rest.append([meta["shN"]["codebook"][byte] for byte in spot[:3]])
        *rgb, alpha = pixel(colors, index)
        splats.append(
            Splat(
                tuple(center),
                tuple(largest_from(others, tag - 252)),
                tuple(math.exp(meta["scales"]["codebook"][byte]) for byte in pixel(scales, index)[:3]),
                alpha / 255,
                coefficients([meta["sh0"]["codebook"][byte] for byte in rgb], rest),
            )
        )
    return splats


# ---- glTF ----


def glb_chunks(data: bytes) -> tuple[dict, bytes]:
    """Return the JSON document and the binary chunk of a GLB (glTF 2.0, section 4)."""
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    assert size % 4 == 0
    document = json.loads(data[20 : 20 + size])
    length, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert kind == b"BIN\0"
    assert 28 + size + length == len(data)
    return document, data[28 + size :]


def decode_glb(path: Path) -> list[Splat]:
    """KHR_gaussian_splatting: one primitive of floats at the root."""
    document, chunk = glb_chunks(path.read_bytes())
    (node,) = document["nodes"]
    assert not {"matrix", "rotation", "scale", "translation"} & set(node)
    (primitive,) = document["meshes"][node["mesh"]]["primitives"]
    assert primitive["mode"] == 0
    extension = primitive["extensions"]["KHR_gaussian_splatting"]
    assert (extension["kernel"], extension["colorSpace"]) == ("ellipse", "srgb_rec709_display")

    def column(semantic: str, width: int) -> list[tuple[float, ...]]:
        accessor = document["accessors"][primitive["attributes"][semantic]]
        assert accessor["type"] == {1: "SCALAR", 3: "VEC3", 4: "VEC4"}[width]
        assert accessor["componentType"] == 5126
        view = document["bufferViews"][accessor["bufferView"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        assert start % 4 == 0
        return list(struct.iter_unpack(f"<{width}f", chunk[start : start + 4 * width * accessor["count"]]))

    prefix = "KHR_gaussian_splatting:"
    names = [
        f"{prefix}SH_DEGREE_{degree}_COEF_{k}"
        for degree in range(4)
        for k in range(2 * degree + 1)
        if f"{prefix}SH_DEGREE_{degree}_COEF_{k}" in primitive["attributes"]
    ]
    harmonics = [column(name, 3) for name in names]
    rows = zip(
        *(column("POSITION", 3), column(f"{prefix}ROTATION", 4)),
        *(column(f"{prefix}SCALE", 3), column(f"{prefix}OPACITY", 1)),
        strict=True,
    )
    return [
        Splat(center, (w, x, y, z), radii, opacity, np.array([column[index] for column in harmonics]))
        for index, (center, (x, y, z, w), radii, (opacity,)) in enumerate(rows)
    ]


# ---- OpenUSD ----


def decode_usd(path: Path) -> list[Splat]:
    """ParticleField3DGaussianSplat, read by OpenUSD itself one value at a time."""
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    (prim,) = [prim for prim in stage.Traverse() if prim.GetTypeName() == "ParticleField3DGaussianSplat"]
    assert UsdGeom.XformCache().GetLocalToWorldTransform(prim) == type(
        UsdGeom.Xformable(prim).GetLocalTransformation()
    )(1)
    bases = (prim.GetAttribute("radiance:sphericalHarmonicsDegree").Get() + 1) ** 2
    harmonics = [tuple(row) for row in prim.GetAttribute("radiance:sphericalHarmonicsCoefficients").Get()]
    columns = [prim.GetAttribute(name).Get() for name in ("positions", "orientations", "scales", "opacities")]
    assert len(harmonics) == bases * len(columns[0])
    return [
        Splat(
            tuple(position),
            (rotation.GetReal(), *rotation.GetImaginary()),
            tuple(scale),
            opacity,
            np.array(harmonics[index * bases : (index + 1) * bases]),
        )
        for index, (position, rotation, scale, opacity) in enumerate(zip(*columns, strict=True))
    ]

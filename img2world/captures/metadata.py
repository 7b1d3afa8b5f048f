"""Metadata of a photo: camera and lens, time and place, and whether it is a panorama.

Source: EXIF 2.32 (CIPA DC-008), sections 4.6.4 to 4.6.6; Google, "Photo Sphere XMP Metadata".
"""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from img2world.core.image_file import EXIF_IFD, FOCAL_35MM, FOCAL_MM, ORIENTATION, open_header, stored_size

MAKE, MODEL, LENS_MODEL = 0x010F, 0x0110, 0xA434
TIME, SUBSECONDS = 0x9003, 0x9291
GPS_IFD, LATITUDE, LONGITUDE, ALTITUDE = 0x8825, 2, 4, 6
"""The tag before each of these holds its sign."""

EARTH_RADIUS = 6_371_000.0
"""Metres. The scale of a capture is that of a few hundred metres at most, so a sphere will do."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Facts from the metadata of a photo; empty or None where they are unknown."""

    size: tuple[int, int] | None = None
    """Width and height as stored, before it is turned upright."""
    orientation: int = 1
    lens: tuple[str, ...] = ()
    """Camera, lens and focal lengths, which differ between lenses and zooms; empty where no camera is named."""
    time: float | None = None
    """Seconds of capture, from any origin."""
    place: tuple[float, float, float] | None = None
    """Latitude and longitude in degrees, and altitude in metres."""
    panorama: "Panorama | None" = None

    @property
    def is_photo(self) -> bool:
        """Tell whether a camera wrote it, so that it is no frame of a video."""
        return bool(self.lens) or self.time is not None


@dataclass(frozen=True, kw_only=True)
class Panorama:
    """The part of a sphere that an equirectangular picture shows, in its pixels as stored."""

    width: int
    """Width of the picture."""
    full_width: int
    full_height: int
    left: int = 0
    top: int = 0


def read_metadata(path: Path) -> Metadata:
    """Read the metadata of a picture; those of one that cannot be read are empty."""
    try:
        with open_header(path) as picture:
            exif = picture.getexif()
            camera, place = {**exif, **exif.get_ifd(EXIF_IFD)}, exif.get_ifd(GPS_IFD)
            xmp = picture.info.get("xmp", picture.info.get("XML:com.adobe.xmp", b""))
            size = picture.size
    except Exception:
        # Pillow raises anything on broken metadata, and cannot read the formats that `deep_picture` does. A picture
        # that is broken itself is reported when it is loaded.
        return Metadata(size=stored_size(path))
    orientation = camera.get(ORIENTATION, 1)
    return Metadata(
        size=size,
        orientation=orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        lens=_lens(camera),
        time=_time(camera),
        place=_place(place),
        panorama=find_panorama(xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else str(xmp), size),
    )


def _lens(exif: dict[int, Any]) -> tuple[str, ...]:
    """Return camera, lens and focal lengths; empty where no camera is named."""
    if not exif.get(MAKE) and not exif.get(MODEL):
        return ()
    return tuple(str(exif.get(tag, "")).strip("\0 ") for tag in (MAKE, MODEL, LENS_MODEL, FOCAL_MM, FOCAL_35MM))


def _time(exif: dict[int, Any]) -> float | None:
    """Return the time of capture in seconds."""
    fraction = re.sub(r"\D", "", str(exif.get(SUBSECONDS, "")))
    try:
        time = datetime.strptime(str(exif.get(TIME, "")).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    # Clocks of cameras have no time zone; only differences are used.
    return (time - datetime(1970, 1, 1)).total_seconds() + float(f"0.{fraction or 0}")


def _place(gps: dict[int, Any]) -> tuple[float, float, float] | None:
    """Return latitude, longitude and altitude; None where they are unknown or impossible."""
    try:
        latitude, longitude = (
            (-1.0 if str(gps[tag - 1]).strip("\0 ").upper() in ("S", "W") else 1.0)
            * sum(float(part) / 60**i for i, part in enumerate(gps[tag]))
            for tag in (LATITUDE, LONGITUDE)
        )
        below = gps.get(ALTITUDE - 1) in (1, b"\x01")
        altitude = float(gps.get(ALTITUDE, 0)) * (-1 if below else 1)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    known = np.isfinite([latitude, longitude, altitude]).all() and (latitude, longitude) != (0, 0)
    return (latitude, longitude, altitude) if known and abs(latitude) <= 90 and abs(longitude) <= 180 else None


def find_panorama(xmp: str, size: tuple[int, int]) -> Panorama | None:
    """Return what an equirectangular picture shows by its XMP data; None for any other picture."""

    def value(name: str) -> str:
        found = re.search(rf"GPano:{name}\s*(?:=\s*[\"']|>)\s*([^\"'<]*)", xmp)
        return found[1].strip() if found else ""

    def number(name: str, default: int) -> int:
        text = value(name)
        return int(text) if text.isdecimal() and int(text) > 0 else default

    if value("ProjectionType").lower() != "equirectangular":
        return None
    # A picture that was scaled down keeps the numbers of the original.
    scale = size[0] / number("CroppedAreaImageWidthPixels", number("FullPanoWidthPixels", size[0]))
    return Panorama(
        width=size[0],
        full_width=round(scale * number("FullPanoWidthPixels", size[0])),
        full_height=round(scale * number("FullPanoHeightPixels", number("FullPanoWidthPixels", 2 * size[1]) // 2)),
        left=round(scale * number("CroppedAreaLeftPixels", 0)),
        top=round(scale * number("CroppedAreaTopPixels", 0)),
    )


def metres_from_places(
    places: list[tuple[float, float, float] | None],
) -> Float64[np.ndarray, "V 3"] | None:
    """Return metres east, north and up of the first known place; NaN where it is unknown, None if all are."""
    known = [place for place in places if place is not None]
    if not known:
        return None
    degrees = np.array([place or (np.nan,) * 3 for place in places], np.float64)
    latitude, longitude = np.radians(degrees[:, 0]), np.radians(degrees[:, 1])
    first = np.radians(known[0][:2])
    # The difference of two longitudes is small, across the date line, too.
    east = (longitude - first[1] + np.pi) % (2 * np.pi) - np.pi
    return np.stack(
        [
            EARTH_RADIUS * np.cos(first[0]) * east,
            EARTH_RADIUS * (latitude - first[0]),
            degrees[:, 2] - known[0][2],
        ],
        axis=1,
    )

"""COLMAP's database: pictures with their lenses, features and matches, and what COLMAP finds of them.

COLMAP's own functions read and write a database. Those made here are thrown away; what is to be kept is in a
`MatchStore`.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from img2world.poses.match_store import Features, Match, Pair

INITIAL_FOCAL = 0.85
"""Focal length to begin with, in longest sides of the picture: 61 degrees, between phones and generated videos."""

SIFT_PEAK_THRESHOLD = 0.002
"""A third of COLMAP's default: small, smooth, generated frames have few strong features."""

MAX_SIDE = 1600
"""Longest side in pixels at which features are looked for; larger pictures are reduced."""


@dataclass(frozen=True, kw_only=True)
class Lenses:
    """The lenses of the pictures; each is a camera of COLMAP."""

    model: str
    """COLMAP's camera model."""
    sizes: Int64[np.ndarray, "L 2"]
    """Width and height of the pictures of each lens."""
    focals: Float64[np.ndarray, "L"]
    """Focal length in pixels by metadata, 0 where it is unknown."""
    of_picture: Int64[np.ndarray, "V"]
    """Index of the lens of each picture."""


def create_database(path: Path, lenses: Lenses, chosen: Iterable[int]) -> None:
    """Write a database with chosen pictures, whose numbers are their indices and 1."""
    import pycolmap

    path.unlink(missing_ok=True)
    with closing(pycolmap.Database.open(path)) as database:
        for lens, ((width, height), focal) in enumerate(
            zip(lenses.sizes.tolist(), lenses.focals.tolist(), strict=True)
        ):
            camera = pycolmap.Camera.create_from_model_name(
                lens + 1, lenses.model, focal or INITIAL_FOCAL * max(width, height), width, height
            )
            camera.has_prior_focal_length = focal > 0
            database.write_camera(camera, use_camera_id=True)
            rig = pycolmap.Rig()
            rig.rig_id = lens + 1
            rig.add_ref_sensor(camera.sensor_id)
            database.write_rig(rig, use_rig_id=True)
        for i in chosen:
            lens = int(lenses.of_picture[i])
            image = pycolmap.Image(name=picture_name(i), camera_id=lens + 1, image_id=i + 1)
            database.write_image(image, use_image_id=True)
            frame = pycolmap.Frame()
            frame.frame_id, frame.rig_id = i + 1, lens + 1
            frame.add_data_id(image.data_id)
            database.write_frame(frame, use_frame_id=True)


def picture_name(i: int) -> str:
    """Return the name of a picture's file and of its image in COLMAP."""
    return f"{i:05d}.pgm"


def write_features(path: Path, features: Mapping[int, Features]) -> None:
    """Add the features of pictures to a database."""
    import pycolmap

    with closing(pycolmap.Database.open(path)) as database, pycolmap.DatabaseTransaction(database):
        for i, found in sorted(features.items()):
            descriptors = pycolmap.FeatureDescriptors(pycolmap.FeatureExtractorType.SIFT, found.descriptors)
            database.write_keypoints(i + 1, found.keypoints)
            database.write_descriptors(i + 1, descriptors)


def write_matches(path: Path, matches: Mapping[Pair, Match]) -> None:
    """Add verified matches to a database; pairs without any are left out."""
    import pycolmap

    with closing(pycolmap.Database.open(path)) as database, pycolmap.DatabaseTransaction(database):
        for (i, j), match in sorted(matches.items()):
            if len(match):
                geometry = pycolmap.TwoViewGeometry()
                geometry.config = pycolmap.TwoViewGeometryConfiguration(match.geometry)
                geometry.inlier_matches = match.inliers
                database.write_matches(i + 1, j + 1, match.inliers)
                database.write_two_view_geometry(i + 1, j + 1, geometry)


def extract_features(
    folder: Path,
    pictures: Mapping[int, UInt8[np.ndarray, "H W"]],
    lenses: Lenses,
    *,
    max_features: int,
    first_octave: int,
    num_threads: int,
) -> dict[int, Features]:
    """Return the features of grey pictures; `folder` is for files in between.

    With the first octave 0 pictures are read as they are, with -1 they are enlarged to twice their size first, which
    takes four times as long and finds the smallest features too.
    """
    import pycolmap
    from PIL import Image as PillowImage

    database = folder / "features.db"
    create_database(database, lenses, pictures)
    for i, picture in pictures.items():
        PillowImage.fromarray(picture).save(folder / picture_name(i))
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.num_threads = num_threads
    extraction.use_gpu = False
    extraction.max_image_size = MAX_SIDE
    extraction.sift.max_num_features = max_features
    extraction.sift.peak_threshold = SIFT_PEAK_THRESHOLD
    extraction.sift.first_octave = first_octave
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = lenses.model
    names = [picture_name(i) for i in pictures]
    pycolmap.extract_features(
        database,
        folder,
        image_names=names,
        reader_options=reader,
        extraction_options=extraction,
        device=pycolmap.Device.cpu,
    )
    found = {}
    with closing(pycolmap.Database.open(database)) as finished:
        for i, name in zip(pictures, names, strict=True):
            keypoints, descriptors = finished.read_keypoints(i + 1), finished.read_descriptors(i + 1).data
            found[i] = Features(
                keypoints=np.asarray(keypoints, np.float32).reshape(-1, 6),
                descriptors=np.asarray(descriptors, np.uint8).reshape(-1, 128),
            )
            (folder / name).unlink()
    database.unlink()
    return found


def match_pairs(
    database: Path, pairs: Sequence[Pair], *, guided: bool, seed: int, num_threads: int
) -> dict[Pair, Match]:
    """Match pairs of pictures in a database and verify them by two-view geometry; return the verified matches.

    Guided matching searches again along the epipolar lines of the first result.
    """
    import pycolmap

    with closing(pycolmap.Database.open(database)) as known:
        for i, j in pairs:
            known.delete_matches(i + 1, j + 1)
            known.delete_two_view_geometry(i + 1, j + 1)
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = database.with_suffix(".txt")
    pairing.match_list_path.write_text("".join(f"{picture_name(i)} {picture_name(j)}\n" for i, j in pairs))
    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads = num_threads
    matching.use_gpu = False
    matching.guided_matching = guided
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    pycolmap.match_image_pairs(
        database,
        matching_options=matching,
        pairing_options=pairing,
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )
    found = {}
    with closing(pycolmap.Database.open(database)) as finished:
        for i, j in pairs:
            is_known = finished.exists_two_view_geometry(i + 1, j + 1)
            geometry = finished.read_two_view_geometry(i + 1, j + 1) if is_known else pycolmap.TwoViewGeometry()
            inliers = np.asarray(geometry.inlier_matches, np.uint32).reshape(-1, 2)
            found[i, j] = Match(geometry=int(geometry.config), inliers=inliers)
    return found

"""What is written is read back, as exactly as each format can."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from known_scene import rotation_matrix

from img2world.core.gaussians import Gaussians
from img2world.core.ply import write_ply
from img2world.formats.files import read_splats, write_splats
from img2world.formats.ply import columns_from_gaussians


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Largest errors of a format, for a scene of a few units with harmonics below 1."""

    position: float
    """Units."""
    rotation: float
    """Degrees."""
    log_scale: float
    opacity: float
    color: float
    """Of the constant color, 0 to 1."""
    harmonics: float
    max_degree: int = 3


BYTE = 0.5 / 255 + 1e-6


def rotation_of_three(step: float) -> float:
    """Return the largest error in degrees of quaternions whose largest component is left out, by the others' step."""
    # The left-out one is at least 1/2, so that it at most doubles the error of the others; an angle is twice its half.
    return float(np.degrees(2 * 2 * 3**0.5 * step / 2))


LOSSLESS = Limits(position=0, rotation=2e-5, log_scale=2e-6, opacity=1e-6, color=0, harmonics=0)
LIMITS: list[tuple[str, dict[str, Any], Limits]] = [
    (".ply", {}, Limits(position=0, rotation=2e-5, log_scale=0, opacity=1e-8, color=0, harmonics=0)),
    (".glb", {}, LOSSLESS),
    (".usdc", {}, LOSSLESS),
    (".usdz", {}, LOSSLESS),
    # 11-10-11 bits in a chunk; harmonics in steps of 1/32.
    (
        ".compressed.ply",
        {},
        Limits(
            position=4e-3,
            rotation=rotation_of_three(2**0.5 / 1023),
            log_scale=5e-3,
            opacity=BYTE,
            color=3e-3,
            harmonics=0.0157,
        ),
    ),
    # Quaternions in steps of 1/128: half a step in each of four components, and 1 is 127/128.
    (
        ".splat",
        {},
        Limits(position=0, rotation=1.3, log_scale=1e-6, opacity=BYTE, color=BYTE, harmonics=0, max_degree=0),
    ),
    (
        ".ksplat",
        {"level": 0},
        Limits(position=0, rotation=2e-5, log_scale=1e-6, opacity=BYTE, color=BYTE, harmonics=0, max_degree=2),
    ),
    (
        ".ksplat",
        {"level": 1},
        Limits(position=1e-4, rotation=0.06, log_scale=5e-4, opacity=BYTE, color=BYTE, harmonics=3e-4, max_degree=2),
    ),
    # Log-scales in steps of 1/16; harmonics in steps of 1/16 and 1/8.
    *(
        (
            ".spz",
            {"version": version},
            Limits(
                position=1e-6,
                rotation=rotation_of_three(0.5**0.5 / 511),
                log_scale=1 / 32 + 1e-6,
                opacity=BYTE,
                color=4e-3,
                harmonics=1 / 16 + 1e-6,
            ),
        )
        for version in (3, 4)
    ),
    # Positions of 16 bits on a logarithmic scale; 256 levels for scales, colors and harmonics, quaternions of 8 bits.
    *(
        (
            suffix,
            {},
            Limits(
                position=3e-4,
                rotation=rotation_of_three(2**0.5 / 255),
                log_scale=0.05,
                opacity=BYTE,
                color=0.01,
                harmonics=0.01,
            ),
        )
        for suffix in (".sog", ".meta.json")
    ),
]
NAMES = [suffix[1:] + "".join(f"-{value}" for value in options.values()) for suffix, options, _ in LIMITS]


def random_scene(count: int, degree: int, seed: int = 0) -> Gaussians:
    rng = np.random.default_rng(seed)
    sh = rng.uniform(-0.95, 0.95, (count, (degree + 1) ** 2, 3))
    sh[:, 0] = (rng.uniform(0, 1, (count, 3)) - 0.5) * 2 * np.sqrt(np.pi)
    values = {
        "means": rng.normal(size=(count, 3)),
        "quats": rng.normal(size=(count, 4)),
        "log_scales": rng.uniform(-7, -1, (count, 3)),
        "logit_opacities": rng.normal(0, 3, count),
        "sh": sh,
    }
    return Gaussians(**{name: value.astype(np.float32) for name, value in values.items()})


def matched(found: Gaussians, gaussians: Gaussians) -> Gaussians:
    """Return what was found in the order of what was written: several formats sort."""
    distance = np.linalg.norm(found.means[None] - gaussians.means[:, None], axis=2)
    order = distance.argmin(1)
    assert len(set(order.tolist())) == len(gaussians)
    return found.select(order)


def check(found: Gaussians, gaussians: Gaussians, limits: Limits) -> None:
    """Compare each value with the limits of the format."""
    assert len(found) == len(gaussians)
    found = matched(found, gaussians)
    bases = min(gaussians.sh.shape[1], (limits.max_degree + 1) ** 2)
    assert found.sh.shape[1] == bases
    np.testing.assert_allclose(found.means, gaussians.means, rtol=0, atol=limits.position, err_msg="position")
    for ours, theirs in zip(gaussians.quats, found.quats, strict=True):
        turn = rotation_matrix(*ours).T @ rotation_matrix(*theirs)
        # From the sines: the arc cosine of the trace is blunt near 0.
        sine = np.linalg.norm([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2
        assert np.degrees(np.arctan2(sine, (np.trace(turn) - 1) / 2)) <= limits.rotation
    np.testing.assert_allclose(found.log_scales, gaussians.log_scales, rtol=0, atol=limits.log_scale, err_msg="scale")
    np.testing.assert_allclose(found.opacities, gaussians.opacities, rtol=0, atol=limits.opacity, err_msg="opacity")
    constant = 1 / 2 / np.sqrt(np.pi)
    np.testing.assert_allclose(
        constant * found.sh[:, 0], constant * gaussians.sh[:, 0], rtol=0, atol=limits.color, err_msg="color"
    )
    np.testing.assert_allclose(
        found.sh[:, 1:bases], gaussians.sh[:, 1:bases], rtol=0, atol=limits.harmonics, err_msg="harmonics"
    )


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize(("suffix", "options", "limits"), LIMITS, ids=NAMES)
def test_scenes_survive(suffix, options, limits, degree, tmp_path):
    gaussians = random_scene(300, degree)
    path = tmp_path / f"scene{suffix}"
    write_splats(gaussians, path, options)
    file = read_splats(path)
    assert file.broken == 0
    check(file.gaussians, gaussians, limits)


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257])
@pytest.mark.parametrize(("suffix", "options", "limits"), LIMITS, ids=NAMES)
def test_any_number_of_gaussians_survives(suffix, options, limits, count, tmp_path):
    gaussians = random_scene(count, min(1, limits.max_degree), count)
    path = tmp_path / f"scene{suffix}"
    write_splats(gaussians, path, options)
    check(read_splats(path).gaussians, gaussians, limits)


@pytest.mark.parametrize(("suffix", "options", "limits"), LIMITS, ids=NAMES)
def test_a_second_trip_changes_nothing_more(suffix, options, limits, tmp_path):
    """Files that are converted again and again do not drift."""
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_splats(random_scene(60, min(2, limits.max_degree)), first, options)
    once = read_splats(first).gaussians
    write_splats(once, second, options)
    drift = {name: value / 2 if isinstance(value, float) else value for name, value in vars(limits).items()}
    # Levels and bounds are found anew; rotations are rounded twice.
    check(
        read_splats(second).gaussians,
        once,
        Limits(**{**drift, "rotation": limits.rotation, "position": limits.position}),
    )


ODD = st.sampled_from([0.0, -0.0, 1e-30, -1e-30, 1e-7, 1.0, -1.0, 123.456, 1e4, -1e6])
ODD_SCALES = st.sampled_from([-20.0, -19.5, -7.0, 0.0, 4.0, 12.0, 20.0])
ODD_LOGITS = st.sampled_from([-18.4, -10.0, -1e-7, 0.0, 5.0, 18.4])
ODD_COEFFICIENTS = st.sampled_from([0.0, 1e-20, 0.5, -0.5, 3.9, -3.9, 30.0, -1000.0])


@st.composite
def odd_scenes(draw: st.DrawFn) -> Gaussians:
    count, bases = draw(st.sampled_from([1, 2, 7])), draw(st.sampled_from([1, 4, 9, 16]))
    quats = draw(arrays(np.float32, (count, 4), elements=st.sampled_from([0.0, 1.0, -1.0, 1e-4, 0.7, 50.0])))
    quats[~quats.any(1)] = (0, 0, 0, -1)
    return Gaussians(
        means=draw(arrays(np.float32, (count, 3), elements=ODD.map(np.float32))),
        quats=quats,
        log_scales=draw(arrays(np.float32, (count, 3), elements=ODD_SCALES.map(np.float32))),
        logit_opacities=draw(arrays(np.float32, count, elements=ODD_LOGITS.map(np.float32))),
        sh=draw(arrays(np.float32, (count, bases, 3), elements=ODD_COEFFICIENTS.map(np.float32))),
    )


@pytest.mark.parametrize(("suffix", "options", "limits"), LIMITS, ids=NAMES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaussians=odd_scenes())
def test_odd_values_are_written_and_read(suffix, options, limits, gaussians, tmp_path):
    path = tmp_path / f"scene{suffix}"
    write_splats(gaussians, path, options)
    file = read_splats(path)
    assert file.broken == 0
    assert len(file.gaussians) == len(gaussians)
    if limits.harmonics == 0 and limits.max_degree == 3:
        found = file.gaussians
        np.testing.assert_array_equal(found.means, gaussians.means)
        np.testing.assert_array_equal(found.sh, gaussians.sh)
        np.testing.assert_allclose(found.opacities, gaussians.opacities, atol=1.1e-8 if suffix == ".ply" else 1.3e-7)
        np.testing.assert_allclose(found.log_scales, gaussians.log_scales, atol=2e-6)


@pytest.mark.parametrize(("suffix", "options", "limits"), LIMITS, ids=NAMES)
def test_endless_values_of_a_ply_become_the_largest_that_make_sense(suffix, options, limits, tmp_path):
    """Opacities of exactly 0 and 1, and points without an extent, as some trainers write them."""
    del limits
    columns = {name: np.array(column) for name, column in columns_from_gaussians(random_scene(8, 0)).items()}
    columns["opacity"][:4] = np.inf, np.inf, -np.inf, -np.inf
    columns["scale_0"][2:6] = -np.inf
    columns["scale_1"][:] = columns["scale_0"]
    write_ply(columns, tmp_path / "endless.ply")
    gaussians = read_splats(tmp_path / "endless.ply").gaussians
    write_splats(gaussians, tmp_path / f"scene{suffix}", options)
    file = read_splats(tmp_path / f"scene{suffix}")
    assert file.broken == 0
    found = matched(file.gaussians, gaussians)
    np.testing.assert_allclose(found.opacities[:4], [1, 1, 0, 0], atol=0.25 / 255 + 1e-6)
    assert (found.scales[2:6, :2] < 5e-5).all()


@pytest.mark.parametrize(("suffix", "options", "limits"), LIMITS, ids=NAMES)
def test_nearly_equal_values_are_written_and_read(suffix, options, limits, tmp_path):
    """Levels and bounds of nothing, or of neighboring floats."""
    one = random_scene(1, min(3, limits.max_degree))
    arrays_ = {name: np.repeat(value, 40, axis=0) for name, value in vars(one).items()}
    for name in ("log_scales", "sh", "means"):
        arrays_[name][1] = np.nextafter(arrays_[name][1], np.float32(9))
    write_splats(Gaussians(**arrays_), tmp_path / f"scene{suffix}", options)
    found = read_splats(tmp_path / f"scene{suffix}").gaussians
    np.testing.assert_allclose(found.means, arrays_["means"], atol=2e-4)
    np.testing.assert_allclose(found.log_scales, arrays_["log_scales"], atol=limits.log_scale + 1e-6)
    bases = (limits.max_degree + 1) ** 2
    np.testing.assert_allclose(found.sh, arrays_["sh"][:, :bases], atol=max(limits.harmonics, 4 * limits.color) + 1e-6)


@pytest.mark.parametrize(("suffix", "options", "limits"), LIMITS, ids=NAMES)
def test_equal_scenes_give_equal_files(suffix, options, limits, tmp_path):
    del limits
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_splats(random_scene(30, 2), tmp_path / folder / f"scene{suffix}", options)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.fixture(scope="module")
def large_file(tmp_path_factory) -> Path:
    """A file of 59 MB."""
    path = tmp_path_factory.mktemp("large") / "many.ply"
    write_splats(random_scene(250_000, 3), path)
    return path


def peak_of_writing(source: Path, target: Path) -> int:
    """Return the peak memory in bytes of a process that reads a file and writes it."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from img2world.formats.files import read_splats, write_splats\n"
        "write_splats(read_splats(Path(sys.argv[1])).gaussians, Path(sys.argv[2]))\n"
        # Unlike the figures of getrusage, this one begins with the process.
        "status = Path('/proc/self/status').read_text()\n"
        "print(1024 * int(status.partition('VmHWM:')[2].split()[0]))"
    )
    # More threads have more buffers, however small the file is.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    words = [sys.executable, "-c", program, str(source), str(target)]
    return int(subprocess.run(words, env=environment, capture_output=True, timeout=300, check=True).stdout)


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".compressed.ply", ".splat", ".ksplat", ".sog", ".glb"])
def test_memory_is_at_most_three_times_the_file(suffix, large_file, tmp_path):
    """What the program itself takes, and the file, which is mapped, included: for files of hundreds of megabytes."""
    write_splats(random_scene(1, 3), tmp_path / "one.ply")
    size = large_file.stat().st_size
    program = peak_of_writing(tmp_path / "one.ply", tmp_path / f"one{suffix}")
    peak = peak_of_writing(large_file, tmp_path / f"many{suffix}")
    # The palette of a SOG, a tenth of this file, is no larger for larger files.
    assert peak - program < (3.4 if suffix == ".sog" else 2.6) * size

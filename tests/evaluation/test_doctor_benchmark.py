"""`img2world eval doctor`: faults are where they are said to be, and the tables count."""

import numpy as np
import pytest

from evaluation.doctor_benchmark import DoctorRow, evaluate_doctor, precision_lines, recall_lines
from evaluation.faults import COUNT, material, spoilt_clips
from img2world.core.errors import RecipeError


@pytest.fixture(scope="module")
def clips() -> dict:
    given = material(3, None, 48)
    return {
        "given": given,
        **{name: make() for name, make in spoilt_clips(given, np.random.default_rng(0)).items()},
    }


def test_faults_are_where_they_are_said_to_be(clips):
    room = clips["given"].room
    assert len(room) == COUNT
    cut = clips["cut to another room"]
    assert np.array_equal(cut.frames.rgb[:11], room[:11])
    assert np.array_equal(cut.frames.rgb[11:], clips["given"].other_room[:11])
    repeated = clips["repeated frames, room"]
    rgb = repeated.frames.rgb
    assert tuple(i for i in range(1, len(rgb)) if np.array_equal(rgb[i], rgb[i - 1])) == repeated.where
    mirrored = clips["mirrored frames, object"]
    changed = [i for i in range(COUNT) if not np.array_equal(mirrored.frames.rgb[i], clips["given"].thing[i])]
    assert tuple(changed) == mirrored.where
    alike = clips["cut to a room of like colours"].frames.rgb[11:]
    # The whole clip has the colours of the other; its second half nearly.
    assert np.abs(alike.mean((0, 1, 2)) - room.mean((0, 1, 2))).max() < 12
    assert np.abs(alike.std((0, 1, 2)) - room.std((0, 1, 2))).max() < 12
    assert clips["none, room"].kinds == ()


def test_tables():
    def row(fault: str, wanted: tuple[str, ...], found: dict, *, placed: bool = True) -> DoctorRow:
        return DoctorRow(fault=fault, seed=0, dose="hard", wanted=wanted, also=("flicker",), found=found, placed=placed)

    rows = [
        row("a cut", ("cut",), {"cut": (11,), "flicker": (1,)}),
        row("a cut", ("cut",), {"jump": (11,)}, placed=False),
        row("nothing", (), {"cut": (4,)}, placed=False),
    ]
    lines = list(recall_lines(rows))
    assert lines[2] == "| a cut | hard | 2 | 1 | 1 | jump 1× |"
    assert lines[3].startswith("| nothing | hard | 1 | – | – | cut 1×")
    table = list(precision_lines(rows))
    assert "| cut | 50% (1 of 2) | 50% (1 of 2) |" in table
    assert "| jump | 0% (0 of 1) | – |" in table
    assert "| flicker | 100% (1 of 1) | – |" in table


def test_unknown_dose():
    with pytest.raises(RecipeError, match="there is no harsh"):
        next(evaluate_doctor(doses=("harsh",)))

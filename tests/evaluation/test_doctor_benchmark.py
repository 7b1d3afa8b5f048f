"""Injected faults are where they are declared to be, and the tables count them."""

import numpy as np
import pytest

from evaluation.doctor_benchmark import DoctorRow, evaluate_doctor, precision_lines, recall_lines
from evaluation.faults import NUM_FRAMES, faulty_clips, render_clean_clips
from evaluation.generated_clips import make_janus_clip
from img2world.core.errors import RecipeError


def test_faults_are_where_they_are_declared():
    clean = render_clean_clips(3, None, 48)
    clips = {name: make() for name, make in faulty_clips(clean, np.random.default_rng(0)).items()}
    assert len(clean.room) == NUM_FRAMES
    cut = clips["cut to another room"].frames.rgb
    assert np.array_equal(cut[:11], clean.room[:11])
    assert np.array_equal(cut[11:], clean.other_room[:11])
    repeated = clips["repeated frames, room"]
    rgb = repeated.frames.rgb
    assert tuple(i for i in range(1, len(rgb)) if np.array_equal(rgb[i], rgb[i - 1])) == repeated.fault_frames
    mirrored = clips["mirrored frames, object"]
    changed = [i for i in range(NUM_FRAMES) if not np.array_equal(mirrored.frames.rgb[i], clean.object_clip[i])]
    assert tuple(changed) == mirrored.fault_frames
    # The whole clip has the colours of the other, its second half nearly.
    matched = clips["cut to a room of like colours"].frames.rgb[11:]
    assert np.abs(matched.mean((0, 1, 2)) - clean.room.mean((0, 1, 2))).max() < 12
    assert np.abs(matched.std((0, 1, 2)) - clean.room.std((0, 1, 2))).max() < 12
    assert clips["none, room"].expected == ()
    blurred = clips["blurred frames, object"]
    changed = [i for i in range(NUM_FRAMES) if not np.array_equal(blurred.frames.rgb[i], clean.object_clip[i])]
    assert tuple(changed) == blurred.fault_frames
    assert 0.3 <= len(changed) / NUM_FRAMES <= 0.42


def test_the_front_is_at_the_back():
    """Half a turn is between two of 21 frames; their mean is nearer to the front than the side is."""
    rgb = make_janus_clip(3, 64).frames.rgb.astype(float)
    back = (rgb[10] + rgb[11]) / 2
    assert np.abs(back - rgb[0]).mean() < 0.7 * np.abs(rgb[5] - rgb[0]).mean()


def test_tables_count_findings():
    def row(fault: str, expected: tuple[str, ...], found: dict, *, localized: bool = True) -> DoctorRow:
        return DoctorRow(
            fault=fault, seed=0, degradation="hard", expected=expected, also_correct=("flicker",), found=found,
            rejecting=tuple(kind for kind in found if kind == "cut"), localized=localized,
        )  # fmt: skip

    rows = [
        row("a cut", ("cut",), {"cut": (11,), "flicker": (1,)}),
        row("a cut", ("cut",), {"jump": (11,)}, localized=False),
        row("nothing", (), {"cut": (4,)}, localized=False),
        row("another name for it", ("still camera", "no motion"), {"no motion": ()}),
    ]
    lines = list(recall_lines(rows))
    assert lines[2] == "| a cut | hard | 2 | 1 | 1 | jump 1× |"
    assert lines[3].startswith("| nothing | hard | 1 | – | – | cut 1×")
    table = list(precision_lines(rows))
    assert table[0] == "| finding | rejected rightly | precision | recall | hard |"
    assert "| cut | 50% (1 of 2) | 50% (1 of 2) | 50% (1 of 2) | 50% (1 of 2) |" in table
    assert "| jump | – | 0% (0 of 1) | – | – |" in table
    assert "| flicker | – | 100% (1 of 1) | – | – |" in table
    assert "| no motion | – | 100% (1 of 1) | – | – |" in table
    assert "| still camera | – | – | 100% (1 of 1) | 100% (1 of 1) |" in table


def test_unknown_degradation_raises():
    with pytest.raises(RecipeError, match="no degradation harsh"):
        next(evaluate_doctor(degradations=("harsh",)))

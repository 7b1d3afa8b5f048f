import json

import pytest

from img2world.quality.grade import OBJECT, SCENE, grade_world

TABLES = {False: SCENE, True: OBJECT}
"""Of scenes and of objects."""

GOOD = {is_object: {loss.figure: loss.good for loss in table} for is_object, table in TABLES.items()}
BAD = {is_object: {loss.figure: loss.bad for loss in table} for is_object, table in TABLES.items()}


def test_good_figures_give_an_a_and_bad_ones_a_d():
    for is_object in (False, True):
        assert grade_world(GOOD[is_object], is_object=is_object, cameras=None) == {
            "grade": "A",
            "score": 10.0,
            "reason": "nothing stands out",
        }
        assert grade_world(BAD[is_object], is_object=is_object, cameras=None)["grade"] == "D"
    json.dumps(grade_world(BAD[False], is_object=False, cameras=None), allow_nan=False)


@pytest.mark.parametrize("is_object", [False, True])
def test_the_reason_is_the_figure_that_costs_most(is_object):
    for loss in TABLES[is_object]:

        def grade(value, loss=loss):
            return grade_world(GOOD[is_object] | {loss.figure: value}, is_object=is_object, cameras=None)

        assert grade(loss.bad)["score"] == pytest.approx(10 - loss.points)
        assert grade(loss.bad)["reason"] == loss.reason.format(loss.bad)
        assert grade((loss.good + loss.bad) / 2)["score"] == pytest.approx(10 - loss.points / 2, abs=0.051)
        # Better than good and worse than bad count no more.
        assert grade(2 * loss.bad - loss.good)["score"] == grade(loss.bad)["score"]
        assert grade(2 * loss.good - loss.bad)["score"] == 10


def test_of_two_faults_the_reason_is_the_one_nearer_to_its_limit():
    by_name = {loss.figure: loss for loss in OBJECT}
    invented, back = by_name["invented"], by_name["plain_back"]
    value = invented.good + 0.5 * (invented.bad - invented.good)
    faults = {"invented": value, "plain_back": back.good + 0.9 * (back.bad - back.good)}
    result = grade_world(GOOD[True] | faults, is_object=True, cameras=None)
    assert invented.of(value) > back.of(faults["plain_back"])
    assert result["reason"] == back.reason.format(faults["plain_back"])


def test_videos_are_graded_by_held_out_views_and_cameras():
    def grade(psnr, cameras="A"):
        report = {"grade": cameras, "reasons": ["few frames fit"]}
        return grade_world({"heldout_psnr": psnr, "floaters": 0.9}, is_object=False, cameras=report)

    assert [grade(psnr)["grade"] for psnr in (28.0, 23.0, 20.0, 16.0)] == ["A", "B", "C", "D"]
    assert grade(31.0, "D")["grade"] == "D"
    assert "few frames fit" in grade(31.0, "C")["reason"]
    assert "23 dB" in grade(23.0)["reason"]
    # Without figures there is no grade, whatever the cameras are.
    assert grade_world({"num_gaussians": 9.0}, is_object=False, cameras={"grade": "A"}) == {}


def test_estimated_cameras_count_for_worlds_from_photos_too():
    assert grade_world(GOOD[False], is_object=False, cameras={"grade": "D", "reasons": []})["grade"] == "D"
    assert grade_world(GOOD[False], is_object=False, cameras={"solver": "commanded"})["grade"] == "A"

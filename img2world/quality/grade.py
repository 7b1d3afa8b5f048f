"""One grade for a world, with the reason why it is not better."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from img2world.core.pose_report import Grade

GRADES: tuple[tuple[float, Grade], ...] = ((8.5, "A"), (7.0, "B"), (5.0, "C"), (0.0, "D"))
"""The lowest score, of 10, for each grade."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How many points of 10 a figure costs: none up to `good`, all of them from `bad`, in between in proportion."""

    figure: str
    good: float
    bad: float
    """May be below `good`: then small values are bad."""
    points: float
    reason: str
    """Format string, with a place for the value if that says something to users."""

    def of(self, value: float) -> float:
        """Return the points that a value costs."""
        return self.points * min(max((value - self.good) / (self.bad - self.good), 0.0), 1.0)


EVERYWHERE = (
    Loss(figure="fidelity", good=30.0, bad=20.0, points=2.0, reason="the photo is met within {:.0f} dB only"),
    Loss(figure="detail", good=0.8, bad=0.4, points=2.0, reason="{:.0%} of the photo's detail is left"),
    Loss(
        figure="bending", good=0.003, bad=0.03, points=3.0, reason="straight edges bend by up to {:.1%} of the picture"
    ),
    Loss(figure="floaters", good=0.1, bad=0.3, points=1.5, reason="{:.0%} of it floats in front of surfaces"),
)

SCENE = (
    *EVERYWHERE,
    Loss(figure="wobble", good=0.05, bad=0.3, points=3.0, reason="{:.0%} of the outlines are deformed by a move"),
    Loss(figure="parallax", good=0.03, bad=0.0, points=4.0, reason="it is flat: parallax is {:.1%} of the picture"),
    Loss(figure="unseen", good=0.2, bad=0.5, points=3.0, reason="{:.0%} of the widest views is not in the photo"),
    Loss(figure="stretched", good=0.04, bad=0.2, points=2.0, reason="{:.0%} of the widest views is stretched"),
)

OBJECT = (
    *EVERYWHERE,
    Loss(figure="invented", good=0.1, bad=1.0, points=6.0, reason="{:.0%} of it is invented"),
    Loss(figure="plain_back", good=0.02, bad=0.1, points=2.0, reason="the back is plain and lacks the front's detail"),
    Loss(figure="fused", good=0.1, bad=0.6, points=2.0, reason="gaps are filled: {:.0%} less outline from the side"),
    Loss(figure="thickness", good=0.3, bad=0.05, points=3.0, reason="it is flat: {:.0%} as thick as large"),
)

CAMERAS = "cameras"
CAMERA_POINTS = {"A": 0.0, "B": 2.5, "C": 4.5, "D": 8.0}
"""Points that the grade of estimated cameras costs, and the name of that cost."""

HELDOUT_VIEWS = "heldout_views"
"""Name of the number of views that were held out."""

HELDOUT = Loss(
    figure="heldout_psnr",
    good=27.0,
    bad=15.0,
    points=7.0,
    reason="views that were held out are met within {:.0f} dB, 27 or more cost nothing",
)
"""Loss of worlds from videos and photo sets, whose views are pictures; views made from one photo resemble each other
anyway. Both limits were set on six photo sets, looked at beside the photos that were held out."""

HELDOUT_ALONE = replace(
    HELDOUT, reason="the only view that was held out is met within {:.0f} dB; a single view says little"
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The points that a world lost."""

    figure: str
    """Name of the figure that cost them, or CAMERAS."""
    points: float
    most: float
    """The points that it can cost."""
    reason: str


def find_costs(figures: Mapping[str, float], *, is_object: bool, cameras: Mapping[str, Any] | None) -> list[Cost]:
    """Return what each figure of a world and the grade of its cameras cost, of 10 points; empty without a figure."""
    held_out = HELDOUT_ALONE if figures.get(HELDOUT_VIEWS) == 1 else HELDOUT
    table = (held_out,) if HELDOUT.figure in figures else OBJECT if is_object else SCENE
    costs = [
        Cost(figure=loss.figure, points=loss.of(value), most=loss.points, reason=loss.reason.format(value))
        for loss, value in _known(figures, table)
    ]
    if costs and cameras and "grade" in cameras:
        why = "; ".join(cameras.get("reasons", ())) or "they fit their frames"
        reason, most = f"the cameras have grade {cameras['grade']}: {why}", max(CAMERA_POINTS.values())
        costs.append(Cost(figure=CAMERAS, points=CAMERA_POINTS[cameras["grade"]], most=most, reason=reason))
    return costs


def grade_world(figures: Mapping[str, float], *, is_object: bool, cameras: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return grade, score of 10 and reason of a world, by its figures and by the report on its cameras.

    The reason is the figure that costs most of the points that it can cost. Figures that are missing cost nothing;
    without any there is no grade.
    """
    costs = find_costs(figures, is_object=is_object, cameras=cameras)
    if not costs:
        return {}
    score = max(10 - sum(cost.points for cost in costs), 0.0)
    grade = next(grade for limit, grade in GRADES if score >= limit)
    worst = max(costs, key=lambda cost: cost.points / cost.most)
    return {
        "grade": grade,
        "score": round(score, 1),
        "reason": worst.reason if worst.points > 0 else "nothing stands out",
    }


def _known(figures: Mapping[str, float], table: Sequence[Loss]) -> Iterator[tuple[Loss, float]]:
    """Yield what each known figure can cost, and its value."""
    for loss in table:
        if loss.figure in figures:
            yield loss, figures[loss.figure]

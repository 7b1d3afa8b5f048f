import numpy as np
import pytest
from scenes import ball_views

from img2world.core.errors import SubjectError
from img2world.core.frames import Frames
from img2world.core.live import Unwatched
from img2world.core.views import Views
from img2world.runs.folder import RunFolder
from img2world.runs.product import Product
from img2world.runs.recipe import load_recipe
from img2world.runs.source import Source
from img2world.runs.stages import isolate, optimize, seen_fractions


@pytest.fixture
def isolate_in(tmp_path):
    """Isolates what views show in a run folder; gives what the stage did, and the views that are passed on."""

    def call(views: Views, *changes: str, name: str = "run"):
        told = []
        source = Source(kind="photos", path=tmp_path, known_digest="photos")
        with RunFolder.open(tmp_path / name, told.append) as folder:
            product = Product(digest="views", load=lambda: views)
            passed_on = isolate(folder, source, load_recipe("photos", changes), product)
            return [event.kind for event in told if event.kind in ("done", "skip")], passed_on.value

    return call


def test_the_subject_is_isolated_once_and_given_up_when_it_is_no_longer_asked_for(isolate_in, tmp_path):
    views, _ = ball_views(3)
    done, alone = isolate_in(views, "subject.kind=object")
    assert done == ["done"]
    assert alone.alpha is not None
    done, again = isolate_in(views, "subject.kind=object")
    assert done == ["skip"]
    np.testing.assert_array_equal(again.rgb, alone.rgb)
    done, all_of_it = isolate_in(views)
    assert done == []
    assert all_of_it is views
    assert not (tmp_path / "run" / "isolated").exists()


def test_views_of_nothing_leave_no_product(isolate_in, tmp_path):
    views, _ = ball_views(2)
    with pytest.raises(SubjectError, match="2 views"):
        isolate_in(views, "subject.kind=object")
    assert not (tmp_path / "run" / "isolated").exists()


class Stopping(Unwatched):
    """Someone who stops a training after its third step."""

    def stops(self, done: int) -> bool:
        self.stopped_at = 3 if done >= 3 else None
        return done >= 3


@pytest.mark.filterwarnings("ignore:the scene reproduces held-out views badly")
def test_a_training_that_was_stopped_is_done_until_it_is_to_start_over(balls_views, tmp_path):
    recipe = load_recipe("photos", ["splat.steps=40", "splat.max_gaussians=100"])
    views, told = Product(digest="views", load=lambda: balls_views), []
    with RunFolder.open(tmp_path / "run", told.append) as folder:
        stopped = optimize(folder, recipe, views, Stopping())
        assert folder.record("splat").metrics["stopped_at"] == 3
        assert optimize(folder, recipe, views).digest == stopped.digest
        assert [event.kind for event in told if event.kind in ("done", "skip")] == ["done", "skip"]
        folder.forget(["splat"])
        assert optimize(folder, recipe, views).digest != stopped.digest
        assert "stopped_at" not in folder.record("splat").metrics


def test_of_an_object_only_its_own_pixels_are_counted_by_origin():
    seen = np.zeros((2, 10, 10), np.uint8)
    seen[:, :5, :5], seen[:, :5, 5:] = 2, 1
    frames = Frames(rgb=np.zeros((2, 10, 10, 3), np.uint8), times=np.zeros(2), seen=seen)
    assert seen_fractions(frames) == pytest.approx({"invented": 0.5, "continued": 0.25, "seen": 0.25})
    alpha = np.zeros_like(seen)
    alpha[:, :6] = 255
    frames = Frames(rgb=frames.rgb, times=frames.times, seen=seen, alpha=alpha)
    fractions = seen_fractions(frames)
    assert fractions == pytest.approx({"invented": 1 / 6, "continued": 25 / 60, "seen": 25 / 60})
    assert seen_fractions(Frames(rgb=frames.rgb, times=frames.times)) == {}

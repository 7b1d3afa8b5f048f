"""Trainings that someone watches, and trainings that are stopped early."""

import pytest

from img2world.core.live import Unwatched
from img2world.core.scene import Scene
from img2world.splat.cpu import CpuModel
from img2world.splat.metrics import evaluate
from img2world.splat.optimize import SETTLING_FRACTION, GaussianSplat


class Watching(Unwatched):
    """Someone who looks at every step, and stops at one of them."""

    def __init__(self, stop_after: int = 0) -> None:
        self.stop_after, self.scenes, self.asked = stop_after, [], []

    def is_looking(self) -> bool:
        return True

    def show(self, make) -> None:
        self.scenes.append(make)

    def stops(self, done: int) -> bool:
        self.asked.append(done)
        return done == self.stop_after


def test_a_training_that_is_watched_gives_the_same_bits(wall_views):
    backend = GaussianSplat(steps=30, max_gaussians=1500, densify_gradient=1e-5, refine_poses=True)
    watching = Watching()
    alone, watched = backend.optimize(wall_views), backend.optimize(wall_views, live=watching)
    for name, value in vars(alone.gaussians).items():
        assert value.tobytes() == getattr(watched.gaussians, name).tobytes()
    assert alone.cameras.world_from_cam.tobytes() == watched.cameras.world_from_cam.tobytes()
    # After the last step there is the scene itself.
    assert watching.asked == list(range(1, 30))


def test_what_is_shown_stays_as_it_was_and_becomes_better(wall_views):
    backend, watching = GaussianSplat(steps=80, max_gaussians=1000), Watching()
    backend.optimize(wall_views, live=watching)
    held_out = backend.held_out(len(wall_views))
    # These are made after the training, from what was handed over on its way.
    psnr = []
    for i in (0, 20, 70):
        scene = watching.scenes[i]()
        assert isinstance(scene, Scene)
        assert len(scene.cameras) == len(wall_views)
        psnr.append(evaluate(scene, wall_views, held_out)["heldout_psnr"])
    assert psnr[0] + 2 < psnr[1] < psnr[2]


def test_a_stopped_training_ends_soon_in_order_and_without_new_gaussians(wall_views, monkeypatch):
    sizes, reports, step = [], [], CpuModel.step
    monkeypatch.setattr(CpuModel, "step", lambda self, *args: (step(self, *args), sizes.append(len(self))))
    backend = GaussianSplat(steps=200, max_gaussians=20_000, densify_gradient=1e-6)
    scene = backend.optimize(
        wall_views, live=Watching(62), progress=lambda done, total, **figures: reports.append((done, total))
    )
    settled = 62 + int(SETTLING_FRACTION * 200)
    assert len(sizes) == settled
    assert reports[-1] == (settled, settled)
    # It grew every twelve steps, and would have again in those that followed.
    assert sizes[20] < sizes[30] < sizes[45]
    assert len(set(sizes[61:])) == 1
    held_out = backend.held_out(len(wall_views))
    assert evaluate(scene, wall_views, held_out)["heldout_psnr"] > 24
    assert scene.gaussians.opacities.min() >= 0.01


def test_settling_makes_it_better_than_breaking_off(wall_views, monkeypatch):
    # Large learning rates leave the Gaussians restless until they fall at the end.
    backend = GaussianSplat(steps=400, max_gaussians=1500, means_lr=4e-3)
    held_out = backend.held_out(len(wall_views))
    watching = Watching(80)
    settled = backend.optimize(wall_views, live=watching)
    broken_off = watching.scenes[79]()
    values = [evaluate(scene, wall_views, held_out)["heldout_psnr"] for scene in (broken_off, settled)]
    assert values[1] > values[0] + 0.3


@pytest.mark.parametrize("stop_after", [30, 58])
def test_a_stop_near_the_end_changes_little(wall_views, stop_after):
    reports = []
    GaussianSplat(steps=60, max_gaussians=500).optimize(
        wall_views, live=Watching(stop_after), progress=lambda done, total, **figures: reports.append((done, total))
    )
    end = min(stop_after + 3, 60)
    assert reports[-1] == (end, end)


def test_of_a_stopped_training_the_best_result_is_kept_where_held_out_views_are_measured(wall_views, monkeypatch):
    rates = GaussianSplat.learning_rates

    def spoiling_rates(self, fraction, scene_depth):
        """From the second check on, the training destroys what it has."""
        return {
            name: rate * (1 if fraction < 0.5 else 300) for name, rate in rates(self, fraction, scene_depth).items()
        }

    monkeypatch.setattr(GaussianSplat, "learning_rates", spoiling_rates)
    psnr = {}
    for patience in (20, 0):
        backend = GaussianSplat(steps=100, max_gaussians=800, patience=patience)
        scene = backend.optimize(wall_views, live=Watching(60))
        psnr[patience] = evaluate(scene, wall_views, backend.held_out(len(wall_views)))["heldout_psnr"]
    assert psnr[20] > psnr[0] + 3

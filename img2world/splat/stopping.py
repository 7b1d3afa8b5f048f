"""When to end a training early, and with which result."""

from img2world.core.cameras import Cameras
from img2world.core.gaussians import Gaussians

CHECK_EVERY, MIN_CHECK_INTERVAL = 0.05, 25
"""Fraction of the training, and fewest steps, between evaluations of the held-out views for early stopping."""

MIN_GAIN_DB = 0.02
"""A smaller gain on the held-out views does not count as progress."""

Result = tuple[Gaussians, Cameras]
"""The Gaussians of a training, and the cameras that it was made with or has refined."""


class EarlyStopping:
    """Decides to stop when the held-out views no longer improve, and keeps the result that showed them best."""

    best: Result

    def __init__(self, steps: int, patience: int) -> None:
        self._patience, self._checks_without_gain, self._best_psnr = patience, 0, 0.0
        self._interval = max(MIN_CHECK_INTERVAL, round(CHECK_EVERY * steps))

    @property
    def has_best(self) -> bool:
        """Whether a result has been kept."""
        return self._best_psnr > 0

    def is_due(self, step: int) -> bool:
        """Tell whether to check after a step."""
        return self._patience > 0 and (step + 1) % self._interval == 0

    def is_reached(self, psnr: float, result: Result) -> bool:
        """Tell whether to stop, given how well a result shows the held-out views."""
        if psnr > self._best_psnr + MIN_GAIN_DB:
            self._best_psnr, self._checks_without_gain, self.best = psnr, 0, result
        else:
            self._checks_without_gain += 1
        return self._checks_without_gain >= self._patience

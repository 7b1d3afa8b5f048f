"""A time limit that a user may set for work that otherwise takes as long as it needs."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """A number of seconds from its creation on; 0 is no limit."""

    limit: float
    start: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left; infinite without a limit."""
        return self.start + self.limit - time.monotonic() if self.limit else float("inf")

    def is_over(self, fraction: float = 1.0) -> bool:
        """Tell whether a fraction of the limit has passed."""
        return self.left <= (1 - fraction) * self.limit

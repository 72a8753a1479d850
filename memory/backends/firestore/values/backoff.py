"""Pauses between attempts, with full jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Pauses in seconds: each a random part of a bound, which doubles from `bound` to `longest`."""

    bound: float
    longest: float

    def next_pause(self) -> float:
        """How long to wait before the next attempt."""
        seconds = random.uniform(0, self.bound)  # noqa: S311 - jitter, not a secret
        self.bound = min(self.longest, self.bound * 2)
        return seconds

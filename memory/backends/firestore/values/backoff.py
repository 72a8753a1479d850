"""Exponential backoff with full jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Random pauses in seconds, with an upper bound that doubles from `bound` to `longest`."""

    bound: float
    longest: float

    def next_pause(self) -> float:
        """The pause before the next attempt."""
        seconds = random.uniform(0, self.bound)  # noqa: S311 - jitter, not a secret
        self.bound = min(self.longest, self.bound * 2)
        return seconds

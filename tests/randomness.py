"""The examples of random tests: the same in each run where every real backend is required, new ones elsewhere.

A run that decides about a change fails for that change alone. New examples are for the runs of developers, and for
`MEMORY_FUZZ_EXAMPLES` and the soaks.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from . import backends


def load_profile() -> None:
    """Let hypothesis neither time its examples nor how they are made, since a machine may be busy.

    Examples are repeated where every backend is required.
    """
    slow = [HealthCheck.too_slow]
    settings.register_profile("memory", deadline=None, suppress_health_check=slow, derandomize=backends.required())
    settings.load_profile("memory")

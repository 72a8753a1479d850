"""The examples of random tests: the same in each run where every real backend is required, new ones elsewhere.

A run that decides about a change fails for that change alone. New examples are for the runs of developers, and for
`MEMORY_FUZZ_EXAMPLES` and the soaks.
"""

from __future__ import annotations

from hypothesis import settings

from . import backends


def load_profile() -> None:
    """Let hypothesis have no deadline, since a machine may be busy, and repeat its examples if that is asked for."""
    settings.register_profile("memory", deadline=None, derandomize=backends.required())
    settings.load_profile("memory")

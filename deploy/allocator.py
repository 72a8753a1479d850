"""glibc's allocator, set so that a long-running process returns freed memory."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Final

KILOBYTE: Final = 1024

# Numbers of mallopt(3): https://man7.org/linux/man-pages/man3/mallopt.3.html
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8

OPTIONS: Final[Mapping[str, tuple[int, int]]] = {
    "MALLOC_ARENA_MAX": (M_ARENA_MAX, 2),  # by default eight for each core, each with free memory of its own
    "MALLOC_MMAP_THRESHOLD_": (
        M_MMAP_THRESHOLD,
        128 * KILOBYTE,
    ),  # by default it grows up to 32 MB
    "MALLOC_TRIM_THRESHOLD_": (M_TRIM_THRESHOLD, 128 * KILOBYTE),
}
"""By environment variable: the option, and the value unless the variable is set."""


def return_freed_memory(environ: Mapping[str, str] = os.environ) -> bool:
    """Set the options of this process and of those that it forks; returns whether they are set. False without glibc.

    Call it before threads start, since each gets an arena.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return all(mallopt(*option) == 1 for name, option in OPTIONS.items() if name not in environ)

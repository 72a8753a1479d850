"""The real backends that tests need: which of them this machine has."""

import os
import shutil
from collections.abc import Callable, Mapping

from memory.testing.redis import find_redis_server


def chromium() -> str | None:
    """The browser's executable."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


BACKENDS: Mapping[str, Callable[[], str | None]] = {"chromium": chromium, "redis": find_redis_server}


def missing() -> list[str]:
    """Names of the backends that this machine lacks."""
    return [name for name, find in BACKENDS.items() if find() is None]


def required() -> bool:
    """Whether a missing backend fails the run instead of skipping tests."""
    return os.environ.get("MEMORY_REQUIRE_BACKENDS") == "1"

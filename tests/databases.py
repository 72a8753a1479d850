"""Databases that a test or a benchmark adds to those of its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connections

FIRESTORE = "memory.backends.firestore"


@contextmanager
def added(alias: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """A further database, as an entry of `DATABASES` has it, under an alias; gone afterwards."""
    known = {"default": connections.databases["default"], alias: dict(settings)}
    connections.databases[alias] = connections.configure_settings(known)[alias]
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections.databases[alias], connections[alias]


@contextmanager
def firestore(alias: str, address: str, project: str, **options: Any) -> Iterator[str]:
    """A further database of Firestore at an address, of a project; `options` are the engine's."""
    with added(alias, {"ENGINE": FIRESTORE, "HOST": address, "PROJECT": project, "OPTIONS": options}):
        yield alias

"""The checks, one per backend, and the classification of their errors."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol
from uuid import uuid4

from django.apps import apps
from django.conf import settings
from django.core.cache import BaseCache, caches
from django.db import connections, router
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from ..conf import memory_settings

TIMEOUT = "timeout"
LEAST_FREE_BYTES = 32 * 1024 * 1024
"""A write of the largest request, with its log and indexes."""

ENGINES: Mapping[str, str] = {"sqlite": "embedded SQLite", "firestore": "Firestore", "postgresql": "PostgreSQL"}
CACHE_ENGINES: Mapping[str, str] = {"RedisCache": "Redis", "LocMemCache": "local memory", "DummyCache": "none"}


class UnhealthyError(Exception):
    """A backend responded incorrectly. The text is the failure class that is reported."""


# Keyed by class names, since only the driver in use is installed. The first name that matches the class of an error, of
# one of its bases or of one of its causes applies, so specific names come first.
FAILURES: Mapping[str, str] = {
    "AuthenticationError": "authentication failed",
    "Unauthenticated": "authentication failed",
    "PermissionDenied": "permission denied",
    "PermissionError": "permission denied",
    "TimeoutError": TIMEOUT,
    "DeadlineExceeded": TIMEOUT,
    "ConnectionRefusedError": "connection refused",
    "gaierror": "unknown host",
    "ConnectionError": "connection failed",
    "ServiceUnavailable": "connection failed",
}


def failure_class(error: BaseException) -> str:
    """The failure class of an error. It never has the error's text, which may contain hosts or secrets."""
    if isinstance(error, UnhealthyError):
        return str(error)
    names = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    return next((failure for name, failure in FAILURES.items() if name in names), "error")


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    `engine`: the backend's name. `failure`: the failure class, empty if the check passed. `seconds`: the duration, None
    if the backend has not responded.
    """

    engine: str
    failure: str = ""
    seconds: float | None = field(default=None, compare=False)


class Check(Protocol):
    """A check of one backend."""

    @property
    def key(self) -> Hashable:
        """Identifies the query; checks with equal keys share one run."""

    @property
    def runs_in_caller(self) -> bool:
        """Whether the check must run in the calling thread."""

    def engine(self) -> str:
        """The backend's display name; no I/O."""

    def run(self) -> None:
        """Raise an exception if the backend is unhealthy."""


@dataclass(frozen=True)
class DatabaseCheck:
    """Queries the database of a model (`app_label.ModelName`, or None for the user model)."""

    model: str | None

    @property
    def key(self) -> Hashable:
        """Per table; on Firestore, where tables cannot be missing, per database."""
        alias = self._alias()
        return (alias,) if connections[alias].vendor == "firestore" else (alias, self._model()._meta.label)

    def _alias(self) -> str:
        return router.db_for_read(self._model())

    def _model(self) -> Any:
        return apps.get_model(self.model or settings.AUTH_USER_MODEL)

    @property
    def runs_in_caller(self) -> bool:
        """An in-memory SQLite database belongs to the connection of its thread."""
        connection: Any = connections[self._alias()]
        return bool(connection.vendor == "sqlite" and connection.is_in_memory_db())

    def engine(self) -> str:
        """Derived from the connection's vendor."""
        vendor = connections[self._alias()].vendor
        return ENGINES.get(vendor, vendor)

    def run(self) -> None:
        """Read at most one row; the table may be empty. The disk of a database file must have room for writes."""
        self._model()._base_manager.using(self._alias()).exists()
        check_disk(self._alias())


def check_disk(alias: str) -> None:
    """Raise `UnhealthyError` if the disk of an SQLite file is full: reads succeed and writes fail."""
    connection: Any = connections[alias]
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        return
    folder = Path(str(connection.settings_dict["NAME"])).absolute().parent
    if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
        raise UnhealthyError("disk full")


@dataclass(frozen=True)
class MigrationsCheck(DatabaseCheck):
    """Queries the database, and checks that the app's migrations are applied."""

    @property
    def key(self) -> Hashable:
        """Per database and app."""
        return ("migrations", self._alias(), self._model()._meta.app_label)

    def run(self) -> None:
        """Compare the applied migrations with those of the app."""
        label = self._model()._meta.app_label
        recorder = MigrationRecorder(connections[self._alias()])
        applied: set[str] = set()
        if recorder.has_table():
            applied = set(recorder.migration_qs.filter(app=label).values_list("name", flat=True))
        if migration_names(label) - applied:
            raise UnhealthyError("migrations not applied")


@cache
def migration_names(app_label: str) -> frozenset[str]:
    """The names of an app's migrations."""
    known = MigrationLoader(None).disk_migrations or {}
    return frozenset(name for label, name in known if label == app_label)


def _is_of_redis(cache: BaseCache) -> bool:
    """Whether a cache is django-redis's, whose module its class then has loaded."""
    known = sys.modules.get("django_redis.cache")
    return known is not None and isinstance(cache, known.RedisCache)


@dataclass(frozen=True)
class CacheCheck:
    """Writes to the cache `MEMORY["CACHE"]` and reads the value back."""

    SECONDS: ClassVar[int] = 10  # expires keys of checks that were interrupted
    runs_in_caller: ClassVar[bool] = False

    @property
    def key(self) -> Hashable:
        """Per cache alias."""
        return ("cache", memory_settings.cache)

    def _cache(self) -> BaseCache:
        return caches[memory_settings.cache]

    def engine(self) -> str:
        """Derived from the cache's class."""
        name = type(self._cache()).__name__
        return CACHE_ENGINES.get(name, name)

    def run(self) -> None:
        """Write, read and delete a unique key."""
        found: Any = self._cache()
        # django-redis' client raises exceptions that the cache may be configured to ignore.
        store = found.client if _is_of_redis(found) else found
        key, value = f"memory-health:{uuid4().hex}", uuid4().hex
        store.set(key, value, timeout=self.SECONDS)
        if store.get(key) != value:
            raise UnhealthyError("does not keep what is written")
        store.delete(key)

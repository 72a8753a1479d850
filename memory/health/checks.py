"""The checks: one question to one backend each, and the class of failure that an error is told by."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Protocol
from uuid import uuid4

from django.apps import apps
from django.conf import settings
from django.core.cache import BaseCache, caches
from django.db import connections, router
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django_redis.cache import RedisCache

from ..conf import memory_settings

TIMEOUT = "timeout"
ENGINES: Mapping[str, str] = {"sqlite": "embedded SQLite", "firestore": "Firestore", "postgresql": "PostgreSQL"}
CACHE_ENGINES: Mapping[str, str] = {"RedisCache": "Redis", "LocMemCache": "local memory", "DummyCache": "none"}


class UnhealthyError(Exception):
    """A backend answered, and the answer is wrong; the text is the class of failure that users see."""


# By the names of classes, since no driver but the one in use need be there. From the most telling to the least: the
# first that an error, one of its bases or one of its causes is called.
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
    """The class of a failure in a word or two; never the error's text, which may name hosts or hold secrets."""
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
    """What a check found.

    `engine`: what it looked at. `failure`: the class of failure, empty where there is none. `seconds`: how long the
    backend took, None where it has not answered.
    """

    engine: str
    failure: str = ""
    seconds: float | None = field(default=None, compare=False)


class Check(Protocol):
    """One question to one backend."""

    @property
    def question(self) -> Hashable:
        """What is asked; checks that ask the same share one run."""

    @property
    def in_place(self) -> bool:
        """Whether it must run in the thread that asks."""

    def engine(self) -> str:
        """The backend's name for people; no I/O."""

    def run(self) -> None:
        """Return if all is well, raise if not."""


@dataclass(frozen=True)
class DatabaseCheck:
    """The database that holds a model (`app_label.ModelName`, or None for the project's users) answers a query."""

    model: str | None

    @property
    def question(self) -> Hashable:
        """One of each table; on Firestore, where no table can be missing, one of the whole database."""
        alias = self._alias()
        return (alias,) if connections[alias].vendor == "firestore" else (alias, self._model()._meta.label)

    def _alias(self) -> str:
        return router.db_for_read(self._model())

    def _model(self) -> Any:
        return apps.get_model(self.model or settings.AUTH_USER_MODEL)

    @property
    def in_place(self) -> bool:
        """An SQLite database in memory belongs to its connection, which belongs to its thread."""
        connection: Any = connections[self._alias()]
        return bool(connection.vendor == "sqlite" and connection.is_in_memory_db())

    def engine(self) -> str:
        """By the connection's vendor."""
        vendor = connections[self._alias()].vendor
        return ENGINES.get(vendor, vendor)

    def run(self) -> None:
        """Read one row at most; an empty table is fine."""
        self._model()._base_manager.using(self._alias()).exists()


@dataclass(frozen=True)
class MigrationsCheck(DatabaseCheck):
    """The database answers, and the app's own migrations are applied to it."""

    @property
    def question(self) -> Hashable:
        """One of each app."""
        return ("migrations", self._alias(), self._model()._meta.app_label)

    def run(self) -> None:
        """Read the names of the applied migrations."""
        label = self._model()._meta.app_label
        recorder = MigrationRecorder(connections[self._alias()])
        applied: set[str] = set()
        if recorder.has_table():
            applied = set(recorder.migration_qs.filter(app=label).values_list("name", flat=True))
        if migration_names(label) - applied:
            raise UnhealthyError("migrations not applied")


@cache
def migration_names(app_label: str) -> frozenset[str]:
    """The migrations that an app ships."""
    known = MigrationLoader(None).disk_migrations or {}
    return frozenset(name for label, name in known if label == app_label)


@dataclass(frozen=True)
class CacheCheck:
    """The cache of `MEMORY["CACHE"]` gives back what was written to it."""

    SECONDS: ClassVar[int] = 10  # what is left behind by a check that dies midway goes away by itself
    in_place: ClassVar[bool] = False

    @property
    def question(self) -> Hashable:
        """One of each cache."""
        return ("cache", memory_settings.cache)

    def _cache(self) -> BaseCache:
        return caches[memory_settings.cache]

    def engine(self) -> str:
        """By the cache's class."""
        name = type(self._cache()).__name__
        return CACHE_ENGINES.get(name, name)

    def run(self) -> None:
        """Write, read and delete a key of its own."""
        found = self._cache()
        # The client of django-redis raises what the cache itself may be configured to ignore.
        store: Any = found.client if isinstance(found, RedisCache) else found
        key, value = f"memory-health:{uuid4().hex}", uuid4().hex
        store.set(key, value, timeout=self.SECONDS)
        if store.get(key) != value:
            raise UnhealthyError("does not keep what is written")
        store.delete(key)

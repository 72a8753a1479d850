"""The app's exceptions.

Exception
├── StorageError              an operation on storage failed; it had no effect unless the message says otherwise
│   ├── ConnectionError       storage cannot be reached or does not answer; also a builtin ConnectionError (OSError)
│   └── PersonErased          the person was erased, and until a given time nothing of them can be written
└── django.core.exceptions.ValidationError
    └── ValidationError       a record is beyond the limits of storage; `message_dict` names the field

The stores (`memory.stores`) raise these three instead of a driver's errors; `translated` maps errors of databases and
of Redis to them. The driver's error is the `__cause__`. Its text is not part of the message, since it may contain
hosts, users and values.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TypeAlias

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import utils as db
from django.db.transaction import TransactionManagementError

from .contention import is_contention, is_outcome_unknown
from .embedding import EmbedderError, NoEmbedderError

__all__ = ["ConnectionError", "PersonErased", "StorageError", "ValidationError", "storage_errors", "translated"]


class StorageError(Exception):
    """An operation on storage failed."""


class ConnectionError(StorageError, builtins.ConnectionError):
    """Storage cannot be reached or does not answer: the same call may succeed later."""


class PersonErased(StorageError):
    """The person was erased: until `until` nothing of theirs can be written. Nothing was written."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"This person was erased. Writes are refused until {until.isoformat(timespec='seconds')}.")
        self.until = until


class ValidationError(DjangoValidationError):
    """A record is beyond Firestore's limits. Raised before anything is written, on every engine."""


AppError = type[StorageError] | type[ValidationError]

Translation: TypeAlias = tuple[type[Exception], AppError, str]

DATABASE_TRANSLATIONS: tuple[Translation, ...] = (
    (db.InterfaceError, ConnectionError, "the database cannot be reached; check that it runs, then try again"),
    (db.OperationalError, ConnectionError, "the database is not available; check that it runs, then try again"),
    (db.IntegrityError, StorageError, "a record with this id already exists; use another id for a new record"),
    (db.DataError, ValidationError, "the database cannot hold or compare one of the values"),
    (db.NotSupportedError, StorageError, "the database does not support this; see the cause for an alternative"),
    (
        TransactionManagementError,
        StorageError,
        "the surrounding transaction has already failed; leave its atomic() first",
    ),
    (db.ProgrammingError, StorageError, "a table or an index is missing; apply migrations and deploy indexes"),
    (db.Error, StorageError, "the database failed; see the cause"),
    (NoEmbedderError, StorageError, "MEMORY['EMBEDDER'] is not a valid embedder; run manage.py check"),
    (EmbedderError, ConnectionError, "the embedder does not answer; try again"),
)
"""A driver's error, the app's error for it, and its message; the most specific first. For Redis: `_of_redis`."""


def translations() -> tuple[Translation, ...]:
    """Those of databases and, once a client of Redis is loaded, those of Redis."""
    return (*DATABASE_TRANSLATIONS, *(_of_redis() if "redis" in sys.modules else ()))


def drivers() -> tuple[type[Exception], ...]:
    """The errors that are translated."""
    kinds = tuple(error for error, _, _ in translations())
    return (*kinds, _interrupted()) if "django_redis" in sys.modules else kinds


@cache
def _of_redis() -> tuple[Translation, ...]:
    from redis import exceptions as redis  # slow to import, and only for errors that it has raised

    return (
        (redis.MaxConnectionsError, ConnectionError, "all connections to Redis are in use; try again"),
        (redis.AuthenticationError, ConnectionError, "Redis rejected the password; check REDIS_PASSWORD"),
        (redis.ConnectionError, ConnectionError, "Redis cannot be reached; check host and port, then try again"),
        (redis.TimeoutError, ConnectionError, "Redis timed out; try again"),
        (redis.ClusterDownError, ConnectionError, "the Redis cluster is down; try again"),
        (redis.SlotNotCoveredError, ConnectionError, "part of the Redis cluster is down; try again"),
        (redis.DataError, ValidationError, "Redis cannot store a value of this type; use JSON"),
        (redis.RedisError, StorageError, "Redis rejected the operation; see the cause"),
        (redis.RedisClusterException, StorageError, "the Redis cluster rejected the operation; see the cause"),
        (
            redis.ChildDeadlockedError,
            StorageError,
            "the connection to Redis was made before a fork; connect in the child process",
        ),
        (redis.IncorrectPolicyType, StorageError, "Redis is misconfigured; see the cause"),
        *_of_django_redis(),
    )


def _of_django_redis() -> tuple[Translation, ...]:
    try:
        from django_redis.exceptions import CompressorError
    except ImportError:  # without the extra "redis"
        return ()
    return ((CompressorError, StorageError, "a value in Redis cannot be decompressed; delete its key"),)


@cache
def _interrupted() -> type[Exception]:
    from django_redis.exceptions import ConnectionInterrupted

    found: type[Exception] = ConnectionInterrupted
    return found


def translated(error: Exception, operation: str) -> StorageError | ValidationError:
    """The app's error for a driver's error, to be raised `from` it. Raises `TypeError` for any other error.

    `operation` names the operation and starts the message: "Storing a memory item".
    """
    if "django_redis" in sys.modules and isinstance(error, _interrupted()):  # django-redis wraps the error
        from redis.exceptions import ConnectionError as RedisConnectionError

        cause = error.__cause__
        return translated(cause if isinstance(cause, drivers()) else RedisConnectionError(), operation)
    if is_outcome_unknown(error):
        return StorageError(f"{operation}: the response was lost; read the records before you write them again.")
    if is_contention(error):
        return ConnectionError(f"{operation} failed: other writers changed the same records; nothing was written.")
    for driver_error, app_error, meaning in translations():
        if isinstance(error, driver_error):
            return app_error(f"{operation} failed: {meaning}.")
    raise TypeError(f"{type(error).__name__} is not an error of a database or of Redis") from error


@contextmanager
def storage_errors(operation: str) -> Iterator[None]:
    """Raise the app's error for a driver's error inside; others pass."""
    try:
        yield
    except drivers() as error:
        raise translated(error, operation) from error

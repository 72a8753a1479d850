"""What the app raises beside Django's own errors.

Exception
├── StorageError              an operation on storage failed; nothing of it was done unless the message says otherwise
│   └── ConnectionError       storage cannot be reached, or does not answer; also a builtin ConnectionError (OSError)
└── django.core.exceptions.ValidationError
    └── ValidationError       a record that storage would refuse; `message_dict` names the field

The stores (`memory.stores`) raise these three and nothing of a driver's: `translated` is the one table by which errors
of databases and of Redis become ours. The driver's error stays in the chain (`__cause__`), its text out of the message,
since drivers put hosts, users and values there.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import utils as db
from django.db.transaction import TransactionManagementError
from django_redis.exceptions import CompressorError, ConnectionInterrupted
from redis import exceptions as redis

from .embedding import EmbedderError, NoEmbedderError

__all__ = ["ConnectionError", "StorageError", "ValidationError", "storage_errors", "translated"]


class StorageError(Exception):
    """An operation on storage failed."""


class ConnectionError(StorageError, builtins.ConnectionError):
    """Storage cannot be reached or does not answer: the same call may succeed later."""


class ValidationError(DjangoValidationError):
    """A record that Firestore would refuse, told before anything is written, on every engine."""


Ours = type[StorageError] | type[ValidationError]

TRANSLATIONS: tuple[tuple[type[Exception], Ours, str], ...] = (
    (db.InterfaceError, ConnectionError, "the database cannot be reached; check that it runs, then try again"),
    (db.OperationalError, ConnectionError, "the database does not serve this now; check that it is there, try again"),
    (db.IntegrityError, StorageError, "a record with this id exists already; give a new record an id of its own"),
    (db.DataError, ValidationError, "the database cannot hold or compare one of the values"),
    (db.NotSupportedError, StorageError, "the database cannot do this; the cause says what to ask for instead"),
    (
        TransactionManagementError,
        StorageError,
        "the transaction around it has failed already; leave its atomic() first",
    ),
    (db.ProgrammingError, StorageError, "the database lacks what this needs; apply migrations and deploy indexes"),
    (db.Error, StorageError, "the database failed; see the cause"),
    (NoEmbedderError, StorageError, "MEMORY['EMBEDDER'] makes no embedder; manage.py check tells why"),
    (EmbedderError, ConnectionError, "the model that compares meanings does not answer; try again"),
    (redis.MaxConnectionsError, ConnectionError, "all connections to Redis are in use; try again"),
    (redis.AuthenticationError, ConnectionError, "Redis does not accept the password; check REDIS_PASSWORD"),
    (redis.ConnectionError, ConnectionError, "Redis cannot be reached; check host and port, then try again"),
    (redis.TimeoutError, ConnectionError, "Redis does not answer in time; try again"),
    (redis.ClusterDownError, ConnectionError, "the Redis cluster is down; try again"),
    (redis.SlotNotCoveredError, ConnectionError, "a part of the Redis cluster is down; try again"),
    (redis.DataError, ValidationError, "Redis cannot hold a value of this type; give it JSON"),
    (redis.RedisError, StorageError, "Redis refused the operation; see the cause"),
    (redis.RedisClusterException, StorageError, "the Redis cluster refused the operation; see the cause"),
    (redis.ChildDeadlockedError, StorageError, "the connection to Redis did not survive a fork; make it in the child"),
    (redis.IncorrectPolicyType, StorageError, "Redis is wrongly configured; see the cause"),
    (CompressorError, StorageError, "a value in Redis cannot be decompressed; delete its key"),
)
"""A driver's error, what it becomes, and what it means and asks for; the most specific first."""

DRIVERS = (*(theirs for theirs, _, _ in TRANSLATIONS), ConnectionInterrupted)


def translated(error: Exception, doing: str) -> StorageError | ValidationError:
    """Our error for a driver's, to be raised `from` it. Raises `TypeError` for an error that is no driver's.

    `doing` is the beginning of a sentence that says what failed: "Storing a memory item".
    """
    if isinstance(error, ConnectionInterrupted):  # django-redis' wrapping: the cause tells
        cause = error.__cause__
        return translated(cause if isinstance(cause, DRIVERS) else redis.ConnectionError(), doing)
    for theirs, ours, meaning in TRANSLATIONS:
        if isinstance(error, theirs):
            return ours(f"{doing} failed: {meaning}.")
    raise TypeError(f"{type(error).__name__} is no error of a database or of Redis") from error


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Raise ours for a driver's error inside; any other passes."""
    try:
        yield
    except DRIVERS as error:
        raise translated(error, doing) from error

"""The app's errors, and the table that maps errors of databases and Redis to them."""

import builtins
import inspect

import pytest
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from django.db import utils as db
from django_redis import exceptions as django_redis
from redis import exceptions as redis

from memory.exceptions import (
    ConnectionError,
    StorageError,
    ValidationError,
    drivers,
    storage_errors,
    translations,
)

OURS = (StorageError, ValidationError)


def errors_of(module: object) -> list[type[Exception]]:
    """Every exception class that a module defines."""
    classes = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, Exception)]
    return [kind for kind in classes if kind.__module__ == getattr(module, "__name__", "")]


def made(kind: type[Exception]) -> Exception:
    """An error of this class, however its constructor is."""
    error = kind.__new__(kind)
    Exception.__init__(error, "user=ada password=hunter2 host=db.internal")
    return error


# Not errors of an operation: a project's faults in its own settings, for its developers to see as they are.
CONFIGURATION = {db.ConnectionDoesNotExist}
ALL = sorted(
    {
        *errors_of(db),
        *errors_of(redis),
        *errors_of(django_redis),
        transaction.TransactionManagementError,
    }
    - CONFIGURATION,
    key=lambda kind: f"{kind.__module__}.{kind.__name__}",
)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_error_of_a_driver_becomes_ours(kind: type[Exception]) -> None:
    """None is passed on; the driver's error is the cause, and its text, which may hold secrets, is omitted."""
    error = made(kind)
    with pytest.raises(OURS) as raised, storage_errors("Storing a memory item"):
        raise error
    assert raised.value.__cause__ is error
    assert "Storing a memory item failed: " in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        (db.OperationalError, ConnectionError),
        (db.InterfaceError, ConnectionError),
        (db.IntegrityError, StorageError),
        (db.DataError, ValidationError),
        (db.NotSupportedError, StorageError),
        (transaction.TransactionManagementError, StorageError),
        (redis.ConnectionError, ConnectionError),
        (redis.TimeoutError, ConnectionError),
        (redis.BusyLoadingError, ConnectionError),
        (redis.AuthenticationError, ConnectionError),
        (redis.ClusterDownError, ConnectionError),
        (redis.MasterDownError, ConnectionError),
        (redis.OutOfMemoryError, StorageError),
        (redis.ReadOnlyError, StorageError),
        (redis.ResponseError, StorageError),
        (redis.DataError, ValidationError),
        (django_redis.ConnectionInterrupted, ConnectionError),
    ],
)
def test_what_becomes_what(kind: type[Exception], ours: type[Exception]) -> None:
    """Unavailable is ConnectionError, refused is StorageError, invalid values are ValidationError."""
    with pytest.raises(OURS) as raised, storage_errors("Trying"):
        raise made(kind)
    assert type(raised.value) is ours


def test_the_cause_of_an_interrupted_connection_decides() -> None:
    """django-redis wraps the errors of redis-py; the wrapped error counts."""
    wrapped = django_redis.ConnectionInterrupted(None)
    wrapped.__cause__ = redis.OutOfMemoryError("used memory > 'maxmemory'")
    with pytest.raises(StorageError) as raised, storage_errors("Caching"):
        raise wrapped
    assert type(raised.value) is StorageError


def test_a_specific_error_stands_before_its_bases() -> None:
    """No row of the table is unreachable."""
    kinds = [theirs for theirs, _, _ in translations()]
    hidden = [
        (later, earlier) for at, later in enumerate(kinds) for earlier in kinds[:at] if issubclass(later, earlier)
    ]
    assert hidden == []
    assert set(kinds) < set(drivers())


def test_other_errors_pass_unchanged() -> None:
    """Programming errors are not converted."""
    with pytest.raises(ZeroDivisionError), storage_errors("Counting"):
        _ = 1 / 0


def test_the_names_that_callers_know() -> None:
    """`except` by the builtin's or by Django's name works too."""
    assert issubclass(ConnectionError, StorageError)
    assert issubclass(ConnectionError, builtins.ConnectionError)
    assert issubclass(ValidationError, DjangoValidationError)
    assert not issubclass(ValidationError, StorageError)
    assert str(ConnectionError("Redis is away.")) == "Redis is away."

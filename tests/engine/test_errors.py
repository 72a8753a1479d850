"""All failures of calls to Firestore are mapped to Django's database errors."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import grpc
import pytest
from django.db import DatabaseError, DataError, IntegrityError, OperationalError, ProgrammingError
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from memory.backends.firestore import errors


def subclasses(root: type) -> Iterator[type]:
    yield root
    for child in root.__subclasses__():
        yield from subclasses(child)


class Failed(grpc.RpcError, grpc.Call):
    """A failed call as grpc raises it, with the methods that are used."""

    def __init__(self, code: grpc.StatusCode, details: str = "the server's words") -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    initial_metadata = trailing_metadata = is_active = time_remaining = cancel = add_callback = None  # type: ignore[assignment]


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_has_a_class_and_a_message(code: grpc.StatusCode) -> None:
    """The message contains the action, the status, and the server's message."""
    error = errors.map_error(Failed(code), "reading items")
    assert isinstance(error, DatabaseError)
    assert type(error) is errors.MAPPING[code][0]
    assert all(part in str(error) for part in ("reading items", code.name, "the server's words"))


@pytest.mark.parametrize("known", sorted(set(subclasses(api.GoogleAPIError)), key=lambda known: known.__qualname__))
def test_every_class_of_api_core_is_mapped(known: type[api.GoogleAPIError]) -> None:
    """All exceptions of google-api-core become a subclass of DatabaseError."""
    error = known("gone", cause=OSError()) if known is api.RetryError else known("gone")
    made = errors.map_error(error, "reading items")
    assert isinstance(made, DatabaseError)
    assert type(made) is not DatabaseError


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_api_core_and_grpc_agree(code: grpc.StatusCode) -> None:
    """The same status becomes the same error, whichever library raised it."""
    assert type(errors.map_error(api.from_grpc_status(code, "x"), "a")) is type(errors.map_error(Failed(code), "a"))


@pytest.mark.parametrize("known", sorted(set(subclasses(auth.GoogleAuthError)), key=lambda known: known.__qualname__))
def test_failures_of_google_auth_are_operational_and_keep_their_text_to_themselves(
    known: type[auth.GoogleAuthError],
) -> None:
    """Failing credentials are an OperationalError without the library's message, which may contain a key."""
    error = known.__new__(known)
    Exception.__init__(error, "-----BEGIN PRIVATE KEY-----")
    made = errors.map_error(error, "connecting")
    assert isinstance(made, OperationalError)
    assert "PRIVATE KEY" not in str(made)


def test_a_missing_index_carries_its_definition() -> None:
    """The error of a missing index has the definition as data and in its message."""
    definition = {"collectionGroup": "items", "queryScope": "COLLECTION", "fields": []}
    failed = Failed(
        grpc.StatusCode.FAILED_PRECONDITION, "The query requires an index. You can create it here: https://x"
    )
    error = errors.map_error(failed, "reading items", definition)
    assert isinstance(error, errors.MissingIndex)
    assert isinstance(error, ProgrammingError)
    assert error.definition == definition
    assert '"collectionGroup": "items"' in str(error)


def test_other_exceptions_are_not_mapped() -> None:
    """A bug does not become a database error."""
    with pytest.raises(TypeError, match="KeyError"):
        errors.map_error(KeyError("x"), "reading")


def test_classes_that_callers_distinguish() -> None:
    """Contention can be retried, duplicates are IntegrityError with positions, invalid values are DataError."""
    assert isinstance(errors.map_error(Failed(grpc.StatusCode.ABORTED), "a"), errors.Contention)
    assert isinstance(errors.map_error(Failed(grpc.StatusCode.INVALID_ARGUMENT), "a"), DataError)
    duplicate = errors.RowsRefused("exists", [3, 1])
    assert isinstance(duplicate, IntegrityError)
    assert duplicate.rows == (3, 1)


@pytest.mark.parametrize(
    "error",
    [
        errors.RowsRefused("taken", [2, 3]),
        errors.MissingIndex("needed", {"collectionGroup": "notes"}),
        errors.Contention("again"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickling(error: Exception) -> None:
    """Process pools pickle exceptions; one that cannot be unpickled breaks the pool."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))

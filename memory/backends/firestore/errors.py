"""Failures of Firestore as Django's database errors: one table, applied once, where a call fails.

django.db.DatabaseError
├── DataError            a value that Firestore cannot hold or compare with
│   └── TransactionTooLarge  more bytes than one commit may have
├── IntegrityError       a document exists already; `rows` are the positions of the writes refused
├── OperationalError     the service, the network, credentials, quotas, deadlines
│   ├── Contention           another transaction holds the documents: run the transaction again
│   └── TransactionTooLong   begun longer ago than Firestore allows
├── ProgrammingError
│   └── MissingIndex     a query needs a composite index; `definition` is ready to paste
├── InternalError        Firestore says that it failed
└── NotSupportedError    Firestore cannot do this
    └── QueryTooBroad    it could be answered here, but only by reading too much
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import grpc
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from google.api_core import exceptions as api
from google.auth import exceptions as auth

Code: TypeAlias = grpc.StatusCode


class Contention(OperationalError):  # noqa: N818 - named as Django names database errors: by what is
    """Another transaction touched the same documents; nothing of this one was applied, and it may be run again."""


class TransactionTooLarge(DataError):  # noqa: N818
    """A transaction wrote more bytes than Firestore takes in one commit; nothing was sent."""


class TransactionTooLong(OperationalError):  # noqa: N818
    """A transaction took longer than Firestore keeps one; nothing was sent."""


class MissingIndex(ProgrammingError):  # noqa: N818
    """A query needs a composite index that the database lacks.

    `definition` is one entry of `firestore.indexes.json`'s `indexes`, or None where the query is not known.
    """

    def __init__(self, message: str, definition: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.definition = definition


class QueryTooBroad(NotSupportedError):  # noqa: N818
    """A query that Firestore cannot answer would have to read more documents than `OPTIONS["mirror_limit"]` allows."""


class RowsRefused(IntegrityError):  # noqa: N818
    """Documents exist already, or do not exist or are not as they were read, where that was required.

    `rows` are the positions, in the writes given, of all that were not applied.
    """

    def __init__(self, message: str, rows: Sequence[int]) -> None:
        super().__init__(message)
        self.rows = tuple(rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle: workers of a pool hand their exceptions on."""
        return type(self), (str(self), self.rows)


def contention(table: str) -> Contention:
    """Others kept changing the rows."""
    return Contention(f"Rows of {table!r} were changed by others each time that they were to be written: try again.")


MAPPING: Final[Mapping[Code, tuple[type[DatabaseError], str]]] = {
    Code.CANCELLED: (OperationalError, "the call was cancelled; try again"),
    Code.UNKNOWN: (OperationalError, "the outcome is not known; check before trying again"),
    Code.INVALID_ARGUMENT: (DataError, "a value or a combination of filters is not one that Firestore accepts"),
    Code.DEADLINE_EXCEEDED: (OperationalError, "no answer in time; try again, or raise OPTIONS['timeout']"),
    Code.NOT_FOUND: (OperationalError, "there is no such database or document; check PROJECT and NAME"),
    Code.ALREADY_EXISTS: (IntegrityError, "a document with this id exists already"),
    Code.PERMISSION_DENIED: (
        OperationalError,
        "the account may not do this; grant it roles/datastore.user on PROJECT, and enable the Firestore API",
    ),
    Code.RESOURCE_EXHAUSTED: (OperationalError, "a quota or a limit of size is used up; send less, or later"),
    Code.FAILED_PRECONDITION: (OperationalError, "the database is not in a state that allows this"),
    Code.ABORTED: (Contention, "other writers hold the same documents; nothing was applied, run it again"),
    Code.OUT_OF_RANGE: (DataError, "a value is out of Firestore's range"),
    Code.UNIMPLEMENTED: (NotSupportedError, "this Firestore (or its emulator) does not implement the call"),
    Code.INTERNAL: (InternalError, "Firestore failed inside; try again"),
    Code.UNAVAILABLE: (OperationalError, "Firestore cannot be reached; check the network and HOST, then try again"),
    Code.DATA_LOSS: (InternalError, "Firestore reports data that is lost or corrupt"),
    Code.UNAUTHENTICATED: (OperationalError, "the credentials are not accepted; check the key in OPTIONS"),
}
"""For each status but OK: Django's class, and what it means and what to do."""

CLASSES: Final[Mapping[type[Exception], Code]] = {
    api.RetryError: Code.DEADLINE_EXCEEDED,
    auth.TransportError: Code.UNAVAILABLE,
    auth.GoogleAuthError: Code.UNAUTHENTICATED,
    grpc.FutureTimeoutError: Code.DEADLINE_EXCEEDED,
    api.GatewayTimeout: Code.DEADLINE_EXCEEDED,
    api.ServiceUnavailable: Code.UNAVAILABLE,
    api.BadGateway: Code.UNAVAILABLE,
    api.MethodNotImplemented: Code.UNIMPLEMENTED,
    api.ServerError: Code.INTERNAL,
    api.TooManyRequests: Code.RESOURCE_EXHAUSTED,
    api.Unauthorized: Code.UNAUTHENTICATED,
    api.Forbidden: Code.PERMISSION_DENIED,
    api.NotFound: Code.NOT_FOUND,
    api.Conflict: Code.ALREADY_EXISTS,
    api.ClientError: Code.INVALID_ARGUMENT,
    api.GoogleAPICallError: Code.UNKNOWN,
    api.GoogleAPIError: Code.UNKNOWN,
}
"""What carries no status of gRPC's own, most specific first."""

_ENDED: Final = re.compile(r"transaction (has|is) [\w ]*(invalid|expired|closed|no longer valid)", re.IGNORECASE)
_INDEX_NEEDED: Final = re.compile(r"requires an? .*\bindex\b", re.DOTALL)
_LONG_TEXT: Final = 500


def status_of(error: BaseException) -> Code | None:
    """The gRPC status that an exception of grpc, google-api-core or google-auth stands for; None for any other."""
    if isinstance(error, grpc.Call):
        code = error.code()
        return code if isinstance(code, grpc.StatusCode) else Code.UNKNOWN
    code = getattr(error, "grpc_status_code", None)
    if isinstance(code, grpc.StatusCode):
        return code
    return next((status for known, status in CLASSES.items() if isinstance(error, known)), None)


def details_of(error: BaseException) -> str:
    """The server's own words, shortened; they may quote a document's name but never a credential."""
    if isinstance(error, auth.GoogleAuthError):
        return type(error).__name__  # its text can quote the key
    text = error.details() if isinstance(error, grpc.Call) else getattr(error, "message", None)
    return str(text or error)[:_LONG_TEXT]


def is_transaction_gone(error: DatabaseError) -> bool:
    """Whether the server says that it has forgotten the transaction, as one that was started again has all of them."""
    return _ENDED.search(str(error)) is not None


def map_error(error: BaseException, action: str, index: Mapping[str, Any] | None = None) -> DatabaseError:
    """Django's error for `error`, to be raised `from` it; `doing` says what was tried, on which collection.

    `index` is the definition of the composite index that the query would need. Raises `TypeError` for an exception
    that is not one of a call to Firestore: those are not for this table.
    """
    code = status_of(error)
    if code is None or code is Code.OK:
        raise TypeError(f"{type(error).__name__} is not a failure of a call to Firestore") from error
    details = details_of(error)
    if code is Code.FAILED_PRECONDITION and _INDEX_NEEDED.search(details):
        return missing_index(action, details, index)
    made, meaning = MAPPING[code]
    return made(f"{action}: {meaning} ({code.name}: {details})")


def missing_index(action: str, details: str, index: Mapping[str, Any] | None) -> MissingIndex:
    """The error that says which composite index to add, and how."""
    how = f"add to firestore.indexes.json, or to Meta.indexes and run `firestore_indexes`: {json.dumps(index)}"
    return MissingIndex(f"{action}: a composite index is missing; {how if index else 'add it'} ({details})", index)

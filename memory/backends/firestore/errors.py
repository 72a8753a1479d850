"""Maps failures of Firestore to Django's database errors, in one table.

django.db.DatabaseError
├── DataError            a value that Firestore cannot store or use in a filter
│   ├── TransactionTooLarge  the transaction exceeds the size limit of a commit
│   └── UnreadableValue      a value in a document has another type than its column
├── IntegrityError
│   └── RowsRefused      a precondition failed; `rows` are the positions of the writes that were not applied
├── OperationalError     the service, the network, credentials, quotas, deadlines
│   ├── Contention           a conflict with another transaction: retry the transaction
│   ├── OutcomeUnknown       the response to a commit was lost: it was applied completely or not at all
│   └── TransactionTooLong   the transaction exceeds Firestore's time limit
├── ProgrammingError
│   └── MissingIndex     a query needs a composite index; `definition` is its entry for firestore.indexes.json
├── InternalError        an internal error of Firestore
└── NotSupportedError    not supported by Firestore
    └── QueryTooBroad    the mirror would need more than `mirror_limit` documents or `mirror_bytes` bytes
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

from memory.extras import MissingExtra

try:
    import grpc
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
except ModuleNotFoundError as error:
    raise MissingExtra("memory.backends.firestore", "firestore") from error

Code: TypeAlias = grpc.StatusCode


class Contention(OperationalError):
    """A conflict with another transaction on the same documents. Nothing was applied, and it can be retried."""


class OutcomeUnknown(OperationalError):
    """The response to a commit was lost, and reads did not show whether it was applied. Read the rows, then retry."""


class TransactionTooLarge(DataError):
    """A transaction's writes exceed the size limit of one commit. Nothing was sent."""


class UnreadableValue(DataError):
    """A stored value has another type than its column. The message names the document and the column."""


class TransactionTooLong(OperationalError):
    """A transaction exceeded Firestore's time limit. Nothing was sent."""


class MissingIndex(ProgrammingError):
    """A query needs a composite index that the database lacks.

    `definition` is its entry for `indexes` in `firestore.indexes.json`, or None if the query is not known.
    """

    def __init__(self, message: str, definition: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.definition = definition


class QueryTooBroad(NotSupportedError):
    """A query in the mirror would read more than `OPTIONS["mirror_limit"]` documents, or `mirror_bytes` bytes."""


class RowsRefused(IntegrityError):
    """A precondition failed: a document exists, does not exist, or has changed after it was read.

    `rows` are the positions of all writes that were not applied.
    """

    def __init__(self, message: str, rows: Sequence[int]) -> None:
        super().__init__(message)
        self.rows = tuple(rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle, as process pools use it for exceptions."""
        return type(self), (str(self), self.rows)


def contention(table: str) -> Contention:
    """The error for rows that other clients keep changing."""
    return Contention(f"Rows of {table!r} were changed by other clients before each attempt to write them: try again.")


def integer_overflow(column: Any) -> OperationalError:
    """The error for a sum of integers beyond 64 bits, as SQLite raises it."""
    return OperationalError(f"integer overflow: the sum of {column.name!r} does not fit in 64 bits")


MAPPING: Final[Mapping[Code, tuple[type[DatabaseError], str]]] = {
    Code.CANCELLED: (OperationalError, "the call was cancelled; try again"),
    Code.UNKNOWN: (OperationalError, "the outcome is unknown; check it before trying again"),
    Code.INVALID_ARGUMENT: (DataError, "Firestore does not accept a value or a combination of filters"),
    Code.DEADLINE_EXCEEDED: (OperationalError, "no response in time; try again, or raise OPTIONS['timeout']"),
    Code.NOT_FOUND: (OperationalError, "the database or document does not exist; check PROJECT and NAME"),
    Code.ALREADY_EXISTS: (IntegrityError, "a document with this id already exists"),
    Code.PERMISSION_DENIED: (
        OperationalError,
        "the account lacks permission; grant it roles/datastore.user on PROJECT, and enable the Firestore API",
    ),
    Code.RESOURCE_EXHAUSTED: (OperationalError, "a quota or size limit is exceeded; send less, or try again later"),
    Code.FAILED_PRECONDITION: (OperationalError, "the state of the database does not allow this"),
    Code.ABORTED: (Contention, "conflict with other writers of the same documents; nothing was applied, retry"),
    Code.OUT_OF_RANGE: (DataError, "a value is out of Firestore's range"),
    Code.UNIMPLEMENTED: (NotSupportedError, "the service or the emulator does not implement the call"),
    Code.INTERNAL: (InternalError, "internal error of Firestore; try again"),
    Code.UNAVAILABLE: (OperationalError, "cannot connect to Firestore; check the network and HOST, then try again"),
    Code.DATA_LOSS: (InternalError, "Firestore reports lost or corrupt data"),
    Code.UNAUTHENTICATED: (OperationalError, "the credentials were rejected; check the key in OPTIONS"),
}
"""Django's error class and the message for each status except OK."""

STATUS_BY_EXCEPTION: Final[Mapping[type[Exception], Code]] = {
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
"""The status of exceptions without a gRPC status, most specific class first."""

_ENDED: Final = re.compile(r"transaction (has|is) [\w ]*(invalid|expired|closed|no longer valid)", re.IGNORECASE)
_INDEX_NEEDED: Final = re.compile(r"requires an? .*\bindex\b", re.DOTALL)
_LONG_TEXT: Final = 500


def status_of(error: BaseException) -> Code | None:
    """The gRPC status of an exception of grpc, google-api-core or google-auth; None for other exceptions."""
    if isinstance(error, grpc.Call):
        code = error.code()
        return code if isinstance(code, grpc.StatusCode) else Code.UNKNOWN
    code = getattr(error, "grpc_status_code", None)
    if isinstance(code, grpc.StatusCode):
        return code
    return next((status for known, status in STATUS_BY_EXCEPTION.items() if isinstance(error, known)), None)


def details_of(error: BaseException) -> str:
    """The server's message, shortened. It may contain a document's name, but no credentials."""
    if isinstance(error, auth.GoogleAuthError):
        return type(error).__name__  # its message can contain the key
    text = error.details() if isinstance(error, grpc.Call) else getattr(error, "message", None)
    return str(text or error)[:_LONG_TEXT]


def is_transaction_gone(error: DatabaseError) -> bool:
    """Whether the server does not know the transaction any more, for example after a restart."""
    return _ENDED.search(str(error)) is not None


def map_error(error: BaseException, action: str, index: Mapping[str, Any] | None = None) -> DatabaseError:
    """Django's error for `error`, to be raised `from` it. `action` describes the call.

    `index` is the definition of the composite index that the query needs. Raises `TypeError` for exceptions that are
    not from a call to Firestore.
    """
    code = status_of(error)
    if code is None or code is Code.OK:
        raise TypeError(f"{type(error).__name__} is not an error of a call to Firestore") from error
    details = details_of(error)
    if code is Code.FAILED_PRECONDITION and _INDEX_NEEDED.search(details):
        return missing_index(action, details, index)
    made, meaning = MAPPING[code]
    return made(f"{action}: {meaning} ({code.name}: {details})")


def missing_index(action: str, details: str, index: Mapping[str, Any] | None) -> MissingIndex:
    """The error for a missing composite index, with its definition and how to add it."""
    how = f"add to firestore.indexes.json, or to Meta.indexes and run `firestore_indexes`: {json.dumps(index)}"
    return MissingIndex(f"{action}: a composite index is missing; {how if index else 'add it'} ({details})", index)

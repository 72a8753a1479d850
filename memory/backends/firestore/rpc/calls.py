"""Single RPCs: total deadline, retries, logging, and errors mapped to Django's.

Reads are retried on transient errors, with full jitter, until the deadline. An interrupted stream continues where it
stopped, with a request built by `resume`. If messages arrived before the interruption, the deadline starts again, so
it limits the time without progress and not the length of a read. For commits see `rpc/commit.py`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import grpc
from django.db import DatabaseError

from memory.backends import clock, telemetry

from .. import errors
from ..query.plan import Rpc
from ..values.backoff import Backoff
from . import messages
from .channel import Message, Target, Wire, connect

T = TypeVar("T")
CallWrapper = Callable[[str, Callable[[], Any]], Any]
Code: TypeAlias = grpc.StatusCode

TRANSIENT: Final = frozenset(
    {Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED, Code.ABORTED}
)
"""Statuses after which a read is retried. Inside a transaction ABORTED is final: the transaction must be retried."""

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0
"""Backoff in seconds, with full jitter: the upper bound doubles from the first to the longest pause."""


class Deadline:
    """A deadline for all attempts of a call, with the backoff between them."""

    def __init__(self, seconds: float) -> None:
        self._end = clock.monotonic() + seconds
        self._backoff: Backoff | None = None

    def remaining(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self._end - clock.monotonic())

    def pause(self) -> bool:
        """Waits before the next attempt. Returns False at once if that would pass the deadline."""
        self._backoff = self._backoff or Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        seconds = self._backoff.next_pause()
        if seconds >= self.remaining():
            return False
        telemetry.record_retry("call")
        time.sleep(seconds)
        return True


class RpcClient:
    """Makes all RPCs of one connection."""

    def __init__(
        self,
        target: Target,
        timeout: float,
        wrap_call: CallWrapper,
        log: Callable[[Rpc], None],
        is_logging: Callable[[], bool] = lambda: True,
    ) -> None:
        """`log` is called for each RPC that ends while `is_logging` returns True."""
        self.target = target
        self.timeout = timeout
        self.wrap_call = wrap_call
        self.log = log
        self.is_logging = is_logging
        self._connected: tuple[int, Wire] | None = None

    def with_timeout(self, seconds: float) -> RpcClient:
        """A client with a shorter deadline, for RPCs that are part of an operation already passed to `wrap_call`."""
        return RpcClient(self.target, min(seconds, self.timeout), without_wrappers, self.log, self.is_logging)

    @property
    def wire(self) -> Wire:
        """The current process's wire to the target."""
        process = os.getpid()
        if self._connected is None or self._connected[0] != process:
            self._connected = (process, connect(self.target))
        return self._connected[1]

    def attempt(
        self,
        method: str,
        request: Message,
        description: str,
        timeout: float,
        *,
        read: int = 0,
        written: int = 0,
    ) -> Message:
        """Makes one attempt at a unary call. `read` and `written` are the documents to log if it succeeds.

        Raises `grpc.RpcError`.
        """
        started = clock.monotonic()
        wire = self.wire
        try:
            answer = wire.unary(method, request, timeout)
        except grpc.RpcError as error:
            self._log(method, description, started, read=read if is_missing_document(error) else 0, error=error)
            raise
        self._log(method, description, started, read=read, written=written)
        return answer

    def unary(
        self, method: str, request: Message, description: str, *, read: int = 0, transaction: bytes | None = None
    ) -> Message:
        """Makes a unary read with retries. Raises `grpc.RpcError` for NOT_FOUND, and Django's errors otherwise."""

        def send() -> Message:
            deadline = Deadline(self.timeout)
            while True:
                try:
                    return self.attempt(method, request, description, deadline.remaining(), read=read)
                except grpc.RpcError as error:
                    if error.code() is Code.NOT_FOUND:
                        raise
                    if not (is_transient(error, transaction) and deadline.pause()):
                        raise errors.map_error(error, description) from error

        return self.wrap_call(description, send)

    def stream(
        self,
        method: str,
        request: Message,
        description: str,
        *,
        resume: Callable[[], Message | None],
        documents: Callable[[Message], int],
        transaction: bytes | None = None,
        index: Callable[[], Mapping[str, Any] | None] = lambda: None,
    ) -> Stream:
        """Prepares a streaming read.

        `resume` returns a request for the remaining messages, or None if all arrived. `documents` returns the number
        of documents in a message. `index` returns the index definition for the error of a missing index.
        """
        return Stream(self, method, request, description, resume, documents, transaction, index)

    def _log(
        self,
        method: str,
        description: str,
        started: float,
        *,
        read: int = 0,
        written: int = 0,
        error: BaseException | None = None,
    ) -> None:
        if not self.is_logging():
            return
        code = errors.status_of(error) if error is not None else None
        self.log(
            Rpc(
                method=method,
                description=description,
                seconds=clock.monotonic() - started,
                documents_read=read,
                documents_written=written,
                error=code.name if code else None,
            )
        )


class Stream:
    """A streaming read with retries. Iterate it once. The request is sent by `begin` or at the first message."""

    def __init__(
        self,
        client: RpcClient,
        method: str,
        request: Message,
        description: str,
        resume: Callable[[], Message | None],
        documents: Callable[[Message], int],
        transaction: bytes | None,
        index: Callable[[], Mapping[str, Any] | None],
    ) -> None:
        self._client = client
        self._method = method
        self._request: Message | None = request
        self._description = description
        self._resume = resume
        self._count = documents
        self._transaction = transaction
        self._index = index
        self._deadline = Deadline(client.timeout)
        self._attempt: contextlib.ExitStack | None = None
        self._reader: Callable[[], Message | None] | None = None
        self._arrived = 0
        self._documents = 0
        self._started = 0.0
        self._has_begun = False

    def begin(self) -> None:
        """Sends the request without waiting for a message."""
        self._client.wrap_call(self._description, self._begin)
        self._has_begun = True

    def _begin(self) -> None:
        try:
            self._open()
        except grpc.RpcError as error:
            self._handle_error(error)

    def __iter__(self) -> Iterator[Message]:
        try:
            message = self.read() if self._has_begun else self._client.wrap_call(self._description, self.read)
            while message is not None:
                yield message
                message = self.read()
        finally:
            self.close()

    def read(self) -> Message | None:
        """The next message, or None after the last. Raises Django's errors."""
        while self._request is not None:
            try:
                message = (self._reader or self._open())()
            except grpc.RpcError as error:
                self._handle_error(error)
                continue
            if message is None:
                self._request = None
                self._end()
                break
            self._arrived += 1
            self._documents += self._count(message)
            return message
        return None

    def close(self) -> None:
        """Cancels the running call, if any."""
        self._end()

    def _open(self) -> Callable[[], Message | None]:
        self._started = clock.monotonic()
        self._arrived = self._documents = 0
        wire = self._client.wire
        self._attempt = contextlib.ExitStack()
        self._reader = self._attempt.enter_context(wire.stream(self._method, self._request, self._deadline.remaining()))
        return self._reader

    def _handle_error(self, error: grpc.RpcError) -> None:
        if self._arrived:
            self._deadline = Deadline(self._client.timeout)
        self._end(error)
        if not (is_transient(error, self._transaction) and self._deadline.pause()):
            raise self._map_error(error) from error
        self._request = self._resume()

    def _map_error(self, error: grpc.RpcError) -> DatabaseError:
        return errors.map_error(error, self._description, self._index())

    def _end(self, error: BaseException | None = None) -> None:
        if self._attempt is None:
            return
        attempt, self._attempt, self._reader = self._attempt, None, None
        attempt.close()
        read = max(1, self._documents) if error is None else self._documents  # a query is billed as at least one read
        self._client._log(self._method, self._description, self._started, read=read, error=error)


def without_wrappers(description: str, send: Callable[[], Any]) -> Any:
    """A `wrap_call` that does nothing, for RPCs that are part of a wrapped operation."""
    return send()


def batch_get(
    client: RpcClient,
    names: Sequence[str],
    paths: Sequence[str] | None,
    description: str,
    transaction: bytes | None = None,
) -> dict[str, Message]:
    """Existing documents by resource name. With `paths=None` whole documents are read."""
    return batch_get_at(client, names, paths, description, transaction)[0]


def batch_get_at(
    client: RpcClient,
    names: Sequence[str],
    paths: Sequence[str] | None,
    description: str,
    transaction: bytes | None = None,
) -> tuple[dict[str, Message], Message]:
    """The same as `batch_get()`, and the server's read time."""
    found: dict[str, Message] = {}
    pending = dict.fromkeys(names)
    database = client.wire.database

    def rest() -> Message | None:
        return messages.batch_get(list(pending), paths, database, transaction) if pending else None

    read_time: Message = None
    first = rest()
    for answer in client.stream(
        "BatchGetDocuments", first, description, resume=rest, documents=lambda answer: 1, transaction=transaction
    ):
        read_time = answer.read_time
        if answer.HasField("found"):
            found[answer.found.name] = answer.found
            pending.pop(answer.found.name, None)
        else:
            pending.pop(answer.missing, None)
    return found, read_time


def is_transient(error: grpc.RpcError, transaction: bytes | None = None) -> bool:
    """Whether a read can be retried after this error."""
    code = error.code()
    return code in TRANSIENT and not (code is Code.ABORTED and transaction)


def is_missing_document(error: grpc.RpcError) -> bool:
    """Whether a document that was looked up does not exist. Such a lookup is billed as one read."""
    return error.code() is Code.NOT_FOUND and not is_about_database(error)


def is_about_database(error: grpc.RpcError) -> bool:
    """Whether NOT_FOUND refers to the database. For a missing document, the details contain only its name."""
    text = (error.details() or "").split("projects/")[0].lower()
    text = text.replace("database_id:", "")  # the emulator adds this key to all details
    return error.code() is Code.NOT_FOUND and "database" in text

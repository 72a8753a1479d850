"""A gRPC proxy that breaks nothing and counts what Firestore would put on the bill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.cloud.firestore_v1.types import (
    BatchGetDocumentsResponse,
    BatchWriteRequest,
    CommitRequest,
    RunQueryResponse,
)

from .proxy import Fault, Proxy

REQUESTS = {"Commit": CommitRequest, "BatchWrite": BatchWriteRequest}
ANSWERS: dict[str, Callable[[bytes], bool]] = {
    "RunQuery": lambda answer: "document" in RunQueryResponse.deserialize(answer),
    "BatchGetDocuments": lambda answer: bool(BatchGetDocumentsResponse.deserialize(answer)),
}


@dataclass
class Bill:
    """Calls by method, documents read and written, and Redis' round trips, since the last `clear`."""

    calls: Counter[str] = field(default_factory=Counter)
    read: int = 0
    written: list[str] = field(default_factory=list)
    round_trips: int = 0

    def clear(self) -> None:
        """Count from nothing."""
        self.calls, self.read, self.written, self.round_trips = Counter(), 0, [], 0


class Meter(Proxy):
    """A proxy that breaks nothing and counts."""

    def __init__(self, upstream: str, bill: Bill) -> None:
        super().__init__(upstream, lambda method: Fault())
        self.bill = bill

    def _unary(self, path: str, request: bytes, context: Any) -> bytes:
        method = path.rsplit("/", 1)[1]
        self.bill.calls[method] += 1
        if method in REQUESTS:
            writes = REQUESTS[method].deserialize(request).writes
            self.bill.written += [write.update.name.split("/")[-2] for write in writes]
        return super()._unary(path, request, context)

    def _stream(self, path: str, request: bytes, context: Any) -> Iterator[bytes]:
        method = path.rsplit("/", 1)[1]
        self.bill.calls[method] += 1
        for answer in super()._stream(path, request, context):
            # Whatever else is streamed is charged as a read at least.
            self.bill.read += ANSWERS.get(method, lambda answer: True)(answer)
            yield answer

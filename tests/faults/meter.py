"""A proxy that breaks nothing and counts what passes, as Firestore bills it.

A document returned is one read, a query that returns none is one, a document looked up is one whether it is there or
not, a count is one per 1,000 entries. No response has the index entries that a vector search scans (one read per 100
entries), so they are not counted. https://cloud.google.com/firestore/pricing#operations
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.cloud.firestore_v1.types import (
    BatchGetDocumentsResponse,
    BatchWriteRequest,
    CommitRequest,
    RunAggregationQueryResponse,
    RunQueryResponse,
)

from .proxy import Fault, Proxy

ENTRIES_PER_READ = 1_000
REQUESTS = {"Commit": CommitRequest, "BatchWrite": BatchWriteRequest}


def _lookups(answer: bytes) -> int:
    found = BatchGetDocumentsResponse.deserialize(answer)
    return int("found" in found or "missing" in found)


def _entries(answer: bytes) -> int:
    fields = RunAggregationQueryResponse.deserialize(answer).result.aggregate_fields
    return sum(-(-value.integer_value // ENTRIES_PER_READ) for value in fields.values())


READS: dict[str, Callable[[bytes], int]] = {
    "RunQuery": lambda answer: "document" in RunQueryResponse.deserialize(answer),
    "BatchGetDocuments": _lookups,
    "RunAggregationQuery": _entries,
}
"""By method, the reads of one answer in a stream; of the whole stream, at least one."""


@dataclass
class Bill:
    """Calls by method, documents read, the collections of documents written and deleted, and Redis' round trips."""

    calls: Counter[str] = field(default_factory=Counter)
    read: int = 0
    written: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    round_trips: int = 0

    def clear(self) -> None:
        """Count from nothing."""
        self.calls, self.read, self.written, self.deleted, self.round_trips = Counter(), 0, [], [], 0


class Meter(Proxy):
    """Keeps `bill`, which is complete when the client has its answer."""

    def __init__(self, upstream: str, bill: Bill | None = None) -> None:
        super().__init__(upstream, lambda method: Fault())
        self.bill = Bill() if bill is None else bill
        self._counting = threading.Lock()

    def _unary(self, path: str, request: bytes, context: Any) -> bytes:
        method = path.rsplit("/", 1)[1]
        writes = REQUESTS[method].deserialize(request).writes if method in REQUESTS else []
        with self._counting:
            self.bill.calls[method] += 1
            self.bill.read += method == "GetDocument"
            self.bill.written += [write.update.name.split("/")[-2] for write in writes if write.update.name]
            self.bill.deleted += [write.delete.split("/")[-2] for write in writes if write.delete]
        return super()._unary(path, request, context)

    def _stream(self, path: str, request: bytes, context: Any) -> Iterator[bytes]:
        method = path.rsplit("/", 1)[1]
        with self._counting:
            self.bill.calls[method] += 1
        total = 0
        for answer in super()._stream(path, request, context):
            total += self._charge(READS[method](answer))
            yield answer
        if not total:
            self._charge(1)

    def _charge(self, reads: int) -> int:
        with self._counting:
            self.bill.read += reads
        return reads

"""Runs plans (`query/plan.py`) on Firestore. All RPCs of the engine start here."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import grpc

from .. import errors
from ..query.plan import (
    Aggregate,
    Change,
    Delete,
    Function,
    Get,
    Increments,
    Merge,
    Nearest,
    Order,
    Outcome,
    Put,
    Query,
    Read,
    Rpc,
)
from ..values import document_ids
from ..values.batching import batches
from ..values.sizes import ByteBudget
from ..values.types import DOCUMENT_ID, Kind, Ref
from . import codec, messages
from .calls import RpcClient, Stream, batch_get, is_about_database
from .channel import Message, Target, pb
from .commit import Committer
from .merge_order import order_key

T = TypeVar("T")
Row = tuple[Any, ...]
Documents = Generator[Message, None, None]
IndexOf = Callable[..., Mapping[str, Any] | None]
"""The composite index that a read needs, given the read and the columns of its aggregates (`indexes/derive.py`)."""

GET_BATCH: Final = 300
"""Documents requested by id in one call."""

MAX_OPEN_STREAMS: Final = 20
"""Maximum number of concurrent streams. A merge of more branches reads them in sequence and merges in memory."""

AGGREGATED_ENTRIES: Final = 1000
"""Index entries that an aggregation reads per billed document read."""


def no_index(read: Read, aggregated: Sequence[Ref] = ()) -> Mapping[str, Any] | None:
    """The default: no index definition."""
    return None


class Executor:
    """Runs reads and writes on one target. The constructor does no I/O.

    Each call has a total deadline of `timeout` seconds. Errors are mapped to `django.db`'s by `errors.py`.
    """

    def __init__(
        self,
        target: Target,
        *,
        timeout: float,
        wrap_call: Callable[[str, Callable[[], T]], T],
        log: Callable[[Rpc], None],
        is_logging: Callable[[], bool] = lambda: True,
        index: IndexOf = no_index,
        missing: IndexOf = no_index,
    ) -> None:
        """`index` returns the definition for the error of a missing index. A read for which `missing` returns one is
        refused before any call.

        Each RPC is started by `wrap_call(description, send)`, which returns the result of `send()`. `log(rpc)` is
        called once per RPC when it has ended, also if it failed, while `is_logging()`.
        """
        self._client = RpcClient(target, timeout, wrap_call, log, is_logging)
        self._index = index
        self._missing = missing

    @property
    def target(self) -> Target:
        """The database."""
        return self._client.target

    def run(self, read: Read, *, transaction: bytes | None = None) -> Iterator[Row]:
        """The rows of a read, in order. The request is sent when the first row is requested."""
        decode = codec.row_decoder(read.columns)
        if isinstance(read, Nearest):
            return self._nearest(read, transaction)
        if isinstance(read, Get):
            one = len(read.ids) == 1
            return self._get_one(read, decode, transaction) if one else _rows(self._get(read, transaction), decode)
        if isinstance(read, Merge):
            return _rows(self._merge(read, transaction), decode)
        return _rows(self._query(read, transaction), decode)

    def aggregate(self, aggregates: Sequence[Aggregate], *, transaction: bytes | None = None) -> Row:
        """One value per aggregate.

        Only aggregates over the same column share a call: Firestore computes all aggregates of a call over the
        documents that have all aggregated fields.
        """
        values: list[Any] = [None] * len(aggregates)
        groups: dict[Any, list[int]] = {}
        for position, aggregate in enumerate(aggregates):
            groups.setdefault((aggregate.source, aggregate.ref), []).append(position)
        for (source, _), positions in groups.items():
            if isinstance(source, Merge):
                answers = [self._count_merge(source, transaction)] * len(positions)
            else:
                answers = self._aggregate(source, [aggregates[position] for position in positions], transaction)
            for position, answer in zip(positions, answers, strict=True):
                values[position] = answer
        return tuple(values)

    def run_concurrently(
        self, reads: Sequence[Query | Nearest | Aggregate], budget: ByteBudget | None = None
    ) -> Iterator[list[Row]]:
        """The rows of each read; for an aggregate, one row with one value. Rows beyond the budget are left out.

        Up to `MAX_OPEN_STREAMS` requests run at the same time, outside of any transaction. Nothing is sent before the
        first answer is asked for.
        """
        with contextlib.ExitStack() as begun:
            allowed = budget or ByteBudget(sys.maxsize)
            calls = [self._prepare(read, allowed) for read in reads]
            for stream, _ in calls[:MAX_OPEN_STREAMS]:
                stream.begin()
                begun.callback(stream.close)
            for position, (_, rows) in enumerate(calls, MAX_OPEN_STREAMS):
                found = list(rows)
                if position < len(calls):
                    calls[position][0].begin()
                    begun.callback(calls[position][0].close)
                yield found

    def documents(
        self, keys: Sequence[tuple[str, str]], *, whole: bool = True, transaction: bytes | None = None
    ) -> dict[tuple[str, str], Message]:
        """The existing documents among `keys`, by collection and id. With `whole=False` no column is read."""
        paths = None if whole else [document_ids.quoted(messages.MARK)]
        described = ", ".join(f"{name}: {count} by id" for name, count in Counter(name for name, _ in keys).items())
        found: dict[tuple[str, str], Message] = {}
        for batch in batches(keys, GET_BATCH):
            full = {f"{self._client.wire.documents}/{collection}/{id}": (collection, id) for collection, id in batch}
            read = batch_get(self._client, list(full), paths, described, transaction)
            found.update((full[name], document) for name, document in read.items())
        return found

    def commit(
        self, writes: Sequence[Change], *, isolate: bool = False, increments: Increments | None = None
    ) -> list[Outcome]:
        """Applies writes and returns one outcome per write or group; see `commit.py` for batches and lost responses.

        `isolate=False`: each commit is atomic, and a conflict raises IntegrityError whose `rows` are the positions of
        the writes that were not applied. `isolate=True`: a write with a failed precondition is reported in its outcome
        and the others are applied; an existing id still raises for a group that updates rows.

        The results of increments are added to `increments`, except those of a commit whose response was lost.
        """
        return Committer(self._client, writes, isolate=isolate, increments=increments).run() if writes else []

    def commit_whole(
        self, writes: Sequence[Change], transaction: bytes | None = None, *, divisible: bool = False
    ) -> None:
        """Applies all writes, each to a different document, in one commit, which also ends the server's transaction.

        If `divisible`, writes that are too large for one commit are sent in several.
        """
        Committer(self._client, writes, whole=True, divisible=divisible, transaction=transaction).run()

    def begin(self, *, retry: bytes | None = None) -> bytes:
        """Begins a transaction on the server. `retry` is the id of the first attempt, which gives a retry priority."""
        request = pb["BeginTransactionRequest"](database=self._client.wire.database)
        if retry is not None:
            request.options.read_write.retry_transaction = retry
        answer = self._unary("BeginTransaction", request, "begin")
        transaction: bytes = answer.transaction
        return transaction

    def rollback(self, transaction: bytes) -> None:
        """Rolls back a transaction on the server."""
        request = pb["RollbackRequest"](database=self._client.wire.database, transaction=transaction)
        self._unary("Rollback", request, "rollback")

    def collections(self) -> list[str]:
        """The ids of the root collections that contain documents, sorted."""
        found: list[str] = []
        request = pb["ListCollectionIdsRequest"](parent=self._client.wire.documents, page_size=300)
        while True:
            answer = self._unary("ListCollectionIds", request, "list collections", read=1)
            found.extend(answer.collection_ids)
            if not answer.next_page_token:
                return sorted(found)
            request.page_token = answer.next_page_token

    def ping(self) -> None:
        """Reads one document, which does not need to exist."""
        try:
            self._client.unary("GetDocument", messages.get_document(_PING, self._client.wire.documents), "ping", read=1)
        except grpc.RpcError as error:
            if is_about_database(error):
                raise errors.map_error(error, "ping") from error

    def clear(self, collection: str) -> int:
        """Deletes every document of a collection. Returns the number of documents."""
        deleted = 0
        page = Query(collection, columns=(DOCUMENT_ID,), limit=1000)
        while ids := [row[0] for row in self.run(page)]:
            self.commit([Delete(collection, id) for id in ids])
            deleted += len(ids)
        return deleted

    def copy(self, to: Executor) -> int:
        """Copies every document of the root collections to another database. Returns the number of documents."""
        copied = 0
        for collection in self.collections():
            page = Query(collection, columns=(DOCUMENT_ID,), limit=GET_BATCH, orders=(Order(DOCUMENT_ID),))
            while ids := [row[0] for row in self.run(page)]:
                found = self.documents([(collection, id) for id in ids])
                to.commit([_copy_write(*key, document) for key, document in found.items()])
                copied += len(found)
                page = replace(page, start_after=(ids[-1],))
        return copied

    def stored(self, collection: str) -> Iterator[tuple[str, bytes, Any]]:
        """Every document of a collection, outside of any transaction: its id, its serialized form, and its fields.

        Fields are decoded as JSON is; bytes stay bytes.
        """
        page = Query(collection, columns=(DOCUMENT_ID,), limit=GET_BATCH, orders=(Order(DOCUMENT_ID),))
        while ids := [row[0] for row in self.run(page)]:
            for (_, id), document in self.documents([(collection, id) for id in ids]).items():
                yield id, bytes(document.SerializeToString()), codec.fields_of(document)
            page = replace(page, start_after=(ids[-1],))

    def _prepare(self, read: Query | Nearest | Aggregate, budget: ByteBudget) -> tuple[Stream, Iterable[Row]]:
        """The call of a read, and an iterable of its rows within the budget."""
        if isinstance(read, Nearest):
            stream, found = self._nearest_call(read, None)
            return stream, budget.take(_nearest_rows(read, stream, found, budget))
        if isinstance(read, Query):
            self._require_index(read)
            run = _QueryRun(self._client, self._index, read, None, ())
            stream = run.call()
            return stream, budget.take(_rows(run.documents(stream), codec.row_decoder(read.columns)))
        if isinstance(read.source, Merge):
            raise TypeError("an aggregate over a Merge needs several calls")
        stream = self._aggregate_call(read.source, [read], None)
        return stream, (tuple(_aggregate_values(stream, 1)) for _ in range(1))

    # Reads. Each is a lazy iterator of `Document` messages.

    def _query(self, query: Query, transaction: bytes | None, extra: Sequence[Ref] = ()) -> Documents:
        if query.limit != 0:
            self._require_index(query)
            run = _QueryRun(self._client, self._index, query, transaction, extra)
            yield from run.documents(run.call())

    def _merge(self, merge: Merge, transaction: bytes | None) -> Documents:
        bound = None if merge.limit is None else merge.offset + merge.limit
        orders = merge.branches[0].orders
        extra = [order.ref for order in orders if order.ref not in merge.columns]
        streams = [self._query(_limited_branch(branch, bound), transaction, extra) for branch in merge.branches]
        with contextlib.ExitStack() as stack:
            for stream in streams:
                stack.callback(stream.close)
            if len(streams) > MAX_OPEN_STREAMS:
                sources: list[Iterable[Message]] = [list(stream) for stream in streams]
            else:
                sources = list(streams)
            merged: Iterator[Message] = heapq.merge(*sources, key=partial(order_key, orders=orders))
            if merge.overlapping:
                merged = _distinct(merged)
            yield from itertools.islice(merged, merge.offset, bound)

    def _get(self, read: Get, transaction: bytes | None) -> Documents:
        documents = self._client.wire.documents
        paths = messages.mask_paths(read.columns)
        for ids in batches(dict.fromkeys(read.ids), GET_BATCH):
            names = [f"{documents}/{read.collection}/{id}" for id in ids]
            found = batch_get(self._client, names, paths, messages.describe(read), transaction)
            yield from (found[name] for name in names if name in found)

    def _get_one(self, read: Get, decode: Callable[[Message], Row], transaction: bytes | None) -> Iterator[Row]:
        client, description = self._client, messages.describe(read)
        request = messages.get_document(read, client.wire.documents, transaction)
        try:
            document = client.unary("GetDocument", request, description, read=1, transaction=transaction)
        except grpc.RpcError as error:
            if is_about_database(error):
                raise errors.map_error(error, description) from error
            return
        yield decode(document)

    def _nearest(self, read: Nearest, transaction: bytes | None) -> Iterator[Row]:
        stream, found = self._nearest_call(read, transaction)
        yield from _nearest_rows(read, stream, found)

    def _nearest_call(self, read: Nearest, transaction: bytes | None) -> tuple[Stream, list[Message]]:
        """The call, and the list for its documents. A retry of the call clears the list."""
        self._require_index(read)
        request = messages.nearest(read, self._client.wire.documents, transaction)
        found: list[Message] = []

        def restart() -> Message:
            found.clear()
            return request

        stream = self._client.stream(
            "RunQuery",
            request,
            messages.describe(read),
            resume=restart,
            documents=_has_document,
            transaction=transaction,
            index=partial(self._index, read),
        )
        return stream, found

    def _aggregate(self, source: Query, aggregates: Sequence[Aggregate], transaction: bytes | None) -> list[Any]:
        return _aggregate_values(self._aggregate_call(source, aggregates, transaction), len(aggregates))

    def _aggregate_call(self, source: Query, aggregates: Sequence[Aggregate], transaction: bytes | None) -> Stream:
        aggregated = [aggregate.ref for aggregate in aggregates if aggregate.ref is not None]
        self._require_index(source, aggregated)
        request = messages.aggregation(source, aggregates, self._client.wire.documents, transaction)
        return self._client.stream(
            "RunAggregationQuery",
            request,
            f"{messages.describe(source)} {', '.join(map(_describe_aggregate, aggregates))}",
            resume=lambda: request,
            documents=_billed_documents,
            transaction=transaction,
            index=partial(self._index, source, aggregated),
        )

    def _require_index(self, read: Read, aggregated: Sequence[Ref] = ()) -> None:
        if (definition := self._missing(read, aggregated)) is not None:
            raise errors.missing_index(messages.describe(read), "require_indexes: nothing was sent", definition)

    def _count_merge(self, merge: Merge, transaction: bytes | None) -> int:
        bound = None if merge.limit is None else merge.offset + merge.limit
        if merge.overlapping:
            names = _distinct(
                itertools.chain.from_iterable(self._query(keys, transaction) for keys in _key_queries(merge))
            )
            total = sum(1 for _ in names)
        else:
            counts = (Aggregate(branch, Function.COUNT) for branch in merge.branches)
            total = sum(self._aggregate(count.source, [count], transaction)[0] for count in counts)  # type: ignore[arg-type]
        return max(0, total - merge.offset) if bound is None else max(0, min(total, bound) - merge.offset)

    def _unary(self, method: str, request: Message, description: str, read: int = 0) -> Message:
        try:
            return self._client.unary(method, request, description, read=read)
        except grpc.RpcError as error:
            raise errors.map_error(error, description) from error


class _QueryRun:
    """One query and its progress, so that an interrupted stream can be resumed."""

    def __init__(
        self, calls: RpcClient, index: IndexOf, query: Query, transaction: bytes | None, extra: Sequence[Ref]
    ) -> None:
        self._client = calls
        self._index = index
        self._query = query
        self._transaction = transaction
        self._orders = messages.total_orders(query)
        sorted_by = [order.ref for order in self._orders if order.ref not in query.columns]
        self._extra = (*extra, *sorted_by)
        self._last: Message | None = None
        self._seen = 0
        self._read_time: Message | None = None

    def call(self) -> Stream:
        """The streaming call."""
        return self._client.stream(
            "RunQuery",
            messages.run_query(self._query, self._client.wire.documents, self._extra, self._transaction),
            messages.describe(self._query),
            resume=self._rest,
            documents=_has_document,
            transaction=self._transaction,
            index=partial(self._index, self._query),
        )

    def documents(self, stream: Stream) -> Documents:
        """The documents of the stream, in order, each once, from one consistent snapshot."""
        for answer in stream:
            if self._read_time is None and answer.HasField("read_time"):
                self._read_time = answer.read_time
            if answer.HasField("document"):
                self._last = answer.document
                self._seen += 1
                yield answer.document

    def _rest(self) -> Message | None:
        """The request for the documents after the last one received; None if the limit is reached."""
        query = self._query
        request = messages.run_query(query, self._client.wire.documents, self._extra, self._transaction)
        if self._last is None:
            return request
        if query.limit is not None and self._seen >= query.limit:
            return None
        made = request.structured_query
        messages.write_orders(made, self._orders)
        made.ClearField("start_at")
        made.start_at.values.extend(messages.cursor_values(self._last, self._orders))
        made.start_at.before = False
        made.offset = 0
        if query.limit is not None:
            made.limit.value = query.limit - self._seen
        if self._transaction is None and self._read_time is not None:
            request.read_time.CopyFrom(self._read_time)
        return request


def _copy_write(collection: str, id: str, document: Message) -> Put:
    """The write that copies a document."""
    columns = tuple(Ref((document_ids.unescape_key(name),), Kind.WIRE) for name in document.fields)
    return Put(collection, id, columns, tuple(document.fields.values()))


def _nearest_rows(
    read: Nearest, stream: Stream, found: list[Message], budget: ByteBudget | None = None
) -> Iterator[Row]:
    size = 0
    for answer in stream:  # `restart` clears `found` when the stream starts again
        if answer.HasField("document"):
            size = answer.document.ByteSize() + (size if found else 0)
            found.append(answer.document)
        if budget is not None and size > budget.left:
            break
    decode = codec.row_decoder(read.columns)
    for document in found[read.offset :]:
        distance = document.fields[messages.DISTANCE].double_value
        undefined = math.isnan(distance)
        if not (undefined and read.defined):
            yield decode(document) + ((None if undefined else distance,) if read.distance else ())


def _aggregate_values(stream: Stream, number: int) -> list[Any]:
    fields = list(stream)[-1].result.aggregate_fields
    return [codec.decode(fields[f"a{position}"], Kind.ANY) for position in range(number)]


_PING: Final = Get("ping", ("ping",))


def _has_document(answer: Message) -> int:
    return int(answer.HasField("document"))


def _billed_documents(answer: Message) -> int:
    counts = [value.integer_value for value in answer.result.aggregate_fields.values()]
    return max(1, -(-max(counts, default=0) // AGGREGATED_ENTRIES)) if len(counts) == 1 else 1


def _describe_aggregate(aggregate: Aggregate) -> str:
    return f"{aggregate.function.value}({aggregate.ref.name if aggregate.ref else '*'})"


def _limited_branch(query: Query, bound: int | None) -> Query:
    """A branch of a merge, limited to the rows that the merge can use."""
    limits = [limit for limit in (query.limit, bound) if limit is not None]
    return replace(query, limit=min(limits, default=None))


def _key_queries(merge: Merge) -> Iterator[Query]:
    return (replace(branch, columns=(), orders=()) for branch in merge.branches)


def _distinct(documents: Iterator[Message]) -> Iterator[Message]:
    seen: set[str] = set()
    for document in documents:
        if document.name not in seen:
            seen.add(document.name)
            yield document


def _rows(documents: Documents, decode: Callable[[Message], Row]) -> Iterator[Row]:
    """Decodes documents. Closing this iterator closes `documents`."""
    with contextlib.closing(documents):
        for document in documents:
            yield decode(document)

"""One transaction of one connection. Writes are buffered until the commit; reads see Firestore's documents with the
buffered writes applied.

**Reads** run in a server transaction, which the first read begins, and which locks the documents read. A document
written in this transaction is read from the buffer, and its unwritten columns from the stored document. A query over a
collection with buffered writes cannot be answered by the server alone: `superset` passes the stored rows without
buffered writes, and the rows with buffered writes that may match, to the mirror. An index finds these (`write_buffer`).

**Writes** return their outcomes at once. If it is unknown whether a document exists, it is looked up. Without a server
transaction the lookup takes no lock, and the commit checks the result again with preconditions. Whether a new key is
unused is checked at the commit, or earlier when a savepoint is released and in tests.

**Progress under contention.** If several transactions read a row and then write it, each commit waits for the others'
locks until the server aborts it, maybe all of them. If all reads were by key, and of documents that are written, the
writes are sent again in a transaction without reads, on condition that these documents are unchanged: the first of
these commits succeeds.

**An optimistic transaction** has no server transaction and takes no locks: it records the update time of the documents
it reads, and its commit requires that documents to write have not changed since. Documents that are only read may
change.

**Rows of `select_for_update(skip_locked=True)`** are read without the server's locks, as in an optimistic transaction,
under leases of the engine's own (`leases.py`).

**A test's transaction** (`_never_committed`) has no server transaction, because of its locks and time limits: its
writes are never sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final, TypeAlias

from django.db import DatabaseError, DataError, OperationalError

from memory.backends import clock

from .. import errors
from ..query.plan import (
    Aggregate,
    Change,
    Create,
    Delete,
    Get,
    Group,
    Merge,
    Outcome,
    Put,
    Query,
    Read,
    Update,
    Write,
    collections_of,
    parts,
    with_columns,
)
from ..rpc import codec
from ..rpc.channel import Message
from ..rpc.executor import Executor
from ..rpc.sequences import LAST, counter_id
from ..rpc.writes import REFUSALS, aborts_statement, combined_outcome, is_optional, is_upsert
from ..values.batching import connected_components
from ..values.document_ids import document_id
from ..values.marker_collections import SEQUENCES
from ..values.types import DOCUMENT_ID, VERSION, Kind, Ref
from .documents import encoded_write, merged_document
from .leases import Leases
from .matching import entries_for
from .write_buffer import Buffer, Entry, Key, Patch, Precondition, Row

logger = logging.getLogger(__name__)

MAX_SECONDS: Final = 270.0
MAX_IDLE_SECONDS: Final = 60.0
"""Firestore's time limits of a transaction, in total and between calls. https://firebase.google.com/docs/firestore/quotas"""

VERSIONED: Final = (DOCUMENT_ID, VERSION)

Statement: TypeAlias = Callable[[], None]


class UnitOfWork:
    """The buffered writes of one transaction, and the server transaction of its reads."""

    def __init__(
        self,
        executor: Executor,
        blocks: Callable[[], Sequence[Any]],
        retry: bytes | None = None,
        *,
        optimistic: bool = False,
        bulk: bool = False,
    ) -> None:
        """`blocks` returns the open `atomic()` blocks, the outermost first. For `retry` see `Executor.begin`.

        `bulk`: the transaction belongs to a single statement, whatever blocks are open.
        """
        self._executor = executor
        self._blocks = blocks
        self._retry = retry
        self._optimistic = optimistic
        self._buffer = Buffer(codec.incremented, codec.token, codec.widened)
        self._id: bytes | None = None
        self._began = self._last = 0.0
        self._aborted = ""
        # Stored documents that were read; the server transaction locks them.
        self._exists: dict[Key, bool] = {}
        self._stored: dict[Key, Message] = {}
        # Without locks (optimistic): their update times at the first read.
        self._versions: dict[Key, Any] = {}
        # With locks: the documents that were read by key, and the update times of those that exist.
        self._read: set[Key] = set()
        self._seen: dict[Key, Any] = {}
        self._only_by_key = True
        self._marks: dict[str, int] = {}
        # In a test: the stored counters of ids, by table.
        self._counters: dict[str, int] = {}
        # Rows with their markers, which must not be split between commits.
        self._groups: list[list[Key]] = []
        # Documents to create unless they exist at the time of the commit.
        self._optional: set[Key] = set()
        self._is_bulk = bulk
        # Whether all writes are by bulk statements, so that the commit can be split.
        self._in_bulk = True
        # The repeatable statements; None after a read or write of any other.
        self._repeatable: list[Statement] | None = []
        self._in_repeatable = False
        self.leases = Leases(executor)

    @property
    def server_id(self) -> bytes | None:
        """The id of the server transaction, if one is open."""
        return self._id

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was read or written yet, so that a read outside of the transaction is consistent with it."""
        return self._id is None and next(iter(self._buffer.writes()), None) is None

    # --- repeatable statements

    @property
    def repeatable(self) -> Sequence[Statement]:
        """The statements of a transaction with only repeatable statements; otherwise empty."""
        return tuple(self._repeatable or ())

    def run_repeatable(self, *statements: Statement) -> None:
        """Runs statements that `repeat.commit` can repeat, because nothing else depends on what they read.

        In the transaction of a bulk statement they take no locks: the commit requires that the documents to write have
        not changed since they were read. In a transaction of the application they run like other statements.
        """
        if self._repeatable is None or not self._is_bulk_alone():
            self._repeatable = None
            for statement in statements:
                statement()
            return
        self._repeatable.extend(statements)
        before, self._optimistic, self._in_repeatable = self._optimistic, True, True
        try:
            for statement in statements:
                statement()
        finally:
            self._optimistic, self._in_repeatable = before, False

    def _is_bulk_alone(self) -> bool:
        """Whether all open blocks are Django's own, for example of `bulk_create()`: those have no savepoints."""
        blocks = self._blocks()
        return self._is_bulk or (bool(blocks) and not any(block.savepoint for block in blocks))

    def _note_access(self) -> None:
        """Called by each read and write. After one of another statement, no statement is repeatable."""
        if not self._in_repeatable:
            self._repeatable = None

    # --- rows that others have not locked

    @contextmanager
    def without_locks(self, *, keep: bool = True) -> Iterator[None]:
        """Reads inside take no locks. If `keep`, the commit requires that the rows that it writes have not changed."""
        before, versions, self._optimistic = self._optimistic, dict(self._versions), True
        try:
            yield
        finally:
            self._optimistic = before
            if not keep:
                self._versions = versions

    # --- reads

    def touches(self, read: Read) -> bool:
        """Whether a read is over a collection with buffered writes, so that the server alone cannot answer it."""
        return not isinstance(read, Get) and any(self._buffer.entries_of(name) for name in collections_of(read))

    def run(self, read: Read) -> Iterator[tuple[Any, ...]]:
        """The rows of a read by key, or of a read of collections without buffered writes."""
        self._note_access()
        if isinstance(read, Get):
            return iter(self._get(read))
        if self.touches(read):
            raise TypeError(f"{collections_of(read)} have buffered writes in this transaction: use superset()")
        return self._run_tracked(read)

    def superset(self, read: Read, limit: int | None = None) -> tuple[list[tuple[Any, ...]], int]:
        """A superset of the rows of a read, and the number of rows read from Firestore: at most `limit` + 1.

        It contains every row with buffered writes that may match: those that fulfil its equalities, or a range.
        """
        self._note_access()
        collection = collections_of(read)[0]
        own = {} if isinstance(read, Get) else self._buffer.entries_of(collection)
        if not own:
            if limit is not None and isinstance(read, Query | Merge):
                read = replace(read, limit=limit + 1)
            rows = list(_limited(self.run(read), limit))
            return rows, len(rows)
        theirs = self._others(read, own, limit)
        return [*theirs, *self._own_rows(collection, entries_for(self._buffer, read), read.columns)], len(theirs)

    def _others(self, read: Read, own: Mapping[str, Entry], limit: int | None) -> list[tuple[Any, ...]]:
        """The rows of a read without buffered writes: at most `limit` + 1."""
        bound = None if limit is None else limit + self.stored_count(collections_of(read)[0])
        found = list(self._run_tracked(_with_id(read, None if bound is None else bound + 1)))
        return [row[1:] for row in _limited((row for row in found if row[0] not in own), limit)]

    def rows_of_others(self, read: Query | Merge, count: int) -> list[tuple[Any, ...]]:
        """The first rows of a read, in its order, that have no buffered writes: at most `count`."""
        self._note_access()
        return self._others(read, self._buffer.entries_of(collections_of(read)[0]), count - 1) if count else []

    def own_rows(self, read: Query | Merge, columns: tuple[Ref, ...]) -> list[tuple[Any, ...]]:
        """The rows with buffered writes that may match a read, as they will be after the commit."""
        self._note_access()
        collection = collections_of(read)[0]
        return list(self._own_rows(collection, entries_for(self._buffer, read), columns))

    def first_of_others(self, read: Query | Merge) -> list[tuple[Any, ...]]:
        """The first row of a read, in its order, that has no buffered writes; an empty list if there is none."""
        self._note_access()
        own = self._buffer.entries_of(collections_of(read)[0])
        return self._others(read, own, 0)[:1]

    def changed_count(self, collection: str) -> int:
        """How many documents have buffered writes."""
        return len(self._buffer.entries_of(collection))

    def stored_count(self, collection: str) -> int:
        """How many documents with buffered writes may be stored."""
        return len(self._buffer.stored_ids(collection))

    def changed_rows(
        self, read: Query | Merge, columns: tuple[Ref, ...]
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """The documents with buffered writes, as they are stored, and those that may match a read, as they will be
        after the commit."""
        self._note_access()
        collection = collections_of(read)[0]
        decode = codec.row_decoder(columns)
        stored = self._base_documents([(collection, id) for id in self._buffer.stored_ids(collection)])
        mine = self._own_rows(collection, entries_for(self._buffer, read), columns)
        return [decode(document) for document in stored.values()], list(mine)

    def aggregate(self, aggregates: Sequence[Aggregate]) -> tuple[Any, ...]:
        """One value per aggregate, over collections without buffered writes."""
        self._note_access()
        self._only_by_key = False
        with self._detect_abort():
            return self._executor.aggregate(aggregates, transaction=self._server_transaction())

    def collections(self) -> list[str]:
        """The ids of the collections that contain documents."""
        self._note_access()
        self._only_by_key = False
        return sorted(self._buffer.collections().union(self._executor.collections()))

    def _get(self, read: Get) -> list[tuple[Any, ...]]:
        own = self._buffer.entries_of(read.collection)
        with_id = replace(read, ids=tuple(id for id in read.ids if id not in own), columns=(DOCUMENT_ID, *read.columns))
        rows: dict[str, tuple[Any, ...]] = {}
        if with_id.ids:
            rows = {row[0]: row[1:] for row in self._run_tracked(with_id)}
            self._exists.update({(read.collection, id): id in rows for id in with_id.ids})
        mine = {id: own[id] for id in read.ids if id in own}
        rows |= dict(zip(*self._own_documents(read.collection, mine, read.columns), strict=True))
        return [rows[id] for id in dict.fromkeys(read.ids) if id in rows]

    def _own_rows(
        self, collection: str, own: Mapping[str, Entry], columns: tuple[Ref, ...]
    ) -> Iterable[tuple[Any, ...]]:
        return self._own_documents(collection, own, columns)[1]

    def _own_documents(
        self, collection: str, own: Mapping[str, Entry], columns: tuple[Ref, ...]
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The ids and rows of documents with buffered writes, as they will be after the commit."""
        decode = codec.row_decoder(columns)
        stored = self._base_documents([(collection, id) for id, entry in own.items() if isinstance(entry.state, Patch)])
        merged = {id: merged_document(id, entry, stored.get((collection, id))) for id, entry in own.items()}
        made = {id: document for id, document in merged.items() if document is not None}
        return list(made), [decode(document) for document in made.values()]

    def _base_documents(self, keys: Sequence[Key]) -> dict[Key, Message]:
        """The stored documents that patches apply to, if they exist."""
        if unknown := [key for key in keys if key not in self._stored and self._exists.get(key) is not False]:
            with self._detect_abort():
                found = self._executor.documents(unknown, transaction=self._server_transaction())
            self._read.update(unknown)
            self._stored.update(found)
            self._exists.update({key: key in found for key in unknown})
            self._keep_versions({key: codec.version(document) for key, document in found.items()})
        return {key: self._stored[key] for key in keys if key in self._stored}

    def _run_tracked(self, read: Read) -> Iterator[tuple[Any, ...]]:
        """The rows of a read. Records which documents exist and, if optimistic, their update times."""
        if not self._optimistic and not isinstance(read, Get):
            self._only_by_key = False
            return self._with_existence(read, self._executor.run(read, transaction=self._server_transaction()))
        versioned = with_columns(read, VERSIONED)
        if isinstance(read, Get):
            self._read.update((read.collection, id) for id in read.ids)
        if not self._optimistic:
            rows = self._executor.run(versioned, transaction=self._server_transaction())
            return self._with_versions(versioned, self._with_existence(versioned, rows))
        return self._with_versions(versioned, self._with_existence(versioned, self._executor.run(versioned)))

    def _with_existence(self, read: Read, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        key = next((place for place, ref in enumerate(read.columns) if ref.key or ref == DOCUMENT_ID), None)
        collection, kind = collections_of(read)[0], Kind.TEXT if key is None else read.columns[key].kind
        with self._detect_abort():
            for row in rows:
                if key is not None:
                    with suppress(ValueError):  # a key by another client that differs from the document id
                        self._exists[collection, document_id(row[key], kind)] = True
                yield row

    def _with_versions(self, read: Read, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        collection = collections_of(read)[0]
        for id, version, *row in rows:
            self._keep_versions({(collection, id): version})
            yield tuple(row)

    def _keep_versions(self, versions: Mapping[Key, Any]) -> None:
        """Records the versions of the first reads."""
        known = self._versions if self._optimistic else self._seen
        for key, version in versions.items():
            known.setdefault(key, version)

    # --- writes

    def write(self, changes: Sequence[Change], *, isolate: bool = False) -> list[Outcome]:
        """Buffers changes and returns their outcomes, like `Executor.commit`."""
        self._note_access()
        self.refuse_aborted()
        encoded = [tuple(map(encoded_write, parts(change))) for change in changes]
        writes = [write for group in encoded for write in group]
        lookups = [key for write in writes if (key := self._needs_lookup(write, isolate)) is not None]
        self._look_up(lookups)
        self._in_bulk = self._in_bulk and self._is_bulk_alone()
        mark = self._buffer.mark()
        part_outcomes = [self._apply(change, group) for change, group in zip(changes, encoded, strict=True)]
        outcomes = [combined_outcome(change, found) for change, found in zip(changes, part_outcomes, strict=True)]
        refused = [place for place, outcome in enumerate(outcomes) if outcome is not Outcome.APPLIED]
        aborting = [place for place in refused if not isolate or aborts_statement(changes[place], outcomes[place])]
        if aborting:
            self._buffer.rollback(mark)
            refusals = zip(parts(changes[aborting[0]]), part_outcomes[aborting[0]], strict=True)
            write, outcome = next((write, outcome) for write, outcome in refusals if outcome is not Outcome.APPLIED)
            raise errors.RowsRefused(_refusal(write, outcome), refused)
        return outcomes

    def _apply(self, change: Change, writes: Sequence[Write]) -> list[Outcome]:
        """Buffers all writes of a change, or none of them. Returns their outcomes."""
        mark = self._buffer.mark()
        part_outcomes = [self._buffer.apply(write, self._exists.get((write.collection, write.id))) for write in writes]
        if combined_outcome(change, part_outcomes) is not Outcome.APPLIED:
            self._buffer.rollback(mark)
            return part_outcomes
        keys = [(write.collection, write.id) for write in writes]
        (self._optional.update if is_optional(change) else self._optional.difference_update)(keys)
        if len(keys) > 1:
            self._groups.append(keys)
        return part_outcomes

    def _needs_lookup(self, write: Write, isolate: bool) -> Key | None:
        """The key of a write's document if the outcome depends on its existence, which is not known yet."""
        key = (write.collection, write.id)
        if key in self._exists:
            return None
        entry = self._buffer.get(key)
        if entry is not None:
            # A created and deleted row leaves no write, so the commit cannot check that the key was unused.
            return key if isinstance(write, Delete) and entry.precondition is Precondition.ABSENT else None
        if isinstance(write, Create):
            return key if isolate or self._never_committed() else None
        unconditional = (isinstance(write, Put | Delete) and not write.must_exist) or is_upsert(write)
        return None if unconditional else key

    def _look_up(self, keys: Sequence[Key]) -> None:
        """Looks up whether documents exist. Raises `RowsRefused` for buffered creations of existing ones."""
        if not keys:
            return
        with self._detect_abort():
            found = self._executor.documents(list(dict.fromkeys(keys)), whole=False, transaction=self._id)
        if self._id is not None:
            self._read.update(keys)
            self._keep_versions({key: codec.version(document) for key, document in found.items()})
        self._exists.update({key: key in found for key in keys})
        self._refuse_taken(list(found))

    def _refuse_taken(self, keys: Sequence[Key]) -> None:
        """Raises `RowsRefused` if one of these documents has a buffered creation and is known to exist."""
        created = (
            key for key in keys if (entry := self._buffer.get(key)) and entry.precondition is Precondition.ABSENT
        )
        taken = [key for key in created if self._exists.get(key)]
        if taken:
            collection, id = taken[0]
            entry = self._buffer.get(taken[0])
            creation = Create(collection, id, (), (), entry.refusal if entry else "")
            raise errors.RowsRefused(_refusal(creation, Outcome.EXISTS), range(len(taken)))

    def _never_committed(self) -> bool:
        """Whether the outermost block is that of Django's TestCase, which always rolls back."""
        blocks = self._blocks()
        return bool(blocks) and bool(blocks[0]._from_testcase)

    # --- ids from 1

    @property
    def is_of_test(self) -> bool:
        """Whether this is the transaction of a Django TestCase, which is always rolled back, and its ids with it."""
        return self._never_committed()

    def take_ids(self, table: str, count: int) -> range:
        """New ids for rows of a table, for a test: see `rpc/sequences.py`."""
        last = self._last_id(table)
        self._keep_last_id(table, last + count)
        return range(last + 1, last + count + 1)

    def pass_over_id(self, table: str, id: int) -> None:
        """Makes later ids of a table higher than this one."""
        if id > self._last_id(table):
            self._keep_last_id(table, id)

    def _last_id(self, table: str) -> int:
        key = (SEQUENCES, counter_id(table))
        entry = self._buffer.get(key)
        if entry is not None and isinstance(entry.state, Row):
            return int(codec.decode(entry.state.values[LAST.path[0]], LAST.kind))
        if table not in self._counters:
            found = self._executor.documents([key])
            self._counters[table] = found[key].fields[LAST.path[0]].integer_value if key in found else 0
        return self._counters[table]

    def _keep_last_id(self, table: str, last: int) -> None:
        self._buffer.apply(encoded_write(Put(SEQUENCES, counter_id(table), (LAST,), (last,))))

    # --- savepoints

    def savepoint(self, name: str) -> None:
        """Creates a savepoint."""
        self._marks[name] = self._buffer.mark()

    def savepoint_rollback(self, name: str) -> None:
        """Discards the writes since a savepoint. After an abort by the server, the commit still fails."""
        self._buffer.rollback(self._mark(name))

    def savepoint_commit(self, name: str) -> None:
        """Checks that the rows created since do not exist, so that the block that caused it gets the IntegrityError."""
        mark = self._mark(name)
        if not self._aborted:
            created = list(self._buffer.created(mark))
            self._look_up([key for key in created if key not in self._exists])
            self._refuse_taken(created)
        del self._marks[name]

    def _mark(self, name: str) -> int:
        if name not in self._marks:
            raise OperationalError(f"no such savepoint in this transaction: {name}")
        return self._marks[name]

    # --- the end

    def commit(self) -> None:
        """Sends the buffered writes in one commit. Without writes, ends the server transaction.

        A bulk statement of Django's own is split into several commits if it is too large and nothing was read for it.
        """
        self.refuse_aborted()
        writes = [self._with_version(write) for write in self._buffer.writes()]
        if not writes:
            self.rollback()
            return
        self._check_duration()
        divisible = self._in_bulk and self._id is None and not (self._versions or self._optimistic or self._repeatable)
        writes += self.leases.deletes()
        changes = self._grouped(writes) if self._id is None else writes
        try:
            try:
                with self._detect_abort():
                    self._executor.commit_whole(changes, self._id, divisible=divisible)
            except errors.Contention as error:
                verified = self._verified(writes)
                if verified is None or isinstance(error.__cause__, DataError):  # the server has no such transaction
                    raise
                changes, aborted = verified, self._id
                self._end_server_transaction()  # the server has not ended it if a precondition failed
                self._id = self._executor.begin(retry=aborted)
                self._executor.commit_whole(changes, self._id)
        except errors.RowsRefused as error:
            left = [write for place in error.rows for write in parts(changes[place])]
            raise self._refused(left, len(writes) - len(left), error) from error
        self._id = None
        self.leases.forget()

    def _verified(self, writes: Sequence[Write]) -> list[Write] | None:
        """An aborted transaction's writes, with preconditions on all that it read; None if they cannot have them."""
        if self._id is None or not self._only_by_key:
            return None
        if not self._read.issubset((write.collection, write.id) for write in writes):
            return None
        verified = [self._with_precondition(write) for write in writes]
        return None if None in verified else [write for write in verified if write is not None]

    def _with_precondition(self, write: Write) -> Write | None:
        """A write that fails if its document was changed after it was read; None if there is no such write."""
        key = (write.collection, write.id)
        if key not in self._read or is_upsert(write) or (isinstance(write, Create) and key not in self._seen):
            return write
        if isinstance(write, Update | Delete) and key in self._seen:
            return replace(write, version=self._seen[key])
        return None

    def _with_version(self, write: Write) -> Write:
        """The write, with the version that an optimistic transaction read as a precondition."""
        version = self._versions.get((write.collection, write.id))
        if version is None or not isinstance(write, Update | Delete) or write.version is not None or is_upsert(write):
            return write
        return replace(write, version=version)

    def _refused(self, writes: Sequence[Write], applied: int, error: errors.RowsRefused) -> DatabaseError:
        """The error for a key that exists: `RowsRefused`, or `Contention` if this transaction has seen it unused.

        `writes` are those that were not applied. `applied` is the number of writes that earlier commits applied.
        """
        created = self._buffer.created().intersection((write.collection, write.id) for write in writes)
        assumed = [key for key in created if self._exists.get(key) is not False]
        found = self._executor.documents(assumed, whole=False) if assumed else {}
        taken = [write for write in writes if (write.collection, write.id) in found]
        if not taken:
            was = "different" if self._versions or self._optimistic or self._repeatable else "unused"
            return errors.Contention(f"{error}; it was {was} when the transaction read it, retry the transaction")
        message = _refusal(taken[0], Outcome.EXISTS, applied)
        return errors.RowsRefused(message, [writes.index(write) for write in taken])

    def _grouped(self, writes: Sequence[Write]) -> list[Change]:
        """The writes as changes: rows grouped with their markers, and documents to create if missing as optional."""
        places = {(write.collection, write.id): place for place, write in enumerate(writes)}
        known = ([places[key] for key in group if key in places] for group in self._groups)
        sets = connected_components(len(writes), (pair for group in known for pair in pairwise(group)))
        return [self._as_change([writes[place] for place in connected]) for connected in sets]

    def _as_change(self, writes: Sequence[Write]) -> Change:
        optional = self._optional.issuperset((write.collection, write.id) for write in writes)
        return writes[0] if len(writes) == 1 and not optional else Group(tuple(writes), optional=optional)

    def rollback(self) -> None:
        """Discards the buffered writes and rolls back the server transaction.

        If that call fails, the locks are held until the server's own time limit.
        """
        self._buffer.rollback(0)
        self._end_server_transaction()
        self.leases.release()

    def _end_server_transaction(self) -> None:
        transaction, self._id = self._id, None
        if transaction is None:
            return
        try:
            self._executor.rollback(transaction)
        except DatabaseError as error:
            logger.warning("Rollback failed; Firestore keeps the transaction's locks until they time out: %s", error)

    def refuse_aborted(self) -> None:
        """Raises `Contention` if the server has aborted the transaction."""
        if self._aborted:
            raise errors.Contention(f"the transaction was aborted, nothing was applied: {self._aborted}")

    def _server_transaction(self) -> bytes | None:
        """The id of the server transaction, begun if needed. None if optimistic or in a test."""
        self.refuse_aborted()
        if self._id is None and not self._optimistic and not self._never_committed():
            self._id = self._executor.begin(retry=self._retry)
            self._began = self._last = clock.monotonic()
        return self._id

    def _check_duration(self) -> None:
        took = clock.monotonic() - self._began
        if self._id is not None and took > MAX_SECONDS:
            raise errors.TransactionTooLong(
                f"the transaction began {took:.0f} s ago; Firestore's limit is {MAX_SECONDS:.0f} s. Nothing was sent. "
                "Move work that need not be atomic out of the transaction."
            )

    @contextmanager
    def _detect_abort(self) -> Iterator[None]:
        """For calls in the server transaction: records whether the server has ended it."""
        idle = clock.monotonic() - self._last
        try:
            yield
        except errors.Contention as error:
            if self._id is not None:
                self._aborted = str(error)
            raise
        except DataError as error:
            if self._id is None or isinstance(error, errors.TransactionTooLarge):
                raise
            if idle < MAX_IDLE_SECONDS and not errors.is_transaction_gone(error):
                raise
            self._aborted = (
                str(error)
                if idle < MAX_IDLE_SECONDS
                else f"it was idle for {idle:.0f} s; Firestore's limit is {MAX_IDLE_SECONDS:.0f} s"
            )
            raise errors.Contention(f"the transaction has ended, nothing was applied: {self._aborted}") from error
        self._last = clock.monotonic()


def _refusal(write: Write, outcome: Outcome, applied: int = 0) -> str:
    reason = write.refusal if isinstance(write, Create) and outcome is Outcome.EXISTS else ""
    done = f"other commits wrote {applied} documents of the statement" if applied else "nothing was written"
    return f"{reason or REFUSALS[outcome]}; {done} ({write.collection}: {write.id!r})"


def _with_id(read: Read, limit: int | None) -> Query | Merge:
    """The read with this limit, and the document's id as the first column."""
    made = with_columns(read, (DOCUMENT_ID,))
    if not isinstance(made, Query | Merge):
        raise TypeError(f"{type(read).__name__} has no superset")
    return replace(made, limit=limit)


def _limited(rows: Iterator[tuple[Any, ...]], limit: int | None) -> Iterator[tuple[Any, ...]]:
    for count, row in enumerate(rows):
        if limit is not None and count > limit:
            break
        yield row

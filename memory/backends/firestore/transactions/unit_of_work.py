"""One transaction of one connection: what it writes is held back until it commits, what it reads is Firestore's with
that laid over.

**Reads** take part in a transaction of the server's, which is begun by the first of them and locks what they see. A
document that was written here is answered from the buffer, the columns that were not from the stored one. A query
over a collection that was written to cannot be left to the server: `superset` hands its rows, less those that were
written here, and all of those, to the mirror.

**Writes** are answered at once: whether a row is there to be changed is looked up where nothing has told yet. As long
as no server transaction was begun, that takes no lock; the commit then demands that it still be so. That a new key is
free is left to the commit, unless somebody must know earlier: a savepoint that is released, or a test.

**An optimistic transaction** has none of the server's and locks nothing: it keeps the update time of what it reads, and
its commit demands that what it writes was not written since. What it only reads may change meanwhile.

**A test's transaction** (`never_committed`) has none of the server's, whose locks and limits of time would be in the
way: nothing that it does is ever sent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

from django.db import DatabaseError, DataError, OperationalError

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
from ..rpc.channel import Message, pb
from ..rpc.executor import Executor
from ..rpc.writes import aborts_statement, combined_outcome, describe, is_optional
from ..values.batching import connected_components
from ..values.document_ids import document_id, escape_key
from ..values.types import DOCUMENT_ID, VERSION, Kind, Ref
from .write_buffer import Buffer, Deleted, Entry, Key, Patch, Precondition, Row, Values

logger = logging.getLogger(__name__)

MAX_SECONDS: Final = 270.0
MAX_IDLE_SECONDS: Final = 60.0
"""How long Firestore keeps a transaction, in all and between two calls. https://firebase.google.com/docs/firestore/quotas"""

VERSIONED: Final = (DOCUMENT_ID, VERSION)


class UnitOfWork:
    """The writes of one transaction, and the server's transaction that its reads take part in."""

    def __init__(
        self,
        executor: Executor,
        blocks: Callable[[], Sequence[Any]],
        retry: bytes | None = None,
        *,
        optimistic: bool = False,
    ) -> None:
        """`blocks` are the `atomic()` blocks that are open, the outermost first; `retry`: see `Executor.begin`."""
        self._executor = executor
        self._blocks = blocks
        self._retry = retry
        self._optimistic = optimistic
        self._buffer = Buffer(codec.added)
        self._id: bytes | None = None
        self._began = self._last = 0.0
        self._aborted = ""
        # What the stored documents were found to be; the server's transaction keeps them so.
        self._exists: dict[Key, bool] = {}
        self._stored: dict[Key, Message] = {}
        # Where nothing keeps them so: what they were written at last when they were first read.
        self._versions: dict[Key, Any] = {}
        self._marks: dict[str, int] = {}
        # Rows and their markers: documents that must not be split between commits.
        self._groups: list[list[Key]] = []
        # What is to be created unless others have done so before the commit.
        self._optional: set[Key] = set()
        # Whether Django's own blocks are the only ones: of `bulk_create()` and the like, which take no savepoints.
        self._in_bulk = True

    @property
    def server_id(self) -> bytes | None:
        """The server's transaction, if one was begun and has not ended."""
        return self._id

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was read or written yet, so that it makes no difference whether a read takes part."""
        return self._id is None and next(iter(self._buffer.writes()), None) is None

    # --- reads

    def touches(self, read: Read) -> bool:
        """Whether a read must see what was written here, so that the server alone cannot answer it."""
        return not isinstance(read, Get) and any(self._buffer.entries_of(name) for name in collections_of(read))

    def run(self, read: Read) -> Iterator[tuple[Any, ...]]:
        """The rows of a read by key, or of one of collections that were not written to."""
        if isinstance(read, Get):
            return iter(self._get(read))
        if self.touches(read):
            raise TypeError(f"{collections_of(read)} were written to in this transaction: ask for a superset")
        return self._run_tracked(read)

    def superset(self, read: Read, limit: int | None = None) -> tuple[list[tuple[Any, ...]], int]:
        """At least the rows of a read, and how many of them were read from Firestore: at most `limit` + 1.

        Every row of the collection that was written here is among them, whether or not it matches.
        """
        own = {} if isinstance(read, Get) else self._buffer.entries_of(collections_of(read)[0])
        if not own:
            rows = list(_limited(self.run(read), limit))
            return rows, len(rows)
        bound = None if limit is None else limit + len(own)
        found = list(self._run_tracked(_with_id(read, None if bound is None else bound + 1)))
        theirs = [row[1:] for row in _limited((row for row in found if row[0] not in own), limit)]
        return [*theirs, *self._own_rows(collections_of(read)[0], own, read.columns)], len(theirs)

    def aggregate(self, aggregates: Sequence[Aggregate]) -> tuple[Any, ...]:
        """One value for each aggregate, over collections that were not written to."""
        with self._detect_abort():
            return self._executor.aggregate(aggregates, transaction=self._server_transaction())

    def collections(self) -> list[str]:
        """The ids of the collections that hold a document."""
        return sorted(self._buffer.collections().union(self._executor.collections()))

    def _get(self, read: Get) -> list[tuple[Any, ...]]:
        own = self._buffer.entries_of(read.collection)
        with_id = replace(read, ids=tuple(id for id in read.ids if id not in own), columns=(DOCUMENT_ID, *read.columns))
        rows: dict[str, tuple[Any, ...]] = {}
        if not with_id.ids:
            self._record_in_test(f"{read.collection}: {len(read.ids)} by id")
        else:
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
        """The documents that were written here as they will be, by id and as rows."""
        decode = codec.row_decoder(columns)
        stored = self._base_documents([(collection, id) for id, entry in own.items() if isinstance(entry.state, Patch)])
        merged = {id: _merged_document(id, entry, stored.get((collection, id))) for id, entry in own.items()}
        made = {id: document for id, document in merged.items() if document is not None}
        return list(made), [decode(document) for document in made.values()]

    def _base_documents(self, keys: Sequence[Key]) -> dict[Key, Message]:
        """The stored documents below patches, those that exist."""
        if unknown := [key for key in keys if key not in self._stored and self._exists.get(key) is not False]:
            with self._detect_abort():
                found = self._executor.documents(unknown, transaction=self._server_transaction())
            self._stored.update(found)
            self._exists.update({key: key in found for key in unknown})
            self._keep_versions({key: codec.version(document) for key, document in found.items()})
        return {key: self._stored[key] for key in keys if key in self._stored}

    def _run_tracked(self, read: Read) -> Iterator[tuple[Any, ...]]:
        """The rows of a read; what they tell of which documents exist, and since when so, is kept."""
        if not self._optimistic:
            return self._with_existence(read, self._executor.run(read, transaction=self._server_transaction()))
        asked = with_columns(read, VERSIONED)
        return self._with_versions(asked, self._with_existence(asked, self._executor.run(asked)))

    def _with_existence(self, read: Read, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        key = next((place for place, ref in enumerate(read.columns) if ref.key or ref == DOCUMENT_ID), None)
        collection, kind = collections_of(read)[0], Kind.TEXT if key is None else read.columns[key].kind
        with self._detect_abort():
            for row in rows:
                if key is not None:
                    with suppress(ValueError):  # another writer's key, which is not its document's name
                        self._exists[collection, document_id(row[key], kind)] = True
                yield row

    def _with_versions(self, read: Read, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        collection = collections_of(read)[0]
        for id, version, *row in rows:
            self._keep_versions({(collection, id): version})
            yield tuple(row)

    def _keep_versions(self, versions: Mapping[Key, Any]) -> None:
        """Of an optimistic transaction: what was read first is what it rests on."""
        if self._optimistic:
            for key, version in versions.items():
                self._versions.setdefault(key, version)

    # --- writes

    def write(self, changes: Sequence[Change], *, isolate: bool = False) -> list[Outcome]:
        """What becomes of each change, as of `Executor.commit`; nothing is sent."""
        self.refuse_aborted()
        encoded = [tuple(map(_encoded, parts(change))) for change in changes]
        writes = [write for group in encoded for write in group]
        lookups = [key for write in writes if (key := self._needs_lookup(write, isolate)) is not None]
        self._look_up(lookups)
        if not lookups:
            self._record_in_test(describe(writes))
        blocks = self._blocks()
        self._in_bulk = self._in_bulk and bool(blocks) and not any(block.savepoint for block in blocks)
        mark = self._buffer.mark()
        part_outcomes = [self._apply(change, group) for change, group in zip(changes, encoded, strict=True)]
        outcomes = [combined_outcome(change, one) for change, one in zip(changes, part_outcomes, strict=True)]
        refused = [place for place, outcome in enumerate(outcomes) if outcome is not Outcome.APPLIED]
        aborting = [place for place in refused if not isolate or aborts_statement(changes[place], outcomes[place])]
        if aborting:
            self._buffer.rollback(mark)
            first = next(
                one
                for one in zip(parts(changes[aborting[0]]), part_outcomes[aborting[0]], strict=True)
                if one[1] is not Outcome.APPLIED
            )
            raise errors.RowsRefused(_refusal(*first), refused)
        return outcomes

    def _apply(self, change: Change, writes: Sequence[Write]) -> list[Outcome]:
        """What becomes of the writes of a change: all of them are taken in, or none."""
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
        """The document of a write whose outcome depends on whether one is stored, which nothing has told yet."""
        key = (write.collection, write.id)
        if key in self._exists:
            return None
        entry = self._buffer.get(key)
        if entry is not None:
            # To create and delete a row is to assert that there was none, and leaves nothing that the commit could ask.
            return key if isinstance(write, Delete) and entry.precondition is Precondition.ABSENT else None
        if isinstance(write, Create):
            return key if isolate or self._never_committed() else None
        unconditional = isinstance(write, Put | Delete) and not write.must_exist
        return None if unconditional else key

    def _look_up(self, keys: Sequence[Key]) -> None:
        """Look up whether documents exist; a creation that was taken for possible and is not is refused."""
        if not keys:
            return
        with self._detect_abort():
            found = self._executor.documents(list(dict.fromkeys(keys)), whole=False, transaction=self._id)
        self._exists.update({key: key in found for key in keys})
        self._refuse_taken(list(found))

    def _refuse_taken(self, keys: Sequence[Key]) -> None:
        """Raises `RowsRefused` if one of these documents is to be created here and is known to be stored."""
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
        """Whether the outermost block is one of Django's TestCase, which rolls it back whatever happens."""
        blocks = self._blocks()
        return bool(blocks) and bool(blocks[0]._from_testcase)

    def _record_in_test(self, description: str) -> None:
        """Count a statement that needed no call as one: a test is to learn what it costs where rows are stored."""
        if self._never_committed():
            self._executor.record_local("Buffer", description)

    # --- savepoints

    def savepoint(self, name: str) -> None:
        """Remember this moment."""
        self._marks[name] = self._buffer.mark()

    def savepoint_rollback(self, name: str) -> None:
        """Forget what was written since. That does not save a transaction that was aborted: its commit tells."""
        self._buffer.rollback(self._mark(name))

    def savepoint_commit(self, name: str) -> None:
        """Make sure that the rows created since can be: an IntegrityError belongs to the block that caused it."""
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
        """Send what was written, in one commit; where nothing was, let go what was locked.

        What Django itself wrote in bulk is sent in several where one would be too large, if nothing was read for it.
        """
        self.refuse_aborted()
        writes = [self._with_version(write) for write in self._buffer.writes()]
        if not writes:
            self.rollback()
            return
        self._check_duration()
        divisible = self._in_bulk and self._id is None and not self._optimistic
        changes = self._grouped(writes) if self._id is None else writes
        try:
            with self._detect_abort():
                self._executor.commit_whole(changes, self._id, divisible=divisible)
        except errors.RowsRefused as error:
            left = [write for place in error.rows for write in parts(changes[place])]
            raise self._refused(left, len(writes) - len(left), error) from error
        self._id = None

    def _with_version(self, write: Write) -> Write:
        """The write, on the condition that its document is still what an optimistic transaction read."""
        version = self._versions.get((write.collection, write.id))
        if version is None or not isinstance(write, Update | Delete) or write.version is not None:
            return write
        return replace(write, version=version)

    def _refused(self, writes: Sequence[Write], applied: int, error: errors.RowsRefused) -> DatabaseError:
        """What a key that is taken means: a mistake of this transaction's, unless it had looked and it was free.

        `writes` are those that were not applied; where they were divided, others were.
        """
        created = self._buffer.created().intersection((write.collection, write.id) for write in writes)
        assumed = [key for key in created if self._exists.get(key) is not False]
        found = self._executor.documents(assumed, whole=False) if assumed else {}
        taken = [write for write in writes if (write.collection, write.id) in found]
        if not taken:
            was = "otherwise" if self._optimistic else "free"
            return errors.Contention(f"{error}; it was {was} when it was looked up, run the transaction again")
        message = _refusal(taken[0], Outcome.EXISTS, applied)
        return errors.RowsRefused(message, [writes.index(write) for write in taken])

    def _grouped(self, writes: Sequence[Write]) -> list[Change]:
        """The writes, those that a statement grouped in groups still; without a server's transaction, whose commit
        cannot be tried again, those that may be left out are marked."""
        places = {(write.collection, write.id): place for place, write in enumerate(writes)}
        known = ([places[key] for key in group if key in places] for group in self._groups)
        sets = connected_components(len(writes), (pair for group in known for pair in pairwise(group)))
        return [self._as_change([writes[place] for place in one]) for one in sets]

    def _as_change(self, writes: Sequence[Write]) -> Change:
        optional = self._optional.issuperset((write.collection, write.id) for write in writes)
        return writes[0] if len(writes) == 1 and not optional else Group(tuple(writes), optional=optional)

    def rollback(self) -> None:
        """Forget what was written, and let go what was locked.

        Where that cannot be said to the server, it is nevertheless so: the locks last until the server's own limit.
        """
        self._buffer.rollback(0)
        transaction, self._id = self._id, None
        if transaction is None:
            return
        try:
            self._executor.rollback(transaction)
        except DatabaseError as error:
            logger.warning("A transaction's locks stay until Firestore ends it: %s", error)

    def refuse_aborted(self) -> None:
        """Raises `Contention` if the server has ended the transaction."""
        if self._aborted:
            raise errors.Contention(f"the transaction was aborted already, nothing of it was applied: {self._aborted}")

    def _server_transaction(self) -> bytes | None:
        """The server's transaction, begun if it was not; none in a test's."""
        self.refuse_aborted()
        if self._id is None and not self._optimistic and not self._never_committed():
            self._id = self._executor.begin(retry=self._retry)
            self._began = self._last = time.monotonic()
        return self._id

    def _check_duration(self) -> None:
        took = time.monotonic() - self._began
        if self._id is not None and took > MAX_SECONDS:
            raise errors.TransactionTooLong(
                f"the transaction began {took:.0f} s ago, and Firestore keeps one for {MAX_SECONDS:.0f} s; nothing was "
                "sent. Do in it only what must be done together."
            )

    @contextmanager
    def _detect_abort(self) -> Iterator[None]:
        """Calls inside the server's transaction: learns whether it has ended."""
        idle = time.monotonic() - self._last
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
                else f"it was idle for {idle:.0f} s, and Firestore ends one after {MAX_IDLE_SECONDS:.0f}"
            )
            raise errors.Contention(f"the transaction has ended, nothing of it was applied: {self._aborted}") from error
        self._last = time.monotonic()


REFUSALS: Final[Mapping[Outcome, str]] = {
    Outcome.EXISTS: "a document with the same primary key exists already",
    Outcome.MISSING: "a document to be changed does not exist",
    Outcome.STALE: "a document was changed since it was read",
}


def _refusal(write: Write, outcome: Outcome, applied: int = 0) -> str:
    reason = write.refusal if isinstance(write, Create) and outcome is Outcome.EXISTS else ""
    done = f"{applied} documents of the statement were written by other commits" if applied else "nothing was written"
    return f"{reason or REFUSALS[outcome]}; {done} ({write.collection}: {write.id!r})"


def _with_id(read: Read, limit: int | None) -> Query | Merge:
    """The same read of at most so many rows, with the document's id before its columns."""
    made = with_columns(read, (DOCUMENT_ID,))
    if not isinstance(made, Query | Merge):
        raise TypeError(f"{type(read).__name__} has no superset")
    return replace(made, limit=limit)


def _limited(rows: Iterator[tuple[Any, ...]], limit: int | None) -> Iterator[tuple[Any, ...]]:
    for count, row in enumerate(rows):
        if limit is not None and count > limit:
            break
        yield row


def _encoded(write: Write) -> Write:
    """A write whose values are spelled for the wire, so that what cannot be is refused by the statement."""
    if isinstance(write, Delete):
        return write
    columns = tuple(Ref(ref.path, Kind.WIRE) for ref in write.columns)
    values = tuple(codec.value(value, ref.kind) for ref, value in zip(write.columns, write.values, strict=True))
    return replace(write, columns=columns, values=values)


def _merged_document(id: str, entry: Entry, stored: Message | None) -> Message | None:
    """A document as it will be; None if there will be none."""
    made = pb["Document"](name=f"/{id}")
    match entry.state:
        case Deleted():
            return None
        case Row(values):
            _fill(made, values)
        case Patch(values, increments):
            if stored is None:
                return None
            made.fields.MergeFrom(stored.fields)
            _fill(made, values)
            _fill(made, {name: codec.added(stored.fields.get(escape_key(name)), n) for name, n in increments.items()})
    return made


def _fill(document: Message, values: Values) -> None:
    for name, value in values.items():
        document.fields[escape_key(name)].CopyFrom(value)

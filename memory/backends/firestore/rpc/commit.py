"""Commits: batching of writes, reports of failed writes, and recovery after a lost response.

**Batches.** Writes are sent in commits of less than 4 MiB, a few at a time. A commit is atomic. With `isolate=False`,
a failed commit raises an error with the positions of all writes that were not applied. With `isolate=True`, the writes
whose precondition fails are reported and the others are sent again. A group counts as one write: it is never split
between commits and has one outcome.

**Whole.** The buffered writes of a transaction are one commit, with the id of the server's transaction if there is
one. There, an existing key raises IntegrityError. Any other failed precondition means that another client wrote the
document in the meantime, and raises Contention: the transaction may be retried. A transaction that Django opens for
one statement (`bulk_create`) is `divisible`: it is split if it is too large for one commit.

**Lost responses.** After UNAVAILABLE and similar statuses the outcome of a commit is unknown. A commit with only
idempotent writes (`Put`, constant `Update`, `Delete`) is sent again. For others, the documents are read for evidence.
Since a commit is atomic, evidence for one write is evidence for all:

    Create              The document has our content and was created after the attempt started. For a row with markers
                        only the markers are read, since their content is unique to this write.
    Update, marked      (with increments or a version) The document has our mark, a random text in the field MARK.
    Delete              The document does not exist. Read only if the commit has no other writes, because other
                        clients may delete it too.

The commit was not applied if a document is unchanged since before the attempt, by the server's clock. Then it is sent
again, and a marked update gets the version that was read as a precondition, so that at most one of the two attempts is
applied. If another client has written the document in the meantime, there is no evidence, and an OutcomeUnknown
reports the unknown outcome.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final, TypeAlias

import grpc
from django.db import DatabaseError

from memory.backends import clock

from .. import errors
from ..query.plan import Change, Create, Delete, Increments, Outcome, Put, Update, Write, parts
from ..values import document_ids, server_time
from ..values.auto_ids import random_token
from ..values.marker_collections import holds_markers
from ..values.types import Ref
from . import codec, messages
from .calls import Deadline, RpcClient, batch_get_at, is_about_database
from .channel import Message, pb
from .writes import (
    REFUSALS,
    aborts_statement,
    combined_outcome,
    describe,
    has_precondition,
    is_idempotent,
    is_optional,
    is_upsert,
    needs_mark,
    predicted_outcome,
)

Code: TypeAlias = grpc.StatusCode

MAX_COMMIT_BYTES: Final = 4_000_000
"""Bytes per commit for writes that can be split. The emulator accepts 4 MiB per request, the service 10 MiB."""

MAX_WHOLE_BYTES: Final = 10 * 2**20
MAX_EMULATOR_BYTES: Final = 4 * 2**20
"""Maximum size of one request, on the service and on the emulator. https://firebase.google.com/docs/firestore/quotas"""

MAX_COMMIT_WRITES: Final = 500
"""Writes per commit. Firestore has had no limit since 2023; larger commits are not faster."""

MAX_CONCURRENT_COMMITS: Final = 4
"""Maximum number of concurrent commits per call."""

LOST: Final = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED})
"""Statuses after which the outcome of a commit is unknown."""

NOT_APPLIED_YET: Final = frozenset({Code.ABORTED, Code.RESOURCE_EXHAUSTED})
"""Statuses of a commit that was not applied and can be retried."""

PRECONDITION_FAILED: Final = frozenset({Code.ALREADY_EXISTS, Code.NOT_FOUND, Code.FAILED_PRECONDITION})
"""Statuses of a commit with a failed precondition."""

CLOCK_SECONDS: Final = 0.05
"""Tolerance when the server's timestamps are compared with a locally measured duration."""


ENVELOPE_BYTES: Final = 8
"""Maximum overhead in bytes of a write in a commit request."""

MAX_WITNESSES: Final = 10
"""Maximum number of documents, besides those with marked updates, that are read for evidence."""


class Evidence(Enum):
    """Evidence for the outcome of a commit whose response was lost."""

    APPLIED = auto()
    NOT_APPLIED = auto()
    NONE = auto()


@dataclass
class Batch:
    """The writes of one commit, with their positions in the caller's list (equal for a group's writes) and a mark."""

    mark: str
    positions: list[int] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    lost: bool = False
    started: float = field(default_factory=clock.monotonic)

    def add(self, position: int, write: Write, message: Message) -> None:
        """Adds a write and its encoded message."""
        self.positions.append(position)
        self.writes.append(write)
        self.messages.append(message)


class Committer:
    """One call of `Executor.commit`."""

    def __init__(
        self,
        client: RpcClient,
        changes: Sequence[Change],
        *,
        isolate: bool = False,
        whole: bool = False,
        divisible: bool = False,
        transaction: bytes | None = None,
        increments: Increments | None = None,
    ) -> None:
        self._client = client
        self._changes = changes
        self._writes = [write for change in changes for write in parts(change)]
        self._isolate = isolate
        self._whole = whole
        self._divisible = divisible or not whole
        self._transaction = transaction
        self._increments = increments
        self._documents = client.wire.documents
        self._description = describe(self._writes)
        self._outcomes: list[Outcome | None] = [None] * len(changes)

    def run(self) -> list[Outcome]:
        """The outcomes, in the order of the changes. Raises Django's errors, with the failed positions in `rows`."""
        return self._client.wrap_call(self._description, self._run)  # type: ignore[no-any-return]

    def _run(self) -> list[Outcome]:
        batches = self._batches()
        if len(batches) == 1:
            self._settle(batches[0])
        else:
            self._settle_all(batches)
        return [outcome or Outcome.APPLIED for outcome in self._outcomes]

    def _settle_all(self, batches: list[Batch]) -> None:
        """Sends batches concurrently. After a failure, no further batch is sent."""
        failures: list[DatabaseError] = []

        def settle(batch: Batch) -> None:
            if failures:
                return
            try:
                self._settle(batch)
            except DatabaseError as error:
                failures.append(error)

        documents = {messages.document_name(write, self._documents) for write in self._writes}
        ordered = len(documents) < len(self._writes)  # several writes of one document must be applied in order
        with ThreadPoolExecutor(1 if ordered else MAX_CONCURRENT_COMMITS) as pool:
            contexts = [contextvars.copy_context() for _ in batches]  # one each: a context runs in one thread at a time
            list(pool.map(lambda context, batch: context.run(settle, batch), contexts, batches))
        if failures:
            rows = [position for position, outcome in enumerate(self._outcomes) if outcome is not Outcome.APPLIED]
            raise with_rows(failures[0], rows) from failures[0].__cause__

    def _batches(self) -> list[Batch]:
        """The writes in batches. A batch contains each document once, because preconditions cannot be combined.

        Raises `RowsRefused` for a document that is created twice, before anything is sent, unless isolated.
        """
        batches = [Batch(random_token())]
        if len(self._writes) == 1:
            batches[0].add(0, self._writes[0], self._message(batches[0], self._writes[0]))
            return batches
        most = writes_per_commit(len(self._writes))
        size, exist, inside = 0, set[str](), set[str]()
        for position, change in enumerate(self._changes):
            writes = parts(change)
            names = [messages.document_name(write, self._documents) for write in writes]
            self._track_existing(exist, writes, names)
            encoded = [self._message(batches[-1], write) for write in writes]
            bytes_ = sum([message.ByteSize() for message in encoded]) + ENVELOPE_BYTES * len(encoded)
            if len(writes) > 1:
                self._refuse_too_large(bytes_)
            full = len(batches[-1].writes) + len(writes) > most or size + bytes_ > MAX_COMMIT_BYTES
            if batches[-1].writes and (full or not inside.isdisjoint(names)) and self._divisible:
                batches.append(Batch(random_token()))
                encoded = [self._message(batches[-1], write) for write in writes]
                size = 0
                inside.clear()
            inside.update(names)
            for write, message in zip(writes, encoded, strict=True):
                batches[-1].add(position, write, message)
            size += bytes_
        if not self._divisible:
            self._refuse_too_large(size)
        return batches

    def _track_existing(self, exist: set[str], writes: Sequence[Write], names: Sequence[str]) -> None:
        """Updates the names of documents that exist after these writes. Raises for one that is created twice."""
        for write, name in zip(writes, names, strict=True):
            if isinstance(write, Delete):
                exist.discard(name)
                continue
            if name in exist and not self._isolate and isinstance(write, Create):
                raise self._duplicate_create(write)
            exist.add(name)

    def _refuse_too_large(self, size: int) -> None:
        limit = MAX_EMULATOR_BYTES if self._client.target.emulator else MAX_WHOLE_BYTES
        if size > limit:
            raise errors.TransactionTooLarge(
                f"{describe(self._writes)}: the transaction has {size:,} bytes; the limit of "
                f"{'the emulator' if self._client.target.emulator else 'Firestore'} is {limit:,}. Nothing was sent. "
                "Use several atomic() blocks or bulk_create() calls with fewer rows each."
            )

    def _duplicate_create(self, duplicate: Create) -> errors.RowsRefused:
        text = duplicate.refusal or f"two writes create {duplicate.id!r}"
        text = f"{text}; duplicate within one statement, nothing was sent ({describe(self._writes)})"
        return errors.RowsRefused(text, range(len(self._changes)))

    # One batch: sent until its outcome is known.

    def _settle(self, batch: Batch) -> None:
        deadline = Deadline(self._client.timeout)
        while batch.writes:
            try:
                self._send(batch, deadline.remaining())
            except grpc.RpcError as error:
                if self._handle_failure(batch, error, deadline):
                    return
            else:
                self._applied(batch)
                return

    def _send(self, batch: Batch, timeout: float) -> None:
        request = pb["CommitRequest"](
            database=self._client.wire.database, writes=batch.messages, transaction=self._transaction
        )
        count = len(batch.writes)
        description = self._description if count == len(self._writes) else describe(batch.writes)
        answer = self._client.attempt("Commit", request, description, timeout, written=count)
        if self._increments is not None:
            self._increments.update(_computed(batch.writes, answer.write_results))

    def _message(self, batch: Batch, write: Write) -> Message:
        in_transaction = self._transaction is not None and isinstance(write, Update) and not write.upsert
        marked = needs_mark(write) or in_transaction
        return messages.write(write, self._documents, batch.mark if marked else "")

    def _applied(self, batch: Batch) -> None:
        for position in batch.positions:
            self._outcomes[position] = Outcome.APPLIED

    def _handle_failure(self, batch: Batch, error: grpc.RpcError, deadline: Deadline) -> bool:
        """Handles a failed attempt. Returns True if the outcome is known, False to send the batch again."""
        code = error.code()
        if code in LOST:
            batch.lost = True
        elif not batch.lost:
            return self._handle_rejection(batch, error, deadline)
        if not deadline.pause():
            raise self._outcome_unknown(batch, error) from error
        if code in LOST and self._transaction is None and all(map(is_idempotent, batch.writes)):
            return False
        found = self._evidence(batch, error, deadline)
        if found is Evidence.NONE:
            raise self._outcome_unknown(batch, error) from error
        if found is Evidence.APPLIED:
            self._applied(batch)
            return True
        if code in LOST or (code in NOT_APPLIED_YET and self._transaction is None):
            return False
        if self._transaction is not None and code not in PRECONDITION_FAILED:
            text = f"{describe(batch.writes)}: the transaction ended before it was applied; retry it"
            raise errors.Contention(f"{text} ({code.name}: {(error.details() or '')[:300]})") from error
        return self._handle_rejection(batch, error, deadline)

    def _handle_rejection(self, batch: Batch, error: grpc.RpcError, deadline: Deadline) -> bool:
        """The same for an attempt that was certainly not applied."""
        code = error.code()
        if code in NOT_APPLIED_YET and self._transaction is None and deadline.pause():
            return False
        if code not in PRECONDITION_FAILED or is_about_database(error) or not any(map(has_precondition, batch.writes)):
            raise self._mapped_error(batch, error) from error
        if not self._isolate and not any(is_optional(self._changes[position]) for position in batch.positions):
            raise self._refused_error(batch, error, deadline) from error
        if len(batch.writes) == 1:
            self._outcomes[batch.positions[0]] = OUTCOMES[code]
            return True
        return self._drop_refused(batch, error, deadline)

    def _drop_refused(self, batch: Batch, error: grpc.RpcError, deadline: Deadline) -> bool:
        """Reads the documents, and removes the changes with a failed precondition from the batch."""
        found, _ = self._read(batch.writes, deadline, paths=[document_ids.quoted(messages.MARK)])
        outcomes_by_position: dict[int, list[Outcome]] = {}
        for position, write in zip(batch.positions, batch.writes, strict=True):
            outcome = predicted_outcome(write, found.get(messages.document_name(write, self._documents)))
            outcomes_by_position.setdefault(position, []).append(outcome)
        combined = {
            position: combined_outcome(self._changes[position], outcomes)
            for position, outcomes in outcomes_by_position.items()
        }
        if not all(self._may_skip(position, outcome) for position, outcome in combined.items()):
            raise self._refused_error(batch, error, deadline) from error
        kept = Batch(batch.mark)
        for position, write, message in zip(batch.positions, batch.writes, batch.messages, strict=True):
            if combined[position] is Outcome.APPLIED:
                kept.add(position, write, message)
            else:
                self._outcomes[position] = combined[position]
        if len(kept.writes) == len(batch.writes) and not deadline.pause():
            raise self._mapped_error(batch, error) from error
        batch.positions, batch.writes, batch.messages = kept.positions, kept.writes, kept.messages
        return not batch.writes

    def _may_skip(self, position: int, outcome: Outcome) -> bool:
        """Whether a change with this outcome may be left out of the commit."""
        change = self._changes[position]
        if self._isolate:
            return not aborts_statement(change, outcome)
        return outcome is Outcome.APPLIED or (outcome is Outcome.EXISTS and is_optional(change))

    # Evidence.

    def _evidence(self, batch: Batch, error: grpc.RpcError, deadline: Deadline) -> Evidence:
        """The evidence for a batch whose response was lost. Adds preconditions to updates that will be sent again."""
        witnesses = [write for write in batch.writes if needs_mark(write)]
        others = [write for write in batch.writes if not needs_mark(write) and not isinstance(write, Delete)]
        markers = [write for write in others if isinstance(write, Create) and holds_markers(write.collection)]
        witnesses += sorted(markers or others, key=is_idempotent)[:MAX_WITNESSES]
        witnesses = witnesses or batch.writes[:MAX_WITNESSES]  # nothing but deletions
        try:
            found, read_time = self._read(witnesses, deadline)
        except DatabaseError:
            raise self._outcome_unknown(batch, error) from error
        began = to_seconds(read_time) - (clock.monotonic() - batch.started) - CLOCK_SECONDS
        seen = {self._evidence_from(batch, write, found, began) for write in witnesses}
        if Evidence.APPLIED in seen:
            return Evidence.APPLIED
        if Evidence.NOT_APPLIED not in seen:
            return Evidence.NONE
        if self._transaction is None:
            self._pin_versions(batch, found)
        return Evidence.NOT_APPLIED

    def _evidence_from(self, batch: Batch, write: Write, found: Mapping[str, Message], began: float) -> Evidence:
        document = found.get(messages.document_name(write, self._documents))
        if document is None:
            return Evidence.APPLIED if isinstance(write, Delete) else Evidence.NOT_APPLIED
        if is_upsert(write):  # without an effect, it does not change the update time
            return Evidence.NONE
        since = document.create_time if isinstance(write, Create | Delete) else document.update_time
        if to_seconds(since) < began:
            return Evidence.NOT_APPLIED
        if isinstance(write, Create | Put):
            message = messages.write(write, self._documents)
            for place in server_time.places(write.values):
                document.fields.pop(document_ids.escape_key(write.columns[place].path[0]), None)
            same = serialized_fields(document) == serialized_fields(message.update)
            return Evidence.APPLIED if same else Evidence.NONE
        marked = document.fields[messages.MARK].string_value == batch.mark
        return Evidence.APPLIED if marked else Evidence.NONE

    def _pin_versions(self, batch: Batch, found: Mapping[str, Message]) -> None:
        """Makes increments conditional on the version that was read, so that at most one attempt is applied."""
        for place, write in enumerate(batch.writes):
            document = found.get(messages.document_name(write, self._documents))
            if document is None or not isinstance(write, Update) or not write.increments or write.version is not None:
                continue
            stamp = (document.update_time.seconds, document.update_time.nanos)
            batch.messages[place] = self._message(batch, replace(write, version=stamp))

    def _read(
        self, writes: Sequence[Write], deadline: Deadline, paths: Sequence[str] | None = None
    ) -> tuple[dict[str, Message], Message]:
        names = list(dict.fromkeys(messages.document_name(write, self._documents) for write in writes))
        return batch_get_at(
            self._client.with_timeout(deadline.remaining()), names, paths, f"{describe(writes)}: check of the outcome"
        )

    # Errors.

    def _refused_error(self, batch: Batch, error: grpc.RpcError, deadline: Deadline) -> DatabaseError:
        """The error for a batch with a failed precondition. It names the columns if they are known."""
        code = error.code()
        detail = f"nothing was applied ({describe(batch.writes)}: {(error.details() or '')[:300]})"
        if self._whole and code is not Code.ALREADY_EXISTS:
            return errors.Contention(f"{REFUSALS[OUTCOMES[code]]}; {detail}; retry the transaction")
        reason = REFUSALS[OUTCOMES[code]]
        creations = [write for write in batch.writes if isinstance(write, Create)]
        if code is Code.ALREADY_EXISTS and creations:
            if len({write.refusal for write in creations}) > 1 and not self._whole:  # `UnitOfWork` reads them itself
                found, _ = self._read(creations, deadline, paths=[document_ids.quoted(messages.MARK)])
                creations = [w for w in creations if messages.document_name(w, self._documents) in found] or creations
            reason = creations[0].refusal or reason
        return errors.RowsRefused(f"{reason}; {detail}", tuple(dict.fromkeys(batch.positions)))

    def _mapped_error(self, batch: Batch, error: grpc.RpcError) -> DatabaseError:
        return with_rows(errors.map_error(error, describe(batch.writes)), batch.positions)

    def _outcome_unknown(self, batch: Batch, error: grpc.RpcError) -> DatabaseError:
        text = (
            f"{describe(batch.writes)}: the response was lost and the outcome is unknown; read the rows before "
            f"writing again ({error.code().name}: {(error.details() or '')[:300]})"
        )
        return with_rows(errors.OutcomeUnknown(text), batch.positions)


OUTCOMES: Final[Mapping[Code, Outcome]] = {
    Code.ALREADY_EXISTS: Outcome.EXISTS,
    Code.NOT_FOUND: Outcome.MISSING,
    Code.FAILED_PRECONDITION: Outcome.STALE,
}


def _computed(writes: Sequence[Write], results: Sequence[Message]) -> Increments:
    """What the server computed. The results of a write are in the order of its transforms: server times come first."""
    computed: Increments = {}
    for write, result in zip(writes, results, strict=True):
        if result.transform_results and not isinstance(write, Delete):
            values = result.transform_results
            computed[write.collection, write.id] = {
                ref.path[0]: codec.decode(value, ref.kind)
                for ref, value in zip(_transformed(write), values, strict=True)
            }
    return computed


def _transformed(write: Create | Put | Update) -> list[Ref]:
    """The columns of a write's transforms, in their order in the message."""
    times = [write.columns[place] for place in server_time.places(write.values)]
    if not isinstance(write, Update):
        return times
    return [*times, *(ref for ref, _ in (*write.increments, *write.least, *write.greatest))]


def serialized_fields(document: Message) -> bytes:
    """A document's fields as bytes, comparable for equality (also of NaN)."""
    content: bytes = pb["Document"](fields=document.fields).SerializeToString(deterministic=True)
    return content


def to_seconds(stamp: Message) -> float:
    """A protobuf timestamp as seconds."""
    return float(stamp.seconds) + float(stamp.nanos) / 1e9


def writes_per_commit(count: int) -> int:
    """The number of writes per commit: if one commit is not enough, writes are spread over concurrent commits."""
    return (
        MAX_COMMIT_WRITES if count <= MAX_COMMIT_WRITES else min(MAX_COMMIT_WRITES, -(-count // MAX_CONCURRENT_COMMITS))
    )


def with_rows(error: DatabaseError, rows: Iterable[int]) -> DatabaseError:
    """The error, with the positions of the writes that were not applied in `rows`."""
    vars(error)["rows"] = tuple(dict.fromkeys(rows))
    return error

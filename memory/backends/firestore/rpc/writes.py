"""Properties of writes: idempotence, preconditions, and outcomes of single writes and groups. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from ..query.plan import Change, Create, Delete, Group, Outcome, Put, Update, Write
from .channel import Message


def needs_mark(write: Write) -> bool:
    """Whether a write is an update that is not idempotent, so that a retry must recognise it by its mark."""
    return isinstance(write, Update) and (bool(write.increments) or write.version is not None)


def is_idempotent(write: Write) -> bool:
    """Whether a write can be retried without knowing its outcome: applied twice, it has the same effect as once."""
    return (
        isinstance(write, Put)
        or (isinstance(write, Update) and not needs_mark(write))
        or _is_unconditional_delete(write)
    )


def _is_unconditional_put(write: Write) -> bool:
    return (isinstance(write, Put) and not write.must_exist) or is_upsert(write)


def is_upsert(write: Write) -> bool:
    """Whether a write creates the document or updates it."""
    return isinstance(write, Update) and write.upsert


def _is_unconditional_delete(write: Write) -> bool:
    return isinstance(write, Delete) and not write.must_exist and write.version is None


REFUSALS: Final[Mapping[Outcome, str]] = {
    Outcome.EXISTS: "a document with the same primary key already exists",
    Outcome.MISSING: "a document to update or delete does not exist",
    Outcome.STALE: "a document was changed after it was read",
}
"""The reason in an error, by the outcome of the write that was refused."""

VERBS: Final[Mapping[type, str]] = {Create: "create", Put: "put", Update: "update", Delete: "delete"}


def has_precondition(write: Write) -> bool:
    """Whether a write fails in some state of its document."""
    return not (_is_unconditional_put(write) or _is_unconditional_delete(write))


def predicted_outcome(write: Write, document: Message | None) -> Outcome:
    """The outcome of a write to a document in this state (None: no document)."""
    if isinstance(write, Create):
        return Outcome.APPLIED if document is None else Outcome.EXISTS
    if _is_unconditional_put(write) or _is_unconditional_delete(write):
        return Outcome.APPLIED
    if document is None:
        return Outcome.MISSING
    stamp = (document.update_time.seconds, document.update_time.nanos)
    return Outcome.APPLIED if isinstance(write, Put) or write.version in (None, stamp) else Outcome.STALE


def combined_outcome(change: Change, outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of a change from the outcomes of its writes, in the order of `parts`."""
    if not isinstance(change, Group):
        return outcomes[0]
    rows, markers = set(outcomes[: len(change.rows)]), set(outcomes[len(change.rows) :])
    if len(change.rows) == 1 and Outcome.MISSING in rows:
        return Outcome.MISSING
    if Outcome.STALE in rows | markers or Outcome.MISSING in rows | markers:
        return Outcome.STALE
    return Outcome.EXISTS if Outcome.EXISTS in rows | markers else Outcome.APPLIED


def is_optional(change: Change) -> bool:
    """Whether a change is skipped if a document that it creates exists."""
    return isinstance(change, Group) and change.optional


def aborts_statement(change: Change, outcome: Outcome) -> bool:
    """Whether a change fails the whole statement: it updates existing rows to unique values of another row."""
    return outcome is Outcome.EXISTS and isinstance(change, Group) and not isinstance(change.rows[0], Create)


def describe(writes: Sequence[Write]) -> str:
    """A one-line summary of writes: number of each kind of write by collection."""
    if len(writes) == 1:
        return f"{VERBS[type(writes[0])]} 1 in {writes[0].collection}"
    counts = Counter((VERBS[type(write)], write.collection) for write in writes)
    return ", ".join(f"{verb} {count} in {collection}" for (verb, collection), count in counts.items()) or "commit"

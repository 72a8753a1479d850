"""Writes entries to the database: each is added, already present, updated, or rejected with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.db import IntegrityError, connections, router

from memory.contention import retried, write_transaction
from memory.exceptions import PersonErased, ValidationError
from memory.fields import content_hash
from memory.models import Document, MemoryItem, UserSession
from memory.querysets import RecordQuerySet
from memory.querysets.validity import RefusedLinkError, lenient_links
from memory.tombstones import tombstones

from .entries import Entry, Reject, Removal, time_of
from .export import MODELS, all_records
from .order import ORIGINAL

ATTEMPTS = 3
# A session's times are merged, not compared.
TIMES = frozenset({"started_at", "last_activity"})
# Metadata that depends on the rest of the conversation, which may grow, or on the search that found a memory.
VOLATILE = frozenset(
    {"branch", ORIGINAL, "current_node", "update_time", "updated_at", "lastUpdateTime", "last_update_time", "score"}
)


@dataclass(frozen=True)
class Written:
    """The numbers of stored entries by model name and of removed messages, and the rejects."""

    added: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    rejects: list[Reject] = field(default_factory=list)
    removed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Candidate:
    entry: Entry
    record: Any


def write(entries: Sequence[Entry | Removal], update: bool = False) -> Written:
    """Store entries in one transaction. `update` overwrites records that differ instead of rejecting them.

    A removal applies to the entries before it and to stored records.

    Entries of people who were erased are rejected. If another process adds one of the records concurrently, or erases
    one of the people, it retries, up to three attempts in total.
    """
    left, refused = list(entries), list[Reject]()
    while True:
        try:
            written = retried(partial(_write_once, left, update), (IntegrityError, PersonErased), ATTEMPTS)
        except RefusedLinkError as error:
            wrong = next((one for one in left if _is_link(one, error)), None)
            if not isinstance(wrong, Entry):
                raise
            refused.append(Reject(wrong.place, _sentence(error), wrong.raw))
            left.remove(wrong)
        else:
            written.rejects.extend(refused)
            return written


def _is_link(outcome: Entry | Removal, error: RefusedLinkError) -> bool:
    """Whether an entry has the link that was refused."""
    values = outcome.values if isinstance(outcome, Entry) else {}
    return values.get("id", error.item_id) == error.item_id and error.other in values.get("supersedes", ())


def _write_once(outcomes: Sequence[Entry | Removal], update: bool) -> Written:
    written = Written()
    entries, removed = _remaining(outcomes)
    using = router.db_for_write(UserSession)
    checked = {
        name: list(_checked([entry for entry in entries if entry.model == name], written, using)) for name in MODELS
    }
    embedded = _embed([candidate.record for candidate in checked[MemoryItem.__name__]], using)
    with write_transaction(using), lenient_links():
        if removed:
            all_records(MemoryItem).filter(pk__in=removed).delete()
            written.removed["MemoryItem"] = len(removed)
        for name, model in MODELS.items():
            if checked[name]:
                _write_model(model, checked[name], update, written, embedded)
    return written


def _embed(items: Sequence[MemoryItem], using: str) -> frozenset[str]:
    """Compute the vectors of texts that are not stored, before the transaction, which locks an SQLite database.

    Returns the ids of these items.
    """
    if connections[using].vendor != "sqlite" or not items:
        return frozenset()
    rows = all_records(MemoryItem).filter(pk__in=[item.pk for item in items]).values_list("pk", "content_hash")
    stored = dict(rows)
    new = [item for item in items if _is_new_text(item, stored)]
    MemoryItem.before_transaction(new, using)
    return frozenset(item.pk for item in new)


def _is_new_text(item: MemoryItem, stored: Mapping[str, str | None]) -> bool:
    return item.text_content is not None and stored.get(item.pk) != content_hash(item.text_content)


def _remaining(outcomes: Sequence[Entry | Removal]) -> tuple[list[Entry], set[str]]:
    """The entries that no later outcome removes, and the ids that are removed."""
    entries: list[Entry] = []
    removed: set[str] = set()
    for outcome in outcomes:
        if isinstance(outcome, Entry):
            entries.append(outcome)
            continue
        removed.add(outcome.id)
        entries = [entry for entry in entries if entry.values.get("id") != outcome.id]
    return entries, removed


def _checked(entries: Sequence[Entry], written: Written, using: str) -> Iterator[_Candidate]:
    records: list[Any] = [MODELS[entry.model](**entry.values) for entry in entries]
    erased = tombstones.erased((getattr(record, record.OWNER) for record in records), using)
    for entry, record in zip(entries, records, strict=True):
        if (until := erased.get(getattr(record, record.OWNER))) is not None:
            written.rejects.append(Reject(entry.place, str(PersonErased(until)), None))  # not into the file of rejects
        elif reason := _problem(entry, record):
            written.rejects.append(Reject(entry.place, reason, entry.raw))
        else:
            yield _Candidate(entry, record)


def _problem(entry: Entry, record: Any) -> str:
    """Why a record cannot be stored; empty if it can."""
    try:
        record.check_limits()
    except ValidationError as error:
        return _sentence(error)
    if record.pk != entry.values.get("id", record.pk):
        return f"id: must be {record.pk!r}, which is derived from user_id and session_id."
    return ""


def _sentence(error: ValidationError) -> str:
    return " ".join(f"{name}: {message}" for name, messages in error.message_dict.items() for message in messages)


def _write_model(
    model: type[Document], candidates: Sequence[_Candidate], update: bool, written: Written, embedded: Set[str]
) -> None:
    records = all_records(model)
    stored: dict[Any, Any] = records.in_bulk([candidate.record.pk for candidate in candidates])
    fresh: dict[Any, Any] = {}
    changed: dict[Any, Any] = {}
    for candidate in candidates:
        key = candidate.record.pk
        known = stored.get(key) or fresh.get(key)
        if known is None:
            fresh[key] = candidate.record
            written.added[candidate.entry.model] += 1
        elif _merge(known, candidate, update, written) and key in stored:
            if key in embedded:
                known.take_derived_fields(candidate.record)
            changed[key] = known
    unchecked = records.already_checked() if isinstance(records, RecordQuerySet) else records
    unchecked.bulk_create(list(fresh.values()))
    for record in changed.values():
        record.save()


def _merge(known: Any, candidate: _Candidate, update: bool, written: Written) -> bool:
    """Merge an entry into an existing record; return whether it must be saved."""
    entry, record = candidate.entry, candidate.record
    widened = isinstance(known, UserSession) and _widen(known, record)
    difference = _overwriting(known, candidate) if update else _difference(known, candidate)
    if difference.conflicts:
        names = ", ".join(sorted(difference.conflicts))
        reason = f"A record with this id exists and differs in {names}. Use --update to overwrite it."
        written.rejects.append(Reject(entry.place, reason, entry.raw))
        return widened
    before = {name: getattr(known, name) for name in difference.changes}
    try:
        _change(known, difference.changes)
    except ValidationError as error:
        _change(known, before)
        written.rejects.append(Reject(entry.place, _sentence(error), entry.raw))
        return widened
    (written.updated if difference.changes else written.present)[entry.model] += 1
    return widened or bool(difference.changes)


def _change(record: Any, values: Mapping[str, Any]) -> None:
    """Set fields; raise `ValidationError` if the record is beyond the limits."""
    for name, value in values.items():
        setattr(record, name, value)
    if values:
        record.check_limits()


@dataclass(frozen=True)
class _Difference:
    """The new values of fields to write, and the names of fields that must not be overwritten."""

    changes: dict[str, Any] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)


def _overwriting(known: Any, candidate: _Candidate) -> _Difference:
    entry, record = candidate.entry, candidate.record
    names = ((entry.stated | entry.repairs) - TIMES | {"metadata"}) & entry.values.keys()
    return _Difference({name: getattr(record, name) for name in names if getattr(known, name) != getattr(record, name)})


def _difference(known: Any, candidate: _Candidate) -> _Difference:
    entry, record = candidate.entry, candidate.record
    found = _Difference()
    for name in ((entry.stated | entry.repairs) - TIMES) & entry.values.keys():
        if getattr(known, name) == getattr(record, name):
            continue
        if name == "text_content" and getattr(known, name) is None and entry.repairs:
            found.changes[name] = getattr(record, name)
        elif name not in entry.repairs:
            found.conflicts.append(name)
        elif name == "metadata":
            _compare_metadata(known.metadata, record.metadata, found)
        else:
            _compare_times(known, record, entry, found)
    return found


def _compare_metadata(known: Mapping[str, Any], new: Mapping[str, Any], found: _Difference) -> None:
    """Keys that the existing record lacks are added; other differences are conflicts."""
    compared = (known.keys() | new.keys()) - VOLATILE
    added = {key: new[key] for key in compared - known.keys()}
    found.conflicts.extend(f"metadata.{key}" for key in compared & known.keys() if known[key] != new.get(key))
    if added:
        found.changes["metadata"] = {**known, **found.changes.get("metadata", {}), **added}


def _compare_times(known: Any, record: Any, entry: Entry, found: _Difference) -> None:
    """A time that the import computed is corrected, unless the existing one was moved from the same time."""
    if "timestamp" not in entry.stated or (ORIGINAL in record.metadata and known.timestamp == _stated_time(record)):
        found.changes["timestamp"] = record.timestamp
        metadata = {key: value for key, value in record.metadata.items() if key == ORIGINAL}
        if metadata:
            found.changes["metadata"] = {**known.metadata, **found.changes.get("metadata", {}), **metadata}
    elif _stated_time(known) != _stated_time(record):
        found.conflicts.append("timestamp")


def _stated_time(record: Any) -> datetime:
    return time_of(record.metadata.get(ORIGINAL)) or record.timestamp


def _widen(known: UserSession, record: UserSession) -> bool:
    """Set missing metadata of a session and widen its times; return whether it changed."""
    before = (known.started_at, known.last_activity, known.metadata)
    known.started_at = min(known.started_at, record.started_at)
    known.last_activity = max(known.last_activity, record.last_activity)
    known.metadata = known.metadata or record.metadata
    return before != (known.started_at, known.last_activity, known.metadata)

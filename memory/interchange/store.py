"""Entries into the database: each is added, found there already, written over, or rejected with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, router, transaction

from memory.exceptions import ValidationError
from memory.models import Document, UserSession

from .entries import Entry, Reject
from .export import MODELS, all_records

ATTEMPTS = 3
# A session's times are merged, not compared.
TIMES = frozenset({"started_at", "last_activity"})


@dataclass(frozen=True)
class Written:
    """What became of entries: how many by model's name, and which were rejected."""

    added: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    rejects: list[Reject] = field(default_factory=list)


@dataclass(frozen=True)
class _Candidate:
    entry: Entry
    record: Any


def write(entries: Sequence[Entry], update: bool = False) -> Written:
    """Store entries, all in one transaction. `update` writes changed records over instead of rejecting them.

    Where another process adds one of the records meanwhile, the whole starts again, at most three times in all.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return _write_once(entries, update)
        except IntegrityError:
            continue
    return _write_once(entries, update)


def _write_once(entries: Sequence[Entry], update: bool) -> Written:
    written = Written()
    with transaction.atomic(using=router.db_for_write(UserSession)):
        for name, model in MODELS.items():
            candidates = list(_checked((entry for entry in entries if entry.model == name), written))
            if candidates:
                _write_model(model, candidates, update, written)
    return written


def _checked(entries: Iterable[Entry], written: Written) -> Iterator[_Candidate]:
    for entry in entries:
        record = MODELS[entry.model](**entry.values)
        try:
            record.check_limits()
        except ValidationError as error:
            written.rejects.append(Reject(entry.place, _sentence(error), entry.raw))
            continue
        if record.pk != entry.values.get("id", record.pk):
            reason = f"id: the id of this session is {record.pk!r}, which follows from user_id and session_id."
            written.rejects.append(Reject(entry.place, reason, entry.raw))
            continue
        yield _Candidate(entry, record)


def _sentence(error: ValidationError) -> str:
    return " ".join(f"{name}: {message}" for name, messages in error.message_dict.items() for message in messages)


def _write_model(model: type[Document], candidates: Sequence[_Candidate], update: bool, written: Written) -> None:
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
            changed[key] = known
    records.bulk_create(list(fresh.values()))
    for record in changed.values():
        record.save()


def _merge(known: Any, candidate: _Candidate, update: bool, written: Written) -> bool:
    """Meet a record that is there already; whether it must be saved."""
    entry, record = candidate.entry, candidate.record
    widened = isinstance(known, UserSession) and _widen(known, record)
    compared = (entry.stated - TIMES | ({"metadata"} if update else set())) & entry.values.keys()
    differing = sorted(name for name in compared if getattr(known, name) != getattr(record, name))
    if not differing:
        written.present[entry.model] += 1
    elif update:
        for name in differing:
            setattr(known, name, getattr(record, name))
        written.updated[entry.model] += 1
    else:
        reason = f"A record with this id is there, and differs in {', '.join(differing)}. --update writes it over."
        written.rejects.append(Reject(entry.place, reason, entry.raw))
    return widened or (update and bool(differing))


def _widen(known: UserSession, record: UserSession) -> bool:
    """Give a session that items made its metadata, and the wider of both times; whether that changed it."""
    before = (known.started_at, known.last_activity, known.metadata)
    known.started_at = min(known.started_at, record.started_at)
    known.last_activity = max(known.last_activity, record.last_activity)
    known.metadata = known.metadata or record.metadata
    return before != (known.started_at, known.last_activity, known.metadata)

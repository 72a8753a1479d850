"""Rows in batches: of what one statement names (`batches`), and of what one transaction can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db import connections, models

from memory.backends.firestore.values.batching import batches as batches

from .cache import Conversation
from .record_sizes import record_size

RowT = TypeVar("RowT", bound=models.Model)
Place = tuple[str, Conversation | None]  # an item's id, and the conversation that it is in

ROWS_AT_ONCE = 500


def places_of(rows: models.QuerySet[Any], lock: bool = True) -> list[list[Place]]:
    """The rows' keys and conversations, in batches; at least one batch. The rows are locked if the database can.

    The caller restricts its write to these rows, so that rows which match later are not changed behind the cache.
    """
    plain = not (rows.query.group_by or rows.query.distinct)
    if lock and plain and connections[rows.db].features.has_select_for_update:
        rows = rows.select_for_update()
    found = [
        (pk, None if session_id is None else Conversation(user_id, session_id))
        for pk, user_id, session_id in rows.values_list("pk", "user_id", "session_id")
    ]
    return list(batches(found, ROWS_AT_ONCE)) or [[]]


def activities_of(rows: models.QuerySet[Any]) -> tuple[list[list[Place]], list[Activity]]:
    """As `places_of`, for items; and the times of the rows in each session."""
    if connections[rows.db].features.has_select_for_update:
        rows = rows.select_for_update()
    found = list(rows.values_list("pk", "user_id", "session_id", "timestamp"))
    places = [
        (pk, None if session_id is None else Conversation(user_id, session_id)) for pk, user_id, session_id, _ in found
    ]
    return list(batches(places, ROWS_AT_ONCE)) or [[]], activities(row[1:] for row in found)


@dataclass(frozen=True)
class Activity:
    """The times of the first and last of some items of a session."""

    user_id: str
    session_id: str
    first: datetime
    last: datetime


def activities(items: Iterable[tuple[str, str | None, datetime]]) -> list[Activity]:
    """One `Activity` for each session; items are given as user, session and time."""
    found: dict[tuple[str, str], Activity] = {}
    for user_id, session_id, time in items:
        if session_id is None:
            continue
        key = (user_id, session_id)
        known = found.get(key, Activity(*key, first=time, last=time))
        found[key] = Activity(*key, first=min(known.first, time), last=max(known.last, time))
    return list(found.values())


def transactions_of(records: Sequence[RowT], using: str) -> Iterator[list[RowT]]:
    """The records in lists that a transaction can hold each; one list where it has no limit, or is the caller's."""
    connection = connections[using]
    most = getattr(connection.features, "max_transaction_bytes", None)
    if most is None or connection.in_atomic_block or not connection.get_autocommit():
        yield list(records)
        return
    batch: list[RowT] = []
    size = 0
    for record in records:
        # A call spells a document in up to twice the bytes that are counted for it: numbers of a vector, names.
        bytes_ = 2 * record_size(record)
        if batch and size + bytes_ > most:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += bytes_
    yield batch

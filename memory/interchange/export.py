"""Export as JSON lines, from which `memory_import` creates equal records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db.models import Field, QuerySet
from django.utils import timezone

from memory.fields import SparseIdsField, SparseNameField, SparseNumberField, SparseTimeField
from memory.models import AgentData, Document, MemoryItem, UserSession

# In export order: sessions with their times and metadata precede the items that update them.
MODELS: Mapping[str, type[Document]] = {model.__name__: model for model in (UserSession, MemoryItem, AgentData)}
CHUNK_SIZE = 20  # each record may have 1 MiB


def to_dict(record: Document) -> dict[str, Any]:
    """The record as JSON values: `model`, the class name, and its fields.

    Times are ISO 8601 in UTC with microseconds, vectors are lists of floats. Derived fields (`content_hash`, search
    data) are excluded, and empty ones that records of earlier versions lack (`supersedes`, `valid_to`, ...).
    """
    values = {field.name: _to_json(field.value_from_object(record)) for field in exported_fields(type(record))}
    kept = {
        name: value
        for name, value in values.items()
        if value not in (None, []) or name not in _sparse_names(type(record))
    }
    return {"model": type(record).__name__, **kept}


@cache
def _sparse_names(model: type[Document]) -> frozenset[str]:
    kinds = (SparseIdsField, SparseNameField, SparseNumberField, SparseTimeField)
    return frozenset(field.name for field in model._meta.concrete_fields if isinstance(field, kinds))


def exported_fields(model: type[Document]) -> list[Field[Any, Any]]:
    """All fields except for derived ones."""
    derived = {*getattr(model, "TEXT_FIELDS", ()), *model.UNREAD_FIELDS}
    return [field for field in model._meta.concrete_fields if field.name not in derived]


def to_json_line(record: Document) -> str:
    """The record as one line of JSON, without a newline."""
    return json.dumps(to_dict(record), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def json_lines(
    models: Iterable[str] = MODELS, user_ids: Iterable[str] = (), include_expired: bool = False
) -> Iterator[str]:
    """The lines of all records of these models; `user_ids` restricts them to users and agents."""
    owners, now = tuple(user_ids), timezone.now()
    for name in models:
        for record in records_of(MODELS[name], owners).iterator(chunk_size=CHUNK_SIZE):
            expiration = getattr(record, "expiration", None)
            if include_expired or expiration is None or expiration > now:
                yield to_json_line(record)


def records_of(model: type[Document], user_ids: tuple[str, ...]) -> QuerySet[Any]:
    """The records ordered by id, so that exports are reproducible. Agent data is owned by `agent_id`.

    Expired records are included: without a condition on `expiration`, the order needs no index on Firestore.
    """
    records = all_records(model).defer(*model.UNREAD_FIELDS)
    if user_ids:
        owner = "agent_id" if model is AgentData else "user_id"
        records = records.filter(**{f"{owner}__in": user_ids})
    return records.order_by("pk")


def all_records(model: type[Document]) -> QuerySet[Any]:
    """The model's records, expired ones included. Sessions do not expire."""
    records: QuerySet[Any] = getattr(model, "all_objects", model._default_manager).all()
    return records


def _to_json(value: Any) -> Any:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value

"""Versions of items: what a change replaced, kept if `MEMORY["VERSIONS"]` is set, and deleted with the item.

`memory.models.MemoryVersion` has the old values of the changed fields as JSON, sealed with the user's key if anything
is encrypted. Write paths call `keep` before they write, in the same transaction, and `drop` when they delete.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.apps import apps
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from memory.backends.firestore.values.batching import batches

from . import sealing
from .batches import ROWS_AT_ONCE
from .conf import memory_settings

KEPT_FIELDS: Final = (
    *("text_content", "metadata", "item_type", "session_id", "persona_active", "timestamp", "expiration", "embedding"),
    *("supersedes", "superseded_by", "valid_from", "valid_to", "source", "derived_from", "importance"),
)
"""The fields of which old values are kept."""

NAME: Final = "version"
"""The name of the sealed values."""


def is_kept() -> bool:
    """Whether versions exist, or are to be kept: deletes have to look for them."""
    return memory_settings.versions is not None


def keep(records: Sequence[Any], names: Collection[str] | None, using: str) -> None:
    """Keep the stored values of the fields that writing `names` (None: all) of these records changes."""
    most = memory_settings.versions
    if not most or not records:
        return
    fields = [name for name in KEPT_FIELDS if names is None or name in names]
    if not fields:
        return
    model = type(records[0])
    known = {one.pk: one for one in records}
    rows = model._base_manager.using(using)
    versions: Any = apps.get_model("memory", "MemoryVersion")
    now, kept = timezone.now(), []
    for some in batches(list(known), ROWS_AT_ONCE):
        for old in rows.filter(pk__in=some):
            loaded = [name for name in fields if name in vars(known[old.pk])]
            changed = {
                name: getattr(old, name) for name in loaded if getattr(old, name) != getattr(known[old.pk], name)
            }
            if changed:
                values = _stored(changed, old.user_id, using)
                kept.append(versions(item_id=old.pk, user_id=old.user_id, replaced_at=now, values=values))
    versions._default_manager.using(using).bulk_create(kept)
    for one in kept:
        _cut(versions, one.item_id, most, using)


def _cut(versions: Any, item_id: str, most: int, using: str) -> None:
    """Delete the oldest versions of an item beyond the most that are kept."""
    rows = versions._default_manager.using(using).filter(item_id=item_id).order_by("-replaced_at", "-id")
    beyond = list(rows.values_list("pk", flat=True)[most : most + ROWS_AT_ONCE])
    if beyond:
        versions._default_manager.using(using).filter(pk__in=beyond).delete()


def drop(ids: Iterable[str], using: str) -> None:
    """Delete all versions of items, in the transaction that deletes them."""
    if not is_kept():
        return
    versions: Any = apps.get_model("memory", "MemoryVersion")
    for some in batches(list(ids), 30):  # one query on Firestore
        found = list(versions._default_manager.using(using).filter(item_id__in=some).values_list("pk", flat=True))
        for part in batches(found, ROWS_AT_ONCE):
            versions._default_manager.using(using).filter(pk__in=part).delete()


def _stored(values: Mapping[str, Any], user_id: str, using: str) -> Any:
    found = {name: _to_json(value) for name, value in values.items()}
    return sealing.seal(found, sealing.key_of(user_id, using), NAME) if sealing.protected() else found


def _to_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def values_of(version: Any) -> dict[str, Any]:
    """The old values of a version, by field. Raises `KeyShredded` and `StorageError`."""
    values = sealing.opened(version.values, NAME, version._state.db)
    times = ("timestamp", "expiration", "valid_from", "valid_to")
    return {
        name: parse_datetime(value) if name in times and isinstance(value, str) else value
        for name, value in values.items()
    }


def versions_of(item: Any) -> list[Any]:
    """The kept versions of an item, newest first."""
    versions: Any = apps.get_model("memory", "MemoryVersion")
    rows = versions._default_manager.using(item._state.db).filter(item_id=item.pk)
    return list(rows.order_by("-replaced_at", "-id"))

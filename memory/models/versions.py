"""Versions of items: what a change replaced, kept if `MEMORY["VERSIONS"]` is set, and deleted with the item.

`MemoryVersion` has the old values of the changed fields as JSON, sealed with the user's key if anything is encrypted.
Write paths call `keep` before they write, in the same transaction, and `drop` when they delete.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import models
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from .. import limits, sealing
from ..batches import ROWS_AT_ONCE, batches
from ..conf import memory_settings
from ..fields import AnyJSONField, DocumentIdField, NameField, new_id
from ..tombstones import Guarded

KEPT_FIELDS: Final = (
    *("text_content", "metadata", "item_type", "session_id", "persona_active", "timestamp", "expiration", "embedding"),
    *("supersedes", "superseded_by", "valid_from", "valid_to", "source", "derived_from", "importance"),
)
"""The fields of which old values are kept."""

NAME: Final = "version"
"""The name of the sealed values."""


class MemoryVersion(Guarded):
    """The values that one change of an item replaced."""

    id = DocumentIdField(default=new_id, editable=False)
    item_id = models.CharField(_("item"), max_length=limits.MAX_ID_BYTES)
    user_id = NameField(_("user"))
    replaced_at = models.DateTimeField(_("replaced"), default=timezone.now)
    values = AnyJSONField(_("values"), default=dict)

    firestore_unindexed = ("values",)

    class Meta:
        db_table = "memory_versions"
        verbose_name = _("version of a memory item")
        verbose_name_plural = _("versions of memory items")
        ordering = ("-replaced_at", "-id")
        indexes = (
            models.Index(fields=["item_id", "-replaced_at", "-id"], name="memory_versions_item_time"),
            models.Index(fields=["user_id"], name="memory_versions_user"),
        )

    def __str__(self) -> str:
        return f"{self.item_id}: {self.replaced_at}"


def is_kept() -> bool:
    """Whether versions exist, or are to be kept: deletes have to look for them."""
    return memory_settings.versions is not None


def keep(records: Sequence[Any], names: Collection[str] | None, using: str) -> None:
    """Keep the stored values of the fields that writing `names` (None: all) of these records changes."""
    most = memory_settings.versions
    fields = [name for name in KEPT_FIELDS if names is None or name in names]
    if not most or not records or not fields:
        return
    known = {record.pk: record for record in records}
    stored = type(records[0])._base_manager.using(using)
    now, kept = timezone.now(), []
    for ids in batches(list(known), ROWS_AT_ONCE):
        for old in stored.filter(pk__in=ids):
            if replaced := _replaced(old, known[old.pk], fields):
                values = _stored(replaced, old.user_id, using)
                kept.append(MemoryVersion(item_id=old.pk, user_id=old.user_id, replaced_at=now, values=values))
    MemoryVersion.objects.using(using).bulk_create(kept)
    for version in kept:
        _drop_oldest(version.item_id, most, using)


def _replaced(old: Any, new: Any, fields: Iterable[str]) -> dict[str, Any]:
    """The values of a stored record that differ from those of `new`, by field. Fields that `new` lacks are left out."""
    values = {name: getattr(old, name) for name in fields if name in vars(new)}
    return {name: value for name, value in values.items() if value != getattr(new, name)}


def _drop_oldest(item_id: str, most: int, using: str) -> None:
    """Delete the oldest versions of an item beyond the most that are kept."""
    versions = MemoryVersion.objects.using(using)
    newest_first = versions.filter(item_id=item_id).order_by("-replaced_at", "-id").values_list("pk", flat=True)
    if beyond := list(newest_first[most : most + ROWS_AT_ONCE]):
        versions.filter(pk__in=beyond).delete()


def drop(ids: Iterable[str], using: str) -> None:
    """Delete all versions of items, in the transaction that deletes them."""
    if not is_kept():
        return
    versions = MemoryVersion.objects.using(using)
    for some in batches(list(ids), 30):  # one query on Firestore
        found = list(versions.filter(item_id__in=some).values_list("pk", flat=True))
        for part in batches(found, ROWS_AT_ONCE):
            versions.filter(pk__in=part).delete()


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


def versions_of(item: Any) -> list[MemoryVersion]:
    """The kept versions of an item, newest first."""
    rows = MemoryVersion.objects.using(item._state.db).filter(item_id=item.pk)
    return list(rows.order_by("-replaced_at", "-id"))

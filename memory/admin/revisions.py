"""The history of a record: what each change of the admin replaced, shown as differences, and undone.

Django's log of the admin (`LogEntry`) has the values: `{"changed": {"fields": [...], "values": {name: [old, new]}}}`.
Django ignores the additional key. Values of more than `MAX_VALUE` characters of JSON are not kept, and encrypted ones
are not either: `MEMORY["VERSIONS"]` keeps those.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.admin.models import LogEntry
from django.db.models import DateTimeField, Model
from django.utils.translation import gettext as _

from ..models.versions import values_of as values_of_version
from ..models.versions import versions_of
from ..sealing import protected, protected_keys
from .display import formatted_json, time_text

MAX_VALUE: Final = 100_000
MAX_COMPARED: Final = 4_000
"""Words of both texts together that are compared one by one: beyond, the texts are shown one after the other."""
SAME, OLD, NEW = "same", "old", "new"
WORDS: Final = re.compile(r"\s+|\w+|[^\w\s]")

Piece = tuple[str, str]
"""Same, old or new; and a text."""


@dataclass(frozen=True)
class FieldChange:
    """The change of one field: its name, and the differences of its values."""

    name: str
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class Revision:
    """An entry of the log. `can_undo`: its values are known."""

    entry: LogEntry
    time: str
    message: str
    changes: Sequence[FieldChange]
    can_undo: bool


@dataclass(frozen=True)
class KeptVersion:
    """A kept version: what a later write replaced."""

    id: str
    time: str
    changes: Sequence[FieldChange]


def kept_versions(record: Any) -> list[KeptVersion]:
    """The kept versions of a record, newest first, each with the differences to what replaced it."""
    later: dict[str, Any] = {}
    found = []
    for version in versions_of(record):
        values = values_of_version(version)
        changes = [
            FieldChange(
                str(_name(type(record), name)),
                difference(
                    *(shown(stored(one), type(record), name) for one in (old, later.get(name, getattr(record, name))))
                ),
            )
            for name, old in values.items()
        ]
        found.append(KeptVersion(version.pk, time_text(version.replaced_at), changes))
        later |= values
    return found


def restore(version: Any, record: Any) -> list[str]:
    """Set the fields of a version to its values, unsaved; returns their names."""
    values = values_of_version(version)
    for name, value in values.items():
        setattr(record, name, value)
    return list(values)


class UndoError(Exception):
    """A change cannot be undone; the message says why."""


def with_values(
    message: list[dict[str, Any]], before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The message of a change with the old and the new values of its fields."""
    values = {name: [stored(before[name]), stored(after[name])] for name in before if name in after}
    encrypted = {*protected(), *(["metadata"] if protected_keys() else [])}
    kept = {name: both for name, both in values.items() if name not in encrypted and len(json.dumps(both)) <= MAX_VALUE}
    return [
        {**one, "changed": {**one["changed"], "values": kept}}
        if "changed" in one and "name" not in one["changed"]
        else one
        for one in message
    ]


def stored(value: Any) -> Any:
    """A value as JSON has it: times in UTC."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def values_of(entry: LogEntry) -> dict[str, tuple[Any, Any]]:
    """The old and the new value of each field that an entry has."""
    try:
        message = json.loads(entry.change_message)
    except ValueError:
        return {}
    found: dict[str, tuple[Any, Any]] = {}
    for one in message if isinstance(message, list) else []:
        values = one.get("changed", {}).get("values", {}) if isinstance(one, dict) else {}
        found |= {name: (old, new) for name, (old, new) in values.items()}
    return found


def revision(entry: LogEntry, model: type[Model]) -> Revision:
    """An entry for the page."""
    values = values_of(entry)
    changes = [
        FieldChange(str(_name(model, name)), difference(*(shown(one, model, name) for one in (old, new))))
        for name, (old, new) in values.items()
    ]
    return Revision(entry, time_text(entry.action_time), entry.get_change_message(), changes, bool(values))


def _name(model: type[Model], field: str) -> Any:
    names = {one.name: getattr(one, "verbose_name", one.name) for one in model._meta.get_fields()}
    return names.get(field, field)


def shown(value: Any, model: type[Model], name: str) -> str:
    """A value as text."""
    if isinstance(value, str) and name in {one.name for one in model._meta.fields if isinstance(one, DateTimeField)}:
        return time_text(datetime.fromisoformat(value))
    return "" if value is None else value if isinstance(value, str) else formatted_json(value)


def difference(old: str, new: str) -> list[Piece]:
    """The differences of two texts by words, in order."""
    before, after = WORDS.findall(old), WORDS.findall(new)
    if len(before) + len(after) > MAX_COMPARED:
        return [(OLD, old), (NEW, new)]
    pieces: list[Piece] = []
    for kind, first, last, start, end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append((SAME, "".join(before[first:last])))
            continue
        pieces += [(OLD, "".join(before[first:last]))] if last > first else []
        pieces += [(NEW, "".join(after[start:end]))] if end > start else []
    return pieces


def undo(entry: LogEntry, record: Any) -> dict[str, tuple[Any, Any]]:
    """Set the record's fields to the old values, unsaved; returns the values before and after. Raises `UndoError`."""
    values = values_of(entry)
    if not values:
        raise UndoError(_("The values of this change are not known."))
    changed: dict[str, tuple[Any, Any]] = {}
    for name, (old, new) in values.items():
        field = record._meta.get_field(name)
        now = getattr(record, field.attname)
        if stored(now) != stored(field.to_python(new)) and stored(now) != new:
            raise UndoError(_("“%s” was changed since: undo the later change first.") % field.verbose_name)
        value = old if old is None or not hasattr(now, "astimezone") else field.to_python(old)
        setattr(record, field.attname, value)
        changed[name] = (now, value)
    return changed

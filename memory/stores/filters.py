"""The filters of a history: validated field lookups for querysets and for objects.

    {"item_type": "message", "timestamp__gte": monday, "persona_active__in": ["guide"], "metadata__role": "user"}

`FIELDS` has the lookups of each field and their validators, `EVALUATORS` their evaluation in Python. The rest of a name
after `metadata__` is a key; values are compared by JSON type: 5 is not equal to "5", and true is not equal to 1.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from django.db.models.constants import LOOKUP_SEP

from ..exceptions import ValidationError
from ..limits import json_problem, text_problem
from ..lookups import having_member
from ..models import MemoryItem
from ..querysets import MemoryItemQuerySet
from ..querysets.scan import has_member, needs_scan, same_value, scan
from ..querysets.validity import first_valid
from ..sealing import protected_keys
from .validation import naive_problem

Check = Callable[[object], str]


def _string(value: object) -> str:
    return "" if isinstance(value, str) else "This must be a string."


def _string_or_none(value: object) -> str:
    return "" if value is None else _string(value)


def _strings(value: object) -> str:
    allowed = isinstance(value, list | tuple | set | frozenset) and all(isinstance(member, str) for member in value)
    return "" if allowed else "This must be a list of strings."


def _boolean(value: object) -> str:
    return "" if isinstance(value, bool) else "This must be True or False."


def _time(value: object) -> str:
    if not isinstance(value, datetime):
        return "This must be a datetime."
    return naive_problem(value)


NAMES: Mapping[str, Check] = {"exact": _string_or_none, "in": _strings, "isnull": _boolean}
TIMES: Mapping[str, Check] = dict.fromkeys(("exact", "gt", "gte", "lt", "lte"), _time)


def _scalar(value: object) -> str:
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return json_problem(value) or ("" if not isinstance(value, int) or abs(value) < 2**63 else "This is too large.")
    return "This must be a string, a number, True, False or None."


FIELDS: Mapping[str, Mapping[str, Check]] = {
    "item_type": {"exact": _string, "in": _strings},
    "persona_active": NAMES,
    "session_id": NAMES,
    "timestamp": TIMES,
}
"""The allowed lookups by field, with their validators."""

MAP = "metadata"

EVALUATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "exact": operator.eq,
    "in": lambda value, expected: value in expected,
    "isnull": lambda value, expected: (value is None) == expected,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True)
class Condition:
    """A validated lookup of a field."""

    field: str
    lookup: str
    value: Any

    def matches(self, item: MemoryItem) -> bool:
        """Whether an item matches."""
        return EVALUATORS[self.lookup](getattr(item, self.field), self.value)

    @property
    def has_index(self) -> bool:
        """Whether Firestore has an index for it in every order: not for "is not null"."""
        return self.lookup != "isnull" or bool(self.value)

    def filter(self, items: MemoryItemQuerySet) -> MemoryItemQuerySet:
        """The matching items."""
        if self.lookup == "exact" and self.value is None:
            return items.filter(**{f"{self.field}__isnull": True})
        return items.filter(**{f"{self.field}__{self.lookup}": self.value})


class MemberCondition(Condition):
    """Equality of a map's key, `lookup`, with a value."""

    @property
    def has_index(self) -> bool:
        """Firestore has no index of a key and the time."""
        return False

    def matches(self, item: MemoryItem) -> bool:
        """Whether an item matches."""
        members = getattr(item, self.field)
        return has_member(members, self.lookup) and same_value(members[self.lookup], self.value)

    def filter(self, items: MemoryItemQuerySet) -> MemoryItemQuerySet:
        """The matching items."""
        return having_member(items, self.field, self.lookup, self.value)


class ValidAt(Condition):
    """Validity at a time; None: now."""

    def __init__(self, at: datetime | None) -> None:
        super().__init__("valid_to", "as_of", at)

    @property
    def has_index(self) -> bool:
        """It needs none: what is read in order is filtered."""
        return True

    def matches(self, item: MemoryItem) -> bool:
        """Whether an item is valid."""
        return item.is_valid(self.value)

    def filter(self, items: MemoryItemQuerySet) -> MemoryItemQuerySet:
        """The valid items."""
        return items.as_of(self.value)


VALID_NOW: Final = ValidAt(None)
"""The condition of every history that asks for nothing else. Stores read as without it, and leave out items."""


def checked_time(name: str, value: object) -> datetime:
    """The time. Raises `ValidationError` for anything else."""
    if problem := _time(value):
        raise ValidationError({name: problem})
    return cast(datetime, value)


def parse(filters: Mapping[str, object] | None) -> tuple[Condition, ...]:
    """Parse `filters`. Raises `ValidationError`, by lookup, for unknown lookups and invalid values."""
    if filters is None:
        return ()
    if not isinstance(filters, Mapping):
        raise ValidationError({"filters": "This must be a map of lookups, such as {'item_type': 'message'}."})
    problems = {str(name): problem for name, value in filters.items() if (problem := _problem(name, value))}
    if problems:
        raise ValidationError(problems)
    return tuple(_condition(name, value) for name, value in filters.items())


def filtered(
    items: MemoryItemQuerySet, user_id: str, session_id: str | None, conditions: tuple[Condition, ...]
) -> MemoryItemQuerySet:
    """The user's items, of one session or (None) of all, that meet the conditions."""
    items = items.for_user(user_id)
    if session_id is not None:
        items = items.in_session(session_id)
    for condition in conditions:
        items = condition.filter(items)
    return items


def narrowed(
    items: MemoryItemQuerySet, user_id: str, session_id: str | None, conditions: tuple[Condition, ...]
) -> tuple[MemoryItemQuerySet, tuple[Condition, ...]]:
    """The items by the conditions that the database evaluates, and the conditions that it does not.

    `VALID_NOW` is in neither of them: `listed()` applies it.
    """
    others = tuple(condition for condition in conditions if condition != VALID_NOW)
    scanned = tuple(condition for condition in others if not condition.has_index) if needs_scan(items.db) else ()
    native = tuple(condition for condition in others if condition not in scanned)
    return filtered(items, user_id, session_id, native), scanned


def listed(ordered: MemoryItemQuerySet, scanned: tuple[Condition, ...], now: bool, limit: int) -> list[MemoryItem]:
    """The first items that meet the conditions which are evaluated in Python. `now`: of those that are valid now."""
    if scanned:
        return scan(ordered, matching((*scanned, VALID_NOW) if now else scanned), limit)
    return list(first_valid(ordered, limit) if now else ordered[:limit])


def matching(conditions: tuple[Condition, ...]) -> Callable[[MemoryItem], bool]:
    """Whether an item meets the conditions, evaluated in Python."""
    return lambda item: all(condition.matches(item) for condition in conditions)


def _condition(name: str, value: object) -> Condition:
    field, lookup = _split(name)
    return (MemberCondition if field == MAP else Condition)(field, lookup, value)


def _split(name: str) -> tuple[str, str]:
    field, _, lookup = name.partition(LOOKUP_SEP)
    return field, lookup or ("" if field == MAP else "exact")


def _problem(name: object, value: object) -> str:
    if not isinstance(name, str):
        return "Lookups must be strings."
    field, lookup = _split(name)
    check = _scalar if field == MAP and lookup else FIELDS.get(field, {}).get(lookup)
    if field == MAP and lookup in protected_keys():
        return "This key is encrypted (MEMORY['ENCRYPT']): it cannot be compared."
    if check is None:
        allowed = sorted(f"{field}{LOOKUP_SEP}{lookup}" for field, lookups in FIELDS.items() for lookup in lookups)
        return f"Unknown lookup. Allowed: {', '.join(allowed)}, {MAP}{LOOKUP_SEP}<key>."
    return text_problem(name) or check(value) or ""

"""What a conversation's history can be narrowed by: a map of field lookups, checked, for a database or for objects.

    {"item_type": "message", "timestamp__gte": monday, "persona_active__in": ["guide"], "metadata__role": "user"}

One table says which lookups a field has and what each takes; another says what each lookup means in Python. After
`metadata__` stands a key, as it is; its value must be equal, of the same JSON type: 5 is not "5", and true is not 1.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models.constants import LOOKUP_SEP

from ..exceptions import ValidationError
from ..limits import json_problem, text_problem
from ..lookups import having_member
from ..models import MemoryItem
from ..querysets import MemoryItemQuerySet
from .validation import naive_problem

Check = Callable[[object], str]


def _text(value: object) -> str:
    return "" if isinstance(value, str) else "This must be a text."


def _text_or_none(value: object) -> str:
    return "" if value is None else _text(value)


def _texts(value: object) -> str:
    known = isinstance(value, list | tuple | set | frozenset) and all(isinstance(member, str) for member in value)
    return "" if known else "This must be a list of texts."


def _boolean(value: object) -> str:
    return "" if isinstance(value, bool) else "This must be True or False."


def _time(value: object) -> str:
    if not isinstance(value, datetime):
        return "This must be a datetime."
    return naive_problem(value)


NAMES: Mapping[str, Check] = {"exact": _text_or_none, "in": _texts, "isnull": _boolean}
TIMES: Mapping[str, Check] = dict.fromkeys(("exact", "gt", "gte", "lt", "lte"), _time)


def _scalar(value: object) -> str:
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return json_problem(value) or ("" if not isinstance(value, int) or abs(value) < 2**63 else "This is too large.")
    return "This must be a text, a number, True, False or None."


FIELDS: Mapping[str, Mapping[str, Check]] = {
    "item_type": {"exact": _text, "in": _texts},
    "persona_active": NAMES,
    "session_id": NAMES,
    "timestamp": TIMES,
}
"""The whitelist: by field, its lookups and what each takes."""

MAP = "metadata"

MEANINGS: Mapping[str, Callable[[Any, Any], bool]] = {
    "exact": operator.eq,
    "in": lambda value, wanted: value in wanted,
    "isnull": lambda value, wanted: (value is None) == wanted,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True)
class Condition:
    """One lookup of a field, already checked."""

    field: str
    lookup: str
    value: Any

    def holds(self, item: MemoryItem) -> bool:
        """Whether it is true of an item."""
        return MEANINGS[self.lookup](getattr(item, self.field), self.value)

    def narrow(self, items: MemoryItemQuerySet) -> MemoryItemQuerySet:
        """The items of which it is true."""
        if self.lookup == "exact" and self.value is None:
            return items.filter(**{f"{self.field}__isnull": True})
        return items.filter(**{f"{self.field}__{self.lookup}": self.value})


class MemberCondition(Condition):
    """A key of a map, `lookup`, has a value."""

    def holds(self, item: MemoryItem) -> bool:
        """Whether it is true of an item."""
        members = getattr(item, self.field)
        return self.lookup in members and _same(members[self.lookup], self.value)

    def narrow(self, items: MemoryItemQuerySet) -> MemoryItemQuerySet:
        """The items of which it is true."""
        return having_member(items, self.field, self.lookup, self.value)


def _same(one: object, other: object) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def parse(filters: Mapping[str, object] | None) -> tuple[Condition, ...]:
    """The conditions that `filters` state. Raises `ValidationError`, by lookup, for what is not in the whitelist."""
    if filters is None:
        return ()
    if not isinstance(filters, Mapping):
        raise ValidationError({"filters": "This must be a map of lookups, such as {'item_type': 'message'}."})
    problems = {str(name): problem for name, value in filters.items() if (problem := _problem(name, value))}
    if problems:
        raise ValidationError(problems)
    return tuple(_condition(name, value) for name, value in filters.items())


def _condition(name: str, value: object) -> Condition:
    field, lookup = _split(name)
    return (MemberCondition if field == MAP else Condition)(field, lookup, value)


def _split(name: str) -> tuple[str, str]:
    field, _, lookup = name.partition(LOOKUP_SEP)
    return field, lookup or ("" if field == MAP else "exact")


def _problem(name: object, value: object) -> str:
    if not isinstance(name, str):
        return "A lookup is named by a text."
    field, lookup = _split(name)
    check = _scalar if field == MAP and lookup else FIELDS.get(field, {}).get(lookup)
    if check is None:
        known = sorted(f"{field}{LOOKUP_SEP}{lookup}" for field, lookups in FIELDS.items() for lookup in lookups)
        return f"History cannot be filtered by this. Known: {', '.join(known)}, {MAP}{LOOKUP_SEP}<key>."
    return text_problem(name) or check(value) or ""

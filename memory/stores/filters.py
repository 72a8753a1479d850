"""What a conversation's history can be narrowed by: a map of field lookups, checked, for a database or for objects.

    {"item_type": "message", "timestamp__gte": yesterday, "persona_active__in": ["guide", "critic"]}

One table says which lookups a field has and what each takes; another says what each lookup means in Python.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models.constants import LOOKUP_SEP

from ..exceptions import ValidationError
from ..models import MemoryItem
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
FIELDS: Mapping[str, Mapping[str, Check]] = {
    "item_type": {"exact": _text, "in": _texts},
    "persona_active": NAMES,
    "session_id": NAMES,
    "timestamp": TIMES,
}
"""The whitelist: by field, its lookups and what each takes."""

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

    @property
    def keyword(self) -> tuple[str, Any]:
        """The argument of `QuerySet.filter()`."""
        if self.lookup == "exact" and self.value is None:
            return f"{self.field}{LOOKUP_SEP}isnull", True
        return f"{self.field}{LOOKUP_SEP}{self.lookup}", self.value


def parse(filters: Mapping[str, object] | None) -> tuple[Condition, ...]:
    """The conditions that `filters` state. Raises `ValidationError`, by lookup, for what is not in the whitelist."""
    if filters is None:
        return ()
    if not isinstance(filters, Mapping):
        raise ValidationError({"filters": "This must be a map of lookups, such as {'item_type': 'message'}."})
    problems = {str(name): problem for name, value in filters.items() if (problem := _problem(name, value))}
    if problems:
        raise ValidationError(problems)
    return tuple(Condition(*_split(name), value) for name, value in filters.items())


def keywords(conditions: Iterable[Condition]) -> list[tuple[str, Any]]:
    """What `QuerySet.filter()` takes, one condition each."""
    return [condition.keyword for condition in conditions]


def _split(name: str) -> tuple[str, str]:
    field, _, lookup = name.partition(LOOKUP_SEP)
    return field, lookup or "exact"


def _problem(name: object, value: object) -> str:
    if not isinstance(name, str):
        return "A lookup is named by a text."
    field, lookup = _split(name)
    check = FIELDS.get(field, {}).get(lookup)
    if check is None:
        known = sorted(f"{field}{LOOKUP_SEP}{lookup}" for field, lookups in FIELDS.items() for lookup in lookups)
        return f"History cannot be filtered by this. Known: {', '.join(known)}."
    return check(value)

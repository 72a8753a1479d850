"""The filters of a queryset that the index knows: by session, by a range of sessions, and by time.

They apply before the ranking. Of others, the database is asked which items pass (`passing`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from operator import eq, ge, lt
from typing import Any, Final

import numpy as np
from django.db import connections
from django.db.models.expressions import Col, Func
from django.db.models.lookups import (
    Exact,
    GreaterThan,
    GreaterThanOrEqual,
    IsNull,
    LessThan,
    LessThanOrEqual,
    StartsWith,
)
from django.db.models.sql.where import AND, WhereNode
from numpy.typing import NDArray

from memory.querysets import MemoryItemQuerySet
from memory.snapshots import epoch_microseconds

from .corpus import Corpus
from .passing import UNKNOWN, Passing, passing_of
from .summaries import Summaries
from .tail import ALONE

Mask = NDArray[np.bool_]

COMPARISONS: Final[Mapping[type, Callable[[Any, int], Any]]] = {
    GreaterThan: np.greater,
    GreaterThanOrEqual: np.greater_equal,
    LessThan: np.less,
    LessThanOrEqual: np.less_equal,
    Exact: np.equal,
}

MAY_COMPARE: Final[Mapping[type, Callable[[Any, Any, int], Any]]] = {
    GreaterThan: lambda first, last, time: last > time,
    GreaterThanOrEqual: lambda first, last, time: last >= time,
    LessThan: lambda first, last, time: first < time,
    LessThanOrEqual: lambda first, last, time: first <= time,
    Exact: lambda first, last, time: (first <= time) & (last >= time),
}
"""Whether a time between the first and the last may satisfy the lookup."""

# Databases compare texts by their collations: these are the lookups that do so as Python does.
SESSION_RANGES: Final[Mapping[str, Mapping[type, Callable[[str, str], bool]]]] = {
    "sqlite": {GreaterThanOrEqual: ge, LessThan: lt},
    "firestore": {GreaterThanOrEqual: ge, LessThan: lt},
    "postgresql": {StartsWith: str.startswith},
}

SESSION_TESTS: Final[Mapping[type, Callable[[str, str], bool]]] = {
    Exact: eq,
    **{kind: test for tests in SESSION_RANGES.values() for kind, test in tests.items()},
}


@dataclass(frozen=True)
class KnownFilters:
    """The filters that the index knows. `complete`: there are no others, besides user and expiration.

    `passing(is_large)` looks up the items that pass all filters, once.
    """

    lookups: tuple[Any, ...]
    complete: bool
    passing: Callable[[bool], Passing] = lambda is_large: UNKNOWN

    def mask(self, corpus: Corpus) -> Mask:
        """The entries that satisfy the known filters."""
        found = np.ones(len(corpus), bool)
        for lookup in self.lookups:
            found &= _mask(lookup, corpus)
        return found

    def may_pass(self, summaries: Summaries) -> Mask:
        """The summarised segments of a large memory that may have an entry which satisfies the filters."""
        found = np.ones(len(summaries), bool)
        first, last = np.array([summaries.first, summaries.last], np.int64)
        if not self.complete:
            found &= self.passing(True).may_be_within(first, last)
        for lookup in self.lookups:
            if _column(lookup) == "timestamp":
                found &= MAY_COMPARE[type(lookup)](first, last, epoch_microseconds(lookup.rhs))
            elif isinstance(lookup, Exact):
                found &= summaries.may_have_session(lookup.rhs)
        return found


EVERYTHING: Final = KnownFilters((), complete=True)


def known_filters(items: MemoryItemQuerySet) -> KnownFilters:
    """The known filters of a queryset."""
    leaves = list(_leaves(items.query.where))
    ranges = SESSION_RANGES.get(connections[items.db].vendor, {})
    lookups = tuple(leaf for leaf in leaves if _is_known(leaf, ranges))
    rest = [leaf for leaf in leaves if leaf not in lookups]
    is_complete = all(_is_of_user(leaf) or _is_of_expiration(leaf) for leaf in rest)
    return KnownFilters(lookups, is_complete, cache(partial(passing_of, _to_look_up(items, lookups))))


def _to_look_up(items: MemoryItemQuerySet, lookups: Collection[Any]) -> MemoryItemQuerySet:
    """The items with fewer filters on Firestore: none by time, which would need an index together with others.

    The search applies these itself.
    """
    found = items.all()
    if connections[items.db].vendor == "firestore":
        by_time = [lookup for lookup in lookups if not isinstance(lookup, Exact)]
        found.query.where = _pruned(items.query.where, lambda lookup: lookup in by_time or _is_of_expiration(lookup))
    return found


def _pruned(where: WhereNode, is_left_out: Callable[[Any], bool]) -> WhereNode:
    """The conditions without some of those that every row satisfies."""
    if where.negated or where.connector != AND:
        return where
    pruned: WhereNode = where.copy()
    pruned.children = [
        _pruned(child, is_left_out) if isinstance(child, WhereNode) else child
        for child in where.children
        if not is_left_out(child)
    ]
    return pruned


class _Unindexed(Func):
    """A column of which SQLite uses no index: https://www.sqlite.org/optoverview.html#disqualifying_where_clause_terms"""

    template = "+%(expressions)s"
    arity = 1
    is_identity = True


def by_id(items: MemoryItemQuerySet) -> MemoryItemQuerySet:
    """The queryset, of which rows are then looked up by their ids.

    Without statistics, SQLite takes a user for one with few items, and reads all of them to find ten by id.
    """
    found = items.all()
    if connections[items.db].vendor == "sqlite":
        found.query.where = _without_index(found.query.where)
        found.query.expects_mirror = True  # type: ignore[attr-defined]  # Firestore gets the query as it was: no warning
    return found


def _without_index(where: Any) -> Any:
    """The conditions, with those on the user in a form that no index answers."""
    if _is_of_user(where):
        changed = copy(where)
        changed.lhs = _Unindexed(where.lhs)
        return changed
    if isinstance(where, WhereNode):
        changed = where.copy()
        changed.children = [_without_index(child) for child in where.children]
        return changed
    return where


def _leaves(where: Any) -> Iterator[Any]:
    """The conditions that every row satisfies."""
    if where.negated or where.connector != AND:
        yield where
        return
    for child in where.children:
        if isinstance(child, WhereNode):
            yield from _leaves(child)
        else:
            yield child


def _is_known(lookup: Any, ranges: Collection[type]) -> bool:
    name = _column(lookup)
    if name == "session_id":
        is_text = type(lookup) in {Exact, *ranges} and isinstance(lookup.rhs, str)
        return isinstance(lookup, IsNull) or is_text
    return name == "timestamp" and type(lookup) in COMPARISONS and isinstance(lookup.rhs, datetime)


def _is_of_user(lookup: Any) -> bool:
    return isinstance(lookup, Exact) and _column(lookup) == "user_id"


def _is_of_expiration(where: Any) -> bool:
    """Whether it is the condition of `live()`."""
    if not isinstance(where, WhereNode):
        return False
    return all(_is_of_expiration(child) or _column(child) == "expiration" for child in where.children)


def _column(lookup: Any) -> str:
    left = getattr(lookup, "lhs", None)
    return left.target.name if isinstance(left, Col) else ""


def _mask(lookup: Any, corpus: Corpus) -> Mask:
    if _column(lookup) == "timestamp":
        return np.asarray(COMPARISONS[type(lookup)](corpus.time, epoch_microseconds(lookup.rhs)))
    if isinstance(lookup, IsNull):
        alone = np.array([name.startswith(ALONE) for name in corpus.sessions], bool)
        return alone[corpus.session] == bool(lookup.rhs) if len(corpus) else np.zeros(0, bool)
    passes = SESSION_TESTS[type(lookup)]
    places = [
        place for place, name in enumerate(corpus.sessions) if not name.startswith(ALONE) and passes(name, lookup.rhs)
    ]
    return np.isin(corpus.session, places)

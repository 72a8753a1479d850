"""Deletes what the policies of retention cover, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db import connections
from django.utils import timezone

from ..conf import memory_settings
from ..models import AgentData, MemoryItem
from ..querysets.retained import covered, of_owner
from ..retention import Policy, parse

MODELS: Final[dict[str, Any]] = {"MemoryItem": MemoryItem, "AgentData": AgentData}
ROWS_AT_ONCE: Final = 500

Report = Callable[[int], Any]
"""Called with the number of records that were deleted just now."""


def policies() -> tuple[Policy, ...]:
    """The policies of the settings."""
    return parse(memory_settings.retention)


def count(policy: Policy) -> int:
    """How many records a policy covers."""
    if policy.count is not None:
        return sum(max(0, of_owner(policy, owner, _alias(policy)).count() - policy.count) for owner in _owners(policy))
    return sum(len(keys) for keys in _pages(policy))


def forget(policy: Policy, report: Report = lambda number: None) -> int:
    """Delete the records that a policy covers, as the models delete: sessions and caches follow. Returns how many."""
    deleted = 0
    for keys in _beyond(policy) if policy.count is not None else _pages(policy):
        rows = MODELS[policy.model].all_objects.filter(pk__in=keys)
        number = rows.delete()[1].get(MODELS[policy.model]._meta.label, 0)
        deleted += number
        report(number)
    return deleted


def _pages(policy: Policy) -> Iterator[list[str]]:
    """The keys of what is covered by age and importance, in pages."""
    rows = MODELS[policy.model].all_objects.all()
    if connections[rows.db].vendor == "firestore":
        found = _evaluated(policy, rows)
    else:
        found = list(rows.filter(covered(policy)).order_by().values_list("pk", flat=True))
    for start in range(0, len(found), ROWS_AT_ONCE):
        yield found[start : start + ROWS_AT_ONCE]


def _evaluated(policy: Policy, rows: Any) -> list[str]:
    """The keys by one condition and the age, for which there is an index; the rest is evaluated here."""
    some = rows.filter(covered(Policy(policy.model, policy.criteria[:1], policy.age))).order_by("-timestamp", "-id")
    if policy.importance_below is None and len(policy.criteria) < 2:
        return list(some.values_list("pk", flat=True))
    importance = [] if policy.importance_below is None else ["importance"]
    loaded, now = some.only("pk", "timestamp", *importance, *_names(policy)), timezone.now()
    return [row.pk for row in loaded.iterator(chunk_size=ROWS_AT_ONCE) if policy.covers(row, now)]


def _names(policy: Policy) -> list[str]:
    return [name for name, _ in policy.criteria]


def _beyond(policy: Policy) -> Iterator[list[str]]:
    """The keys of the records of each owner after the newest `count`, in pages, which the caller deletes."""
    number = policy.count or 0
    for owner in _owners(policy):
        rows = of_owner(policy, owner, _alias(policy)).order_by("-timestamp", "-id").values_list("pk", flat=True)
        while keys := list(rows[number : number + ROWS_AT_ONCE]):
            yield keys


def _alias(policy: Policy) -> str:
    return str(MODELS[policy.model].all_objects.db)


def _owners(policy: Policy) -> Iterator[str]:
    """The owners that a policy is about: those that it names, or all, one query for each."""
    if named := dict(policy.criteria).get(policy.owner):
        yield from named
        return
    rows = MODELS[policy.model].all_objects.order_by(policy.owner).values_list(policy.owner, flat=True)
    found = rows.first()
    while found is not None:
        yield found
        found = rows.filter(**{f"{policy.owner}__gt": found}).first()

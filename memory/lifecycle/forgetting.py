"""Deletes what the policies of retention cover, in batches.

Reads leave out what any policy covers of all that is stored. So the policies by count come first, and the ends of their
counts are found before anything is deleted: otherwise a deletion would bring back what another count had left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connections
from django.utils import timezone

from ..conf import memory_settings
from ..models import AgentData, MemoryItem
from ..querysets.retained import Cut, covered, cut_of, of_owner
from ..retention import Policy, parse

MODELS: Final[dict[str, Any]] = {"MemoryItem": MemoryItem, "AgentData": AgentData}
ROWS_AT_ONCE: Final = 500

Report = Callable[[int], Any]
"""Called with the number of records that were deleted just now."""


@dataclass(frozen=True)
class Deletion:
    """What a policy covers; of one by count, where it ends for the owners who have more."""

    policy: Policy
    cuts: Mapping[str, Cut] = field(default_factory=dict)


def deletions() -> tuple[Deletion, ...]:
    """Those of the settings' policies, in the order in which they are to be made. A query or two for each owner."""
    counts_first = sorted(parse(memory_settings.retention), key=lambda policy: policy.count is None)
    return tuple(Deletion(policy, {} if policy.count is None else dict(_cuts(policy))) for policy in counts_first)


def count(deletion: Deletion) -> int:
    """How many records a deletion is about."""
    policy = deletion.policy
    if policy.count is None:
        return sum(len(keys) for keys in _pages(policy))
    return sum(of_owner(policy, owner, _alias(policy)).count() - policy.count for owner in deletion.cuts)


def forget(deletion: Deletion, report: Report = lambda number: None) -> int:
    """Delete the records of a deletion, as the models delete: sessions and caches follow. Returns how many."""
    policy, deleted = deletion.policy, 0
    for keys in _pages(policy) if policy.count is None else _beyond(deletion):
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


def _cuts(policy: Policy) -> Iterator[tuple[str, Cut]]:
    for owner in _owners(policy):
        if (cut := cut_of(policy, owner, _alias(policy))) is not None:
            yield owner, cut


def _beyond(deletion: Deletion) -> Iterator[list[str]]:
    """The keys of the records of each owner up to the end of the count, in pages, which the caller deletes."""
    for owner, cut in deletion.cuts.items():
        rows = of_owner(deletion.policy, owner, _alias(deletion.policy)).filter(timestamp__lte=cut.timestamp)
        places = rows.order_by("timestamp", "pk").values_list("timestamp", "pk")
        while keys := [pk for timestamp, pk in places[:ROWS_AT_ONCE] if (timestamp, pk) <= cut]:
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

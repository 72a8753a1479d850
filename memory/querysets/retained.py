"""What reads leave out because a policy of `MEMORY["RETENTION"]` covers it: conditions, and the same for records.

A policy by count needs to know where the newest records of an owner end (`cut_of`): a query or two. A query that names
its owner asks for it when it runs. One over all owners does not, and finds what `memory_purge` has not deleted yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.db import connections, models, router
from django.db.models import Q
from django.db.models.expressions import Col, Expression
from django.db.models.lookups import Exact
from django.db.models.sql.where import AND
from django.utils import timezone

from ..conf import memory_settings
from ..retention import Policy, policies_of
from .moments import CurrentTime

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler


class Cut(NamedTuple):
    """The newest record that is beyond a count. It and all older ones are covered; ties in time are ordered by id."""

    timestamp: datetime
    id: str


@cache
def never() -> Cut:
    """A cut that covers nothing."""
    return Cut(datetime(1, 1, 2, tzinfo=UTC if settings.USE_TZ else None), "")


def covered(policy: Policy) -> Q:
    """The condition of what a policy covers."""
    lookups = policy.lookups
    if policy.count is not None:
        beyond = Q(timestamp__lt=CutOf(policy, "timestamp"))
        beyond |= Q(timestamp=CutOf(policy, "timestamp"), pk__lte=CutOf(policy, "id"))
        return Q(**lookups) & beyond
    if policy.age is not None:
        lookups["timestamp__lte"] = CurrentTime(before=policy.age)
    if policy.importance_below is not None:
        lookups["importance__lt"] = policy.importance_below
    return Q(**lookups)


def is_retained(record: Any, using: str) -> bool:
    """Whether no policy covers a record that was read."""
    return next(retained([record], using), None) is not None


def retained(records: Iterable[Any], using: str) -> Iterator[Any]:
    """The records that no policy covers, of one model."""
    cuts: dict[tuple[Policy, str], Cut] = {}
    now = timezone.now()
    for record in records:
        policies = policies_of(memory_settings.retention, type(record).__name__)
        if not any(_covers(policy, record, now, cuts, using) for policy in policies):
            yield record


def _covers(policy: Policy, record: Any, now: datetime, cuts: dict[tuple[Policy, str], Cut], using: str) -> bool:
    if policy.count is None or not policy.covers(record, now):
        return policy.count is None and policy.covers(record, now)
    key = policy, getattr(record, policy.owner)
    if key not in cuts:
        cuts[key] = cut_of(*key, using)
    return (record.timestamp, record.pk) <= cuts[key]


def of_owner(policy: Policy, owner: str, using: str) -> models.QuerySet[Any]:
    """The records of an owner that a policy by count is about: those that have not expired."""
    lookups = {**policy.lookups, policy.owner: owner}
    lookups.pop(f"{policy.owner}__in", None)
    model: Any = apps.get_model("memory", policy.model)
    rows: models.QuerySet[Any] = model.all_objects.using(using).unexpired().filter(**lookups)
    return rows


def cut_of(policy: Policy, owner: str, using: str) -> Cut:
    """Where the newest records of an owner end; `never()` if there are no more."""
    count = policy.count or 0
    if owner not in dict(policy.criteria).get(policy.owner, (owner,)):
        return never()
    places = of_owner(policy, owner, using).values_list("timestamp", "pk")
    if connections[using].vendor != "firestore":
        found = places.order_by("-timestamp", "-pk")[count : count + 1]
        return next((Cut(*place) for place in found), never())
    # Firestore charges for the documents that an offset skips, and little for a count.
    beyond = places.count() - count
    return Cut(*places.order_by("timestamp", "pk")[beyond - 1]) if beyond > 0 else never()


class CutOf(Expression):
    """A part of the cut of the owner that the query names, found when the query runs; of `never()` if it names none."""

    def __init__(self, policy: Policy, part: str) -> None:
        super().__init__(output_field=models.DateTimeField() if part == "timestamp" else models.CharField())
        self.policy = policy
        self.part = part

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        value = models.Value(getattr(self._cut(compiler), self.part), output_field=self.output_field)
        sql, params = value.as_sql(compiler, connection)
        return sql, tuple(params)

    def _cut(self, compiler: Any) -> Cut:
        known: dict[Policy, Cut] = vars(compiler).setdefault("cuts_of_policies", {})
        if self.policy not in known:
            owner = _named(compiler.query.where, self.policy.owner)
            using = compiler.using or router.db_for_read(compiler.query.model)
            known[self.policy] = never() if owner is None else cut_of(self.policy, owner, using)
        return known[self.policy]


def _named(where: Any, field: str) -> str | None:
    """The value with which every row of a query has a field."""
    if where.negated or where.connector != AND:
        return None
    for child in where.children:
        if hasattr(child, "children"):
            if (found := _named(child, field)) is not None:
                return found
        elif isinstance(child, Exact) and _is_column(child.lhs, field):
            return child.rhs if isinstance(child.rhs, str) else None
    return None


def _is_column(expression: Any, field: str) -> bool:
    if getattr(expression, "is_identity", False):  # the same value, by an expression that no index serves
        expression = expression.get_source_expressions()[0]
    return isinstance(expression, Col) and expression.target.name == field

"""What reads leave out because a policy of `MEMORY["RETENTION"]` covers it: conditions, and the same for records.

A policy by count needs to know where the newest records of an owner end (`cut_of`): a query or two. A query that names
its owner asks for it when it runs. In one over all owners SQL databases look for newer records of each row's owner
(`Outnumbered`), and on Firestore the cut of each owner is asked for as rows of theirs are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.core.exceptions import EmptyResultSet
from django.db import connections, models, router
from django.db.models import Exists, OuterRef, Q
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
def covered(policy: Policy) -> Q:
    """The condition of what a policy covers."""
    lookups = policy.lookups
    if policy.count is not None:
        beyond = Q(timestamp__lt=CutOf(policy, "timestamp"))
        beyond |= Q(timestamp=CutOf(policy, "timestamp"), pk__lte=CutOf(policy, "id"))
        return Q(**lookups) & (beyond | Q(Outnumbered(policy)))
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
    cuts: dict[tuple[Policy, str], Cut | None] = {}
    now = timezone.now()
    for record in records:
        policies = policies_of(memory_settings.retention, type(record).__name__)
        if not any(_covers(policy, record, now, cuts, using) for policy in policies):
            yield record


def _covers(policy: Policy, record: Any, now: datetime, cuts: dict[tuple[Policy, str], Cut | None], using: str) -> bool:
    if policy.count is None or not policy.covers(record, now):
        return policy.count is None and policy.covers(record, now)
    key = policy, getattr(record, policy.owner)
    if key not in cuts:
        cuts[key] = cut_of(*key, using)
    return _is_beyond(record.timestamp, record.pk, cuts[key])


def _is_beyond(timestamp: datetime, pk: str, cut: Cut | None) -> bool:
    return cut is not None and (timestamp, pk) <= cut


def of_owner(policy: Policy, owner: str, using: str) -> models.QuerySet[Any]:
    """The records of an owner that a policy by count is about: those that have not expired."""
    lookups = {**policy.lookups, policy.owner: owner}
    lookups.pop(f"{policy.owner}__in", None)
    model: Any = apps.get_model("memory", policy.model)
    rows: models.QuerySet[Any] = model.all_objects.using(using).unexpired().filter(**lookups)
    return rows


def cut_of(policy: Policy, owner: str, using: str) -> Cut | None:
    """Where the newest records of an owner end; None if there are no more."""
    count = policy.count or 0
    if owner not in dict(policy.criteria).get(policy.owner, (owner,)):
        return None
    places = of_owner(policy, owner, using).values_list("timestamp", "pk")
    if connections[using].vendor != "firestore":
        found = places.order_by("-timestamp", "-pk")[count : count + 1]
        return next((Cut(*place) for place in found), None)
    # Firestore charges for the documents that an offset skips, and little for a count.
    beyond = places.count() - count
    return Cut(*places.order_by("timestamp", "pk")[beyond - 1]) if beyond > 0 else None


class CutOf(Expression):
    """A part of the cut of the owner that the query names, found when the query runs.

    A comparison with it matches nothing if the owner has no more records, or if the query names no owner.
    """

    def __init__(self, policy: Policy, part: str) -> None:
        super().__init__(output_field=models.DateTimeField() if part == "timestamp" else models.CharField())
        self.policy = policy
        self.part = part

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        if (cut := self._cut(compiler)) is None:
            raise EmptyResultSet
        value = models.Value(getattr(cut, self.part), output_field=self.output_field)
        sql, params = value.as_sql(compiler, connection)
        return sql, tuple(params)

    def _cut(self, compiler: Any) -> Cut | None:
        known: dict[Policy, Cut | None] = vars(compiler).setdefault("cuts_of_policies", {})
        if self.policy not in known:
            owner = _named(compiler.query.where, self.policy.owner)
            known[self.policy] = None if owner is None else cut_of(self.policy, owner, _alias_of(compiler))
        return known[self.policy]


class Outnumbered(Exists):
    """Whether a row's owner has as many newer records as the policy keeps, in a query that names no owner.

    In one that does it matches nothing: `CutOf` is cheaper there.
    """

    def __init__(self, policy: Policy) -> None:
        count, model = policy.count or 1, apps.get_model("memory", policy.model)
        owned = model.all_objects.unexpired().filter(**policy.lookups).filter(**{policy.owner: OuterRef(policy.owner)})
        newer = Q(timestamp__gt=OuterRef("timestamp")) | Q(timestamp=OuterRef("timestamp"), pk__gt=OuterRef("pk"))
        super().__init__(owned.filter(newer)[count - 1 : count])
        self.policy = policy
        self.row_test_fields: tuple[str, ...] = (policy.owner, "timestamp", "id")

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper, *args: Any, **kwargs: Any) -> Any:
        """As `Exists`, or nothing."""
        if _named(compiler.query.where, self.policy.owner) is not None:
            raise EmptyResultSet
        return super().as_sql(compiler, connection, *args, **kwargs)

    def row_test(self, compiler: Any) -> Callable[[str, datetime, str], bool] | bool:
        """The same for rows that Firestore has returned: the cut of each owner is asked for once."""
        if _named(compiler.query.where, self.policy.owner) is not None:
            return False
        cut = cache(partial(cut_of, self.policy, using=_alias_of(compiler)))
        return lambda owner, timestamp, pk: _is_beyond(timestamp, pk, cut(owner))


def _alias_of(compiler: Any) -> str:
    return str(compiler.using or router.db_for_read(compiler.query.model))


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

"""The planner's input: a query as a tree, without Django's objects.

`query/lowering.py` builds these trees from a `django.db.models.sql.Query`; `query/planner.py` turns them into plans.
Conditions have SQL's three-valued logic: a comparison with null is unknown, and a row matches only if its condition is
true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ..values.types import Ref
from .plan import Compare, Order


@dataclass(frozen=True, slots=True)
class Constant:
    """A condition that is true or false for every row."""

    value: bool


@dataclass(frozen=True, slots=True)
class Opaque:
    """A condition that Firestore cannot evaluate. `unsupported` is its lookup, for example `text__icontains`."""

    unsupported: str


@dataclass(frozen=True, slots=True)
class Not:
    """The negation of a condition. The negation of unknown is unknown."""

    child: Condition


@dataclass(frozen=True, slots=True)
class AllOf:
    """A conjunction of any number of conditions."""

    children: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A disjunction of any number of conditions."""

    children: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Local:
    """A condition that is evaluated on the rows which match the rest, and is no part of Firestore's filter."""

    child: Condition


@dataclass(frozen=True, slots=True)
class RowTest:
    """A function of some columns of a row, which is called for rows that were read. It holds where that is `wanted`."""

    columns: tuple[Ref, ...]
    test: Callable[[tuple[Any, ...]], bool]
    wanted: bool = True


Condition: TypeAlias = Compare | Constant | Opaque | Not | AllOf | AnyOf | Local | RowTest

TRUE: Final = Constant(True)
FALSE: Final = Constant(False)


@dataclass(frozen=True, slots=True)
class Select:
    """Rows of one collection.

    `unsupported` lists the parts of the query besides the condition that Firestore cannot evaluate, such as joins, or
    expressions in the select list or the ordering.
    """

    collection: str
    key: Ref
    columns: tuple[Ref, ...] = ()
    where: Condition = TRUE
    orders: tuple[Order, ...] = ()
    key_parts: tuple[Ref, ...] = ()
    limit: int | None = None
    offset: int = 0
    unsupported: tuple[str, ...] = field(default=())


def all_of(children: Iterable[Condition]) -> Condition:
    """The conjunction, with constants folded and nested conjunctions flattened."""
    flat: list[Condition] = []
    for child in children:
        if child == FALSE:
            return FALSE
        if isinstance(child, AllOf):
            flat.extend(child.children)
        elif child != TRUE:
            flat.append(child)
    return flat[0] if len(flat) == 1 else AllOf(tuple(flat)) if flat else TRUE


def any_of(children: Iterable[Condition]) -> Condition:
    """The disjunction, with constants folded and nested disjunctions flattened."""
    flat: list[Condition] = []
    for child in children:
        if child == TRUE:
            return TRUE
        if isinstance(child, AnyOf):
            flat.extend(child.children)
        elif child != FALSE:
            flat.append(child)
    return flat[0] if len(flat) == 1 else AnyOf(tuple(flat)) if flat else FALSE

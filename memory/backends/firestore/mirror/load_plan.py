"""Plans the loads of a statement: their order, and the conditions that limit each. Pure: no I/O and no Django.

Each alias of each query in a statement is a table reference. The relevant rows of a reference are limited by the
query's own conditions and by links: a joined row is relevant only if a row on the other side of the join has its value.
The most selective references are loaded first, and their values limit the next loads:

    Note.objects.filter(author__name="ann")    authors by name, then notes by the authors' ids
    Note.objects.filter(owner="ann").select_related("author__city")
                                               notes by owner, authors by id, cities by id

A superset of the relevant rows is always correct, because SQLite runs the statement over the loaded rows. So a link is
ignored if following it would cost more calls than it saves documents (`loader.MAX_JOINED`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from ..query.ast import FALSE, TRUE, AnyOf, Condition, Select
from ..query.normalize import negation_normal_form, parts_of, superset_condition
from ..query.plan import Compare, Op, Order
from ..values.types import Ref


@dataclass(frozen=True, slots=True)
class TableRef:
    """A reference to a table: its alias in the statement, and a condition that all relevant rows fulfil.

    `optional`: the reference of an outer join, whose rows do not limit others.
    """

    table: str
    alias: str
    condition: Condition = TRUE
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """Rows of `target` are relevant only if a row of `source` has their `column` value in `source_column`.

    `target` and `source` are positions in `JoinGraph.table_refs`. `required`: source rows without such a row are not
    relevant either (an inner join).
    """

    target: int
    column: Ref
    source: int
    source_column: Ref
    required: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A slice that Firestore can apply to the first table reference, since nothing else adds or removes rows.

    The first `checked` rows are not part of the result: they are read to check whether an inner join removes them.
    `with_own_rows`: the transaction has written to the table. Its own rows are added, and SQLite applies the slice.
    """

    where: Condition
    orders: tuple[Order, ...]
    limit: int
    offset: int
    checked: int = 0
    with_own_rows: bool = False


@dataclass(frozen=True, slots=True)
class JoinGraph:
    """The table references of a statement, and the links between them."""

    table_refs: tuple[TableRef, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """A load of the rows of one table reference (`ref_index`): those that match `condition` and one of the `links`, the
    first with few enough values."""

    ref_index: int
    table: str
    condition: Condition
    links: tuple[Link, ...] = ()
    page: Page | None = None


class Rank(IntEnum):
    """How a table reference can be limited, most selective first. The last may get links from later loads."""

    PAGE = 0
    NOTHING = 1
    BY_KEY = 2
    LINK_TO_KEY = 3
    EQUALITY = 4
    LINK = 5
    CONDITION = 6
    WHOLE = 7
    WHOLE_UNTIL_LINKED = 8


def loads(graph: JoinGraph, page: Page | None = None) -> tuple[Load, ...]:
    """The loads of a statement, in order. Links point from earlier to later loads."""
    if page is not None and not page.with_own_rows and any(link.required for link in graph.links):
        page = replace(page, limit=page.offset + page.limit, offset=0, checked=page.offset)
    table_refs = [
        replace(table_ref, condition=superset_condition(negation_normal_form(table_ref.condition)))
        for table_ref in graph.table_refs
    ]
    whole = (
        {table_ref.table for at, table_ref in enumerate(table_refs) if _must_be_whole(table_ref, at, graph.links)}
        if page is None
        else ()
    )
    done: set[int] = set()
    result: list[Load] = []
    while len(done) < len(table_refs):
        waiting = [at for at in range(len(table_refs)) if at not in done]
        links = {at: _links_to(at, graph.links, done) for at in waiting}
        ranks = {at: _rank(table_refs[at], links[at], page if at == 0 else None, whole) for at in waiting}
        at = min(waiting, key=lambda at: (ranks[at], at))
        done.add(at)
        table_ref = table_refs[at]
        if table_ref.table in whole:
            result.append(Load(at, table_ref.table, TRUE))
        else:
            result.append(Load(at, table_ref.table, table_ref.condition, links[at], page if at == 0 else None))
    return tuple(result)


def _must_be_whole(table_ref: TableRef, at: int, links: Iterable[Link]) -> bool:
    return table_ref.condition == TRUE and not any(link.target == at for link in links)


def _links_to(at: int, links: Iterable[Link], done: Collection[int]) -> tuple[Link, ...]:
    """The links from loaded table references, those to a primary key first."""
    found = [link for link in links if link.target == at and link.source in done]
    return tuple(sorted(found, key=lambda link: not link.column.key))


def _rank(table_ref: TableRef, links: tuple[Link, ...], page: Page | None, whole: Collection[str]) -> Rank:
    if page is not None:
        return Rank.PAGE
    if table_ref.table in whole:
        return Rank.WHOLE
    own = rank_of(table_ref.condition)
    if not links:
        return Rank.WHOLE_UNTIL_LINKED if table_ref.optional or own is Rank.WHOLE else own
    return min(own, Rank.LINK_TO_KEY if links[0].column.key else Rank.LINK)


def rank_of(condition: Condition) -> Rank:
    """The rank of a condition in negation normal form by itself."""
    if condition == FALSE:
        return Rank.NOTHING
    if condition == TRUE:
        return Rank.WHOLE
    return min(_rank_of_part(part) for part in parts_of(condition))


def _rank_of_part(part: Condition) -> Rank:
    match part:
        case Compare(ref, Op.EQ | Op.IN):
            return Rank.BY_KEY if ref.key else Rank.EQUALITY
        case AnyOf(children):
            return max(rank_of(child) for child in children)
        case _:
            return Rank.CONDITION


def sliced(select: Select, page: Page) -> Select:
    """The select for a slice."""
    return replace(select, where=page.where, orders=page.orders, limit=page.limit, offset=page.offset)


def count_by_alias(table_refs: Iterable[TableRef]) -> Mapping[tuple[str, str], int]:
    """The number of references by table and alias."""
    counts: dict[tuple[str, str], int] = {}
    for table_ref in table_refs:
        counts[table_ref.table, table_ref.alias] = counts.get((table_ref.table, table_ref.alias), 0) + 1
    return counts


def with_hidden_refs(graph: JoinGraph, named: Mapping[tuple[str, str], int]) -> JoinGraph:
    """The graph with an additional reference to each table that the SQL names more often than the graph does.

    `named` counts tables and aliases in the SQL. Raw SQL fragments can contain references that the analysis misses.
    """
    known = count_by_alias(graph.table_refs)
    hidden = {table for (table, alias), count in named.items() if known.get((table, alias), 0) < count}
    return replace(graph, table_refs=(*graph.table_refs, *(TableRef(table, "") for table in sorted(hidden))))


def restricted_to(graph: JoinGraph, tables: Collection[str]) -> JoinGraph:
    """The graph without references that are not in the SQL: Django leaves out conditions that cannot match."""
    kept = [at for at, table_ref in enumerate(graph.table_refs) if table_ref.table in tables]
    place = {at: position for position, at in enumerate(kept)}
    return JoinGraph(tuple(graph.table_refs[at] for at in kept), tuple(_placed(graph.links, place)))


def _placed(links: Iterable[Link], place: Mapping[int, int]) -> Iterator[Link]:
    for link in links:
        if link.target in place and link.source in place:
            yield replace(link, target=place[link.target], source=place[link.source])

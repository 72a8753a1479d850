"""Which indexes serve a query: Firestore's rules, applied to a manifest. Pure: no I/O.

A query is the union of conjunctions (its disjunctive normal form). Each conjunction has fields that are compared for
equality, and a sort order. An index serves it if the index is some of the equality fields, in any order, and then
exactly the sort order with its directions. Indexes with the same sort order are merged: together they must have all
equality fields.

`RULES` has the rules with their sources; the tests have documented examples of each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import Any, Final, TypeAlias

from ..query.plan import And, Compare, Filter, Get, Merge, Nearest, Order, Query, Read
from ..rpc import messages
from ..values import document_ids
from ..values.types import DOCUMENT_ID, Kind, Ref
from .definitions import ARRAYS, ASCENDING, DESCENDING, NAME, Definition, definition, sorted_field, vector_field

CONTAINS: Final = "CONTAINS"
DIRECTIONS: Final = frozenset({ASCENDING, DESCENDING})
AUTOMATIC_MODES: Final = frozenset({ASCENDING, DESCENDING, CONTAINS})
COLLECTION: Final = "COLLECTION"
EVERY_FIELD: Final = "*"

_OVERVIEW: Final = "https://firebase.google.com/docs/firestore/query-data/index-overview"
_RANGES: Final = "https://firebase.google.com/docs/firestore/query-data/multiple-range-fields"
_AGGREGATES: Final = "https://firebase.google.com/docs/firestore/query-data/aggregation-queries"
_VECTORS: Final = "https://firebase.google.com/docs/firestore/vector-search"
_FILTERS: Final = "https://firebase.google.com/docs/firestore/query-data/queries"

RULES: Final[Mapping[str, tuple[str, str]]] = {
    "documents by id": (
        "Reads by id, and all documents in the order of their ids, need no index.",
        f"{_OVERVIEW}#default_ordering_and_the___name___field",
    ),
    "automatic": (
        "Each field and map subfield has an ascending and a descending index, and one for array-contains.",
        f"{_OVERVIEW}#automatic_indexing",
    ),
    "exemptions": (
        "A field override replaces the automatic indexes of a field and of its subfields; `*` is every field.",
        f"{_OVERVIEW}#single-field_index_exemptions",
    ),
    "equalities": (
        "Equalities, `in` and array-contains are served by merging the indexes of their fields.",
        f"{_OVERVIEW}#use_index_merging",
    ),
    "equality direction": (
        "A field compared for equality may have either direction in the index, and any place among the equalities.",
        f"{_OVERVIEW}#queries_supported_by_manual_indexes",
    ),
    "one range or order": (
        "A range, an inequality or an order on one field alone is served by the field's own index.",
        f"{_OVERVIEW}#queries_supported_by_single-field_indexes",
    ),
    "equality and order": (
        "An equality with a range or an order on another field needs an index of both.",
        f"{_OVERVIEW}#queries_supported_by_manual_indexes",
    ),
    "order direction": (
        "The sort fields of the index have the directions of the query; the opposite ones are another index.",
        f"{_OVERVIEW}#queries_supported_by_manual_indexes",
    ),
    "name direction": (
        "An index ends in `__name__`, in the direction of its last sorted field unless it has another one. A query "
        "ends in it too, so a query in the other direction needs an index that names it.",
        f"{_OVERVIEW}#default_ordering_and_the___name___field",
    ),
    "merging": (
        "Indexes that end in the query's sort order are merged: each has some of its equalities, together all.",
        f"{_OVERVIEW}#use_index_merging",
    ),
    "several ranges": (
        "Ranges on several fields, and orders by several, need one index of all of them: the query's orders, then the "
        "other fields of inequalities by name, in the direction of the last order.",
        f"{_RANGES}#indexing_considerations",
    ),
    "disjunctions": (
        "Each disjunct of `or` and `in` needs an index; all have the sort order of the whole query.",
        f"{_FILTERS}#or_queries",
    ),
    "aggregates": (
        "A sum or an average needs its field in the index, after the sort order. A count needs the query's own index.",
        f"{_AGGREGATES}#behavior_and_limitations",
    ),
    "vectors": (
        "A search of nearest vectors needs a vector index of their dimension, with the fields of its filters before "
        "the vector. Vector indexes are not merged.",
        f"{_VECTORS}#create_and_manage_vector_indexes",
    ),
    "scope": (
        "Queries of one collection need indexes of the collection scope.",
        f"{_OVERVIEW}#query_scopes",
    ),
}
"""The rules by name: a sentence, and its source."""

Mode: TypeAlias = str | int
"""How a field is indexed: ASCENDING, DESCENDING or CONTAINS; an integer is the dimension of a vector."""
Path: TypeAlias = tuple[str, ...]
Index: TypeAlias = tuple[tuple[str, Mode], ...]
"""The fields of an index with their modes, `__name__` at the end, but not after a vector."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one conjunction of a query needs.

    `equal` are its equality fields, with CONTAINS for array comparisons. `order` are the sort fields, then aggregated
    ones, then `__name__`, each with the modes that serve it.
    """

    collection: str
    equal: frozenset[tuple[Path, bool]]
    order: tuple[tuple[Path, frozenset[Mode]], ...]


class Catalog:
    """The indexes of a manifest, and Firestore's automatic ones."""

    def __init__(self, indexes: Iterable[Definition] = (), overrides: Iterable[Definition] = ()) -> None:
        self._composites: dict[str, list[Index]] = {}
        for index in indexes:
            if index.get("queryScope", COLLECTION) == COLLECTION:
                self._composites.setdefault(index["collectionGroup"], []).append(_index(index["fields"]))
        self._overrides = {
            (override["collectionGroup"], override["fieldPath"]): frozenset(
                _mode(field) for field in override["indexes"] if field.get("queryScope", COLLECTION) == COLLECTION
            )
            for override in overrides
            if "indexes" in override
        }
        self._known: dict[Need, bool] = {}

    def composites(self, collection: str) -> Sequence[Index]:
        """The composite indexes of a collection."""
        return self._composites.get(collection, ())

    def automatic(self, collection: str, path: Path) -> Collection[Mode]:
        """The modes of a field's own indexes: those of its override, of the nearest map's, of `*`, or the default."""
        names = [document_ids.field_path(path[:length]) for length in range(len(path), 0, -1)]
        found = (self._overrides.get((collection, name)) for name in (*names, EVERY_FIELD))
        return next((modes for modes in found if modes is not None), AUTOMATIC_MODES)

    def serves(self, read: Read, aggregated: Sequence[Ref] = ()) -> bool:
        """Whether the read can run."""
        return self.missing(read, aggregated) is None

    def missing(self, read: Read, aggregated: Sequence[Ref] = ()) -> Definition | None:
        """The entry of `indexes` that the read lacks, or None. `aggregated` are the columns of sums and averages."""
        if isinstance(read, Get):
            return None
        if isinstance(read, Merge):
            return next((found for one in read.branches if (found := self.missing(one, aggregated))), None)
        if isinstance(read, Nearest):
            return self._missing_vector(read)
        return next((_as_definition(need) for need in needs(read, aggregated) if not self._is_served(need)), None)

    def served(self, read: Read, aggregated: Sequence[Ref] = ()) -> Read | None:
        """The read, or one of the same rows in another order, as indexes serve it; None without an index.

        Only reads without an order are put into one. It is that of an index whose sort fields include those of all
        inequalities: an index on other fields than the filter's holds the same documents, since they have all columns.
        """
        if self.serves(read, aggregated):
            return read
        if not isinstance(read, Query) or read.orders or read.start_after or aggregated:
            return None
        return next((one for one in self._reordered(read) if self.serves(one)), None)

    def _reordered(self, query: Query) -> Iterator[Query]:
        """The query in the order of each index that has the fields of its inequalities, shorter ones first."""
        unequal = {document_ids.field_path(ref.path) for ref in messages.inequality_refs(query.where)}
        for index in sorted(self.composites(query.collection), key=len):
            fields = [field for field in index if field[0] != NAME]
            for at in range(len(fields) - 1, -1, -1):
                order = fields[at:]
                if unequal <= {path for path, _ in order} and all(_is_column(*field) for field in order):
                    orders = tuple(Order(Ref((path,), Kind.ANY), mode == DESCENDING) for path, mode in order)
                    yield replace(query, orders=orders)

    def _is_served(self, need: Need) -> bool:
        known = self._known.get(need)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[need] = self._serves(need)
        return known

    def _serves(self, need: Need) -> bool:
        if not need.equal and need.order[0] == ((NAME,), frozenset({ASCENDING})):
            return True
        equal = {document_ids.field_path(path): (CONTAINS,) if array else DIRECTIONS for path, array in need.equal}
        order = [(document_ids.field_path(path), modes) for path, modes in need.order]
        serving = [prefix for index in self._candidates(need) if (prefix := _serving(index, equal, order)) is not None]
        return bool(serving) and set(chain.from_iterable(serving)) == set(equal)

    def _candidates(self, need: Need) -> Iterator[Index]:
        yield from self.composites(need.collection)
        for path in dict.fromkeys([*(path for path, _ in need.equal), need.order[0][0]]):
            name = document_ids.field_path(path)
            for mode in self.automatic(need.collection, path) if name != NAME else ():
                yield _with_name(((name, mode),))

    def _missing_vector(self, read: Nearest) -> Definition | None:
        equal = {path: array for some in conjunctions(read.query.where) for path, array in some}
        ranges = dict.fromkeys(ref.path for ref in messages.inequality_refs(read.query.where))
        before = [_equal_field(path, array) for path, array in sorted(equal.items()) if path not in ranges]
        vector = vector_field(document_ids.field_path(read.ref.path), len(read.vector))
        after = [*(sorted_field(document_ids.field_path(path)) for path in ranges), vector]
        wanted = definition(read.query.collection, [*before, *after])
        *fields, last = _index(wanted["fields"])
        for index in self.composites(read.query.collection):
            if index[-1] == last and len(index) == len(fields) + 1 and _same_filters(index, fields, len(before)):
                return None
        return wanted


AUTOMATIC: Final = Catalog()
"""The automatic indexes alone."""

_MOST_KNOWN: Final = 10_000


def needs(query: Query, aggregated: Sequence[Ref] = ()) -> Iterator[Need]:
    """What the conjunctions of a query need."""
    orders = messages.total_orders(query)
    modes: dict[Path, frozenset[Mode]] = {one.ref.path: frozenset({_direction(one)}) for one in orders}
    last = modes.pop(DOCUMENT_ID.path)
    for ref in aggregated:
        modes.setdefault(ref.path, DIRECTIONS)
    order = (*modes.items(), (DOCUMENT_ID.path, DIRECTIONS if aggregated else last))
    for equal in conjunctions(query.where):
        yield Need(query.collection, frozenset(one for one in equal if one[0] not in modes), order)


def conjunctions(where: Filter | None) -> Collection[frozenset[tuple[Path, bool]]]:
    """The equality fields of each conjunction of a filter's disjunctive normal form, without duplicates.

    A field is true if it is compared by array-contains. `__name__` is left out: every index ends in it.
    """
    match where:
        case None:
            return [frozenset()]
        case Compare(ref, op):
            skipped = op in messages.INEQUALITIES or ref.path == DOCUMENT_ID.path
            return [frozenset() if skipped else frozenset({(ref.path, op in ARRAYS)})]
        case And(children):
            some = (conjunctions(child) for child in children)
            return list(dict.fromkeys(frozenset().union(*one) for one in product(*some)))
        case _:
            return list(dict.fromkeys(chain.from_iterable(conjunctions(child) for child in where.children)))


def _is_column(path: str, mode: Mode) -> bool:
    """Whether it is the sorted field of a whole column, which all documents have."""
    return mode in DIRECTIONS and path.isidentifier()


def _direction(order: Order) -> str:
    return DESCENDING if order.descending else ASCENDING


def _index(fields: Iterable[Mapping[str, Any]]) -> Index:
    return _with_name(tuple((_normal(field["fieldPath"]), _mode(field)) for field in fields))


_QUOTED: Final = re.compile(r"`((?:[^`\\]|\\.)*)`|([^.`]+)")


def _normal(path: str) -> str:
    """A field path in the engine's spelling: quotes only where they are needed."""
    segments = [re.sub(r"\\(.)", r"\1", quoted) if quoted else plain for quoted, plain in _QUOTED.findall(path)]
    return path if path == NAME else ".".join(map(document_ids.quoted, segments))


def _mode(field: Mapping[str, Any]) -> Mode:
    if "vectorConfig" in field:
        return int(field["vectorConfig"]["dimension"])
    return str(field.get("order") or field["arrayConfig"])


def _with_name(fields: Index) -> Index:
    """The index as Firestore completes it."""
    path, mode = fields[-1]
    if path == NAME or isinstance(mode, int):
        return fields
    return (*fields, (NAME, mode if mode in DIRECTIONS else ASCENDING))


def _serving(
    index: Index, equal: Mapping[str, Collection[Mode]], order: Sequence[tuple[str, Collection[Mode]]]
) -> list[str] | None:
    """The equality fields that an index serves, or None if it does not serve the query."""
    at = len(index) - len(order)
    if at < 0 or not all(
        path == wanted and mode in modes for (path, mode), (wanted, modes) in zip(index[at:], order, strict=True)
    ):
        return None
    return [path for path, _ in index[:at]] if all(mode in equal.get(path, ()) for path, mode in index[:at]) else None


def _same_filters(index: Index, fields: Sequence[tuple[str, Mode]], equalities: int) -> bool:
    """Whether a vector index has these fields: the equalities in any order and direction, then the ranges."""
    own = {path: {mode} if mode == CONTAINS else DIRECTIONS for path, mode in fields[:equalities]}
    return (
        {path for path, _ in index[:equalities]} == set(own)
        and all(mode in own[path] for path, mode in index[:equalities])
        and [path for path, _ in index[equalities:-1]] == [path for path, _ in fields[equalities:]]
    )


def _equal_field(path: Path, array: bool) -> dict[str, Any]:
    name = document_ids.field_path(path)
    return {"fieldPath": name, "arrayConfig": CONTAINS} if array else sorted_field(name)


def _as_definition(need: Need) -> Definition:
    *order, (_, name_modes) = need.order
    fields = [_equal_field(path, array) for path, array in sorted(need.equal)]
    fields += [sorted_field(document_ids.field_path(path), ASCENDING not in modes) for path, modes in order]
    implied = fields[-1].get("order", ASCENDING) if fields else ASCENDING
    if implied not in name_modes:
        fields.append(sorted_field(NAME, ASCENDING not in name_modes))
    return definition(need.collection, fields)

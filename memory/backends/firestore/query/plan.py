"""Plans for Firestore as frozen dataclasses: the interface between the planner and the executor.

The planner builds plans and the executor runs them. This module imports neither Django nor google nor grpc.

Values are plain Python. Each value has a `Ref`, whose `Kind` (`values/types.py`) determines how the codec encodes and
decodes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, TypeAlias

from ..values.types import Ref


class Op(StrEnum):
    """Firestore's comparison operators. `IN` and `NOT_IN` take a tuple; the unary operators take no value.

    `ABSENT` and `PRESENT` are of columns that documents may lack: null or missing, and its negation. Firestore does not
    find documents without a field, so no filter has `ABSENT`.
    """

    __hash__ = str.__hash__  # an enum's own takes a call

    EQ = "=="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    IN = "in"
    NOT_IN = "not-in"
    IS_NULL = "is null"
    IS_NOT_NULL = "is not null"
    ABSENT = "is null or missing"
    PRESENT = "is present"
    IS_NOT_NAN = "is not nan"
    ARRAY_CONTAINS = "array-contains"
    ARRAY_CONTAINS_ANY = "array-contains-any"


@dataclass(frozen=True, slots=True)
class Compare:
    """Compares a field with a constant of the field's kind."""

    ref: Ref
    op: Op
    value: Any = None


@dataclass(frozen=True, slots=True)
class And:
    """A conjunction of two or more filters."""

    children: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """A disjunction of two or more filters."""

    children: tuple[Filter, ...]


Filter: TypeAlias = Compare | And | Or


@dataclass(frozen=True, slots=True)
class Order:
    """One sort key. Firestore sorts nulls first, or last when descending."""

    ref: Ref
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """One structured query over a root collection.

    A row has the values of `columns`, in order; without columns only keys are read and rows are empty tuples.
    `start_after` has one value per order. `limit=None` reads all rows.
    """

    collection: str
    columns: tuple[Ref, ...] = ()
    where: Filter | None = None
    orders: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    start_after: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Merge:
    """Several queries with the same columns and orders, merged in that order.

    Used for an `in` or disjunctions beyond the limits of one query. The executor reads at most `offset + limit` rows
    of each branch, merges them by `orders` and then by document id, drops duplicate documents if `overlapping`, and
    applies `offset` and `limit`. The columns of the orders need not be among `columns`.
    """

    branches: tuple[Query, ...]
    overlapping: bool = True
    limit: int | None = None
    offset: int = 0

    @property
    def columns(self) -> tuple[Ref, ...]:
        """The columns of all branches."""
        return self.branches[0].columns


@dataclass(frozen=True, slots=True)
class Get:
    """Documents by id, in the order of `ids`. Missing documents are left out, duplicate ids are read once."""

    collection: str
    ids: tuple[str, ...]
    columns: tuple[Ref, ...] = ()


class Measure(StrEnum):
    """The distance measures of `find_nearest`."""

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"
    DOT_PRODUCT = "dot_product"


@dataclass(frozen=True, slots=True)
class Nearest:
    """The `limit` (1 to 1000) documents nearest to `vector`, nearest first, among those that match `query.where`.

    `query` has the collection, columns and filter; its orders, limit and offset are empty. The executor requests
    `offset + limit` documents and drops the first `offset`. `defined` excludes documents without a distance, which
    Firestore returns last, with NaN.
    """

    query: Query
    ref: Ref
    vector: tuple[float, ...]
    measure: Measure
    limit: int
    offset: int = 0
    distance: bool = False
    defined: bool = False
    threshold: float | None = None

    @property
    def columns(self) -> tuple[Ref, ...]:
        """The query's columns. With `distance`, rows have one more value, None if the distance is undefined."""
        return self.query.columns


Read: TypeAlias = Query | Merge | Get | Nearest


def collections_of(read: Read) -> list[str]:
    """The collections of a read, without duplicates."""
    match read:
        case Merge(branches):
            return list(dict.fromkeys(branch.collection for branch in branches))
        case Nearest(query):
            return [query.collection]
        case Query(collection) | Get(collection):
            return [collection]


def with_columns(read: Read, columns: tuple[Ref, ...]) -> Read:
    """The read with these columns prepended to its own."""
    match read:
        case Nearest(query):
            return replace(read, query=replace(query, columns=(*columns, *query.columns)))
        case Merge(branches):
            made = tuple(replace(branch, columns=(*columns, *branch.columns)) for branch in branches)
            return replace(read, branches=made)
        case Query() | Get():
            return replace(read, columns=(*columns, *read.columns))


class Function(StrEnum):
    """Aggregations that the server computes."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregate over the rows of `source`, after its limit and offset.

    Over a `Merge` only COUNT is supported. If branches overlap, the executor counts distinct ids.
    """

    source: Query | Merge
    function: Function
    ref: Ref | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """Creates a document. The outcome is `EXISTS` if the id exists; `refusal` is the error message for that case.

    `content` is the message of the columns and values, if it was made already.
    """

    collection: str
    id: str
    columns: tuple[Ref, ...]
    values: tuple[Any, ...]
    refusal: str = ""
    content: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Put:
    """Creates or replaces a document. Columns that are not given are removed.

    With `must_exist` the outcome is `MISSING` if there is no document. For `content` see `Create`.
    """

    collection: str
    id: str
    columns: tuple[Ref, ...]
    values: tuple[Any, ...]
    must_exist: bool = False
    content: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Update:
    """Updates columns of a document.

    The outcome is `MISSING` if the document does not exist, and `STALE` if `version` is given and the document was
    written after it was read. `increments` add constants on the server; their columns are not among `columns`.

    `least` and `greatest` replace numbers by smaller and greater ones only. With `upsert` a missing document is
    created, with these columns and no others.
    """

    collection: str
    id: str
    columns: tuple[Ref, ...] = ()
    values: tuple[Any, ...] = ()
    increments: tuple[tuple[Ref, int | float], ...] = ()
    version: Any = None
    least: tuple[tuple[Ref, Any], ...] = ()
    greatest: tuple[tuple[Ref, Any], ...] = ()
    upsert: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes a document. With `must_exist` or a `version` the outcome may be `MISSING` or `STALE`."""

    collection: str
    id: str
    must_exist: bool = False
    version: Any = None


Write: TypeAlias = Create | Put | Update | Delete


@dataclass(frozen=True, slots=True)
class Group:
    """Writes that are applied or fail together, in one commit: rows and their markers.

    Each document occurs once. The outcome is that of the row; `STALE` if a marker, or one of several rows, was changed
    after it was read; `EXISTS` if a document or marker to create exists. An `optional` group is then skipped, and the
    rest of the commit is applied.
    """

    rows: tuple[Write, ...]
    markers: tuple[Write, ...] = ()
    optional: bool = False


Change: TypeAlias = Write | Group


def parts(change: Change) -> tuple[Write, ...]:
    """The writes of a change, rows first."""
    return (*change.rows, *change.markers) if isinstance(change, Group) else (change,)


def optional(change: Change) -> Group:
    """The change as an optional group, which is skipped if a document that it creates exists."""
    return Group(rows_of(change), change.markers if isinstance(change, Group) else (), optional=True)


def rows_of(change: Change) -> tuple[Write, ...]:
    """The writes of a change's rows."""
    return change.rows if isinstance(change, Group) else (change,)


Increments: TypeAlias = dict[tuple[str, str], Mapping[str, Any]]
"""The values that the server computed (increments, times of the commit) by column, for each collection and id."""


class Outcome(StrEnum):
    """The outcome of one write."""

    APPLIED = "applied"
    EXISTS = "exists"
    MISSING = "missing"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Rpc:
    """A finished RPC, for `connection.queries` and the cost middleware. `error` is the name of the gRPC status."""

    method: str
    description: str
    seconds: float
    documents_read: int = 0
    documents_written: int = 0
    error: str | None = None


# Limits of Firestore (Standard edition), https://firebase.google.com/docs/firestore/quotas
MAX_IN_VALUES: Final = 30
MAX_NOT_IN_VALUES: Final = 10
MAX_DISJUNCTIONS: Final = 30
MAX_INEQUALITY_FIELDS: Final = 10
MAX_FILTERS_AND_ORDERS: Final = 100  # counted on the disjunctive normal form
MAX_NEAREST: Final = 1000
MAX_FILTER_BYTES: Final = 1500  # longer values cannot be used in filters
TEXT_END: Final = (
    1  # a text's size is its UTF-8 length plus one: https://firebase.google.com/docs/firestore/storage-size
)


def conjuncts(where: Filter | None) -> Sequence[Filter]:
    """The conjuncts of a filter."""
    if where is None:
        return ()
    return where.children if isinstance(where, And) else (where,)

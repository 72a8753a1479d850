"""What is asked of Firestore, as frozen data: the contract between the planner and the executor.

The planner builds these, the executor runs them, and nothing in here knows Django, google or the network.

Values are plain Python. Every value travels with a `Ref`, whose `Kind` tells the codec how the value is
spelled on the wire; the same `Kind` tells it what to give back. `None` is SQL's NULL and is always written
as an explicit null. In a `Kind.JSON` column JSON's own null is the constant `JSON_NULL`, at the top level
only (inside a document it is `None`).

What each kind holds in Python:

    BOOLEAN bool · INTEGER int (int64) · FLOAT float · TEXT str · BINARY bytes · DATETIME aware datetime (UTC)
    DATE date · TIME time (naive) · DURATION timedelta · DECIMAL Decimal · UUID uuid.UUID
    JSON any JSON value · VECTOR list[float] · ANY whatever the wire's own type says
    WIRE a value that is spelled for the wire already

Executor, as the engine calls it (`rpc/executor.py`)::

    class Executor:
        def __init__(self, target: channel.Target, *, timeout: float,
                     wrap_call: Callable[[str, Callable[[], T]], T], log: Callable[[Rpc], None]) -> None
            `wrap_call(description, send)` must be used to start each RPC (it returns what `send()` returns);
            `log(rpc)` is called once when an RPC ended, also when it failed. No I/O happens in the
            constructor.
        def run(self, read: Read, *, transaction: bytes | None = None) -> Iterator[tuple[Any, ...]]
            Rows in the order of `read.columns` (a `Nearest` with `distance=True` adds the distance as a last
            float). Lazy: nothing is sent before the first row is asked for; closing the iterator cancels the
            stream.
        def aggregate(self, aggregates: Sequence[Aggregate], *, transaction: bytes | None = None) ->
        tuple[Any, ...]
            One value for each, as Firestore defines them (count and sum of nothing 0, avg of nothing None);
            several over the same source may share an RPC, where that cannot change an answer.
        def commit(self, writes: Sequence[Change], *, isolate: bool = False) -> list[Outcome]
            One outcome for each write or group, in order. `isolate=False`: each commit is all or nothing; a
            conflict raises IntegrityError whose `rows` are the positions of the writes that were not applied.
            `isolate=True`: a write whose precondition failed is reported in its outcome and the others are
            applied, except that an id that is taken where a group changes rows raises, too.
        def commit_whole(self, writes: Sequence[Change], transaction: bytes | None = None, *,
                         divisible: bool = False) -> None
            All writes in one commit, each document once; ends the server's transaction, if there is one. If
            `divisible`, in several where one would be too large, but for groups.
        def documents(self, keys: Sequence[tuple[str, str]], *, whole: bool = True,
                      transaction: bytes | None = None) -> dict[tuple[str, str], Message]
            Documents by collection and id, those that exist; without `whole` no column is read.
        def begin(self, *, retry: bytes | None = None) -> bytes
            Begins a transaction on the server; `retry` names one that was aborted and is tried again.
        def rollback(self, transaction: bytes) -> None
        def collections(self) -> list[str]           ids of the root collections
        def ping(self) -> None                       one cheap read
        def clear(self, collection: str) -> int      deletes every document, returns how many

    channel.target(settings_dict: Mapping[str, Any]) -> channel.Target    from one entry of DATABASES
    names.document_id(value: Any, kind: Kind) -> str     ValueError if no document may be called so
    names.document_key(id: str, kind: Kind) -> Any       the inverse

Document ids: TEXT is itself, INTEGER is 19 digits ("0000000000000000007"; a negative one is "-" and the
digits of 10**19 + n), so that the order of ids is the order of numbers, UUID is str(), every other kind its
stored text form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypeAlias

from ..values.types import Ref


class Op(StrEnum):
    """Comparisons that Firestore knows. `IN` and `NOT_IN` take a tuple; the unary ones take no value."""

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
    IS_NOT_NAN = "is not nan"
    ARRAY_CONTAINS = "array-contains"
    ARRAY_CONTAINS_ANY = "array-contains-any"


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison of a place with a constant, of the place's kind."""

    ref: Ref
    op: Op
    value: Any = None


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more filters."""

    children: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of two or more filters."""

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

    `columns` are what a row holds, in order; empty reads keys only (rows are empty tuples). `start_after`
    holds one value for each of `orders`. `limit=None` reads to the end.
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
    """Several queries with the same columns and orders, answered as one in that order.

    For an `in` wider than a query takes, or for more disjunctions. The executor asks each branch for `offset
    + limit` rows at most, merges by `orders` (by document id where they tie or are empty), drops a document
    that it has seen if `overlapping`, and then applies `offset` and `limit`. The order columns need not be
    among `columns`.
    """

    branches: tuple[Query, ...]
    overlapping: bool = True
    limit: int | None = None
    offset: int = 0

    @property
    def columns(self) -> tuple[Ref, ...]:
        """The columns that all branches share."""
        return self.branches[0].columns


@dataclass(frozen=True, slots=True)
class Get:
    """Documents by id, in the order of `ids`; those that do not exist are left out, doubles are read once."""

    collection: str
    ids: tuple[str, ...]
    columns: tuple[Ref, ...] = ()


class Measure(StrEnum):
    """Distances that `find_nearest` knows."""

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"
    DOT_PRODUCT = "dot_product"


@dataclass(frozen=True, slots=True)
class Nearest:
    """The `limit` (1 to 1000) documents nearest to `vector`, nearest first, among those that pass
    `query.where`.

    `query` carries collection, columns and where; its orders, limit and offset are empty. `offset` rows are
    dropped from the front by the executor (which asks for `offset + limit`). `defined` leaves out documents without
    a distance: Firestore puts them last and says NaN.
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
        """The query's columns; with `distance` a row has one value more, None where it is undefined."""
        return self.query.columns


Read: TypeAlias = Query | Merge | Get | Nearest


def collections_of(read: Read) -> list[str]:
    """The collections that a read asks, each once."""
    match read:
        case Merge(branches):
            return list(dict.fromkeys(branch.collection for branch in branches))
        case Nearest(query):
            return [query.collection]
        case Query(collection) | Get(collection):
            return [collection]


def with_columns(read: Read, columns: tuple[Ref, ...]) -> Read:
    """The same read with these columns before its own."""
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
    """One number over the rows of `source` (its columns do not matter; its limit and offset do).

    Over a `Merge` only COUNT is asked; where branches overlap, the executor counts distinct ids.
    """

    source: Query | Merge
    function: Function
    ref: Ref | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """A new document. Outcome `EXISTS` if the id is taken; `refusal` is what an error then says."""

    collection: str
    id: str
    columns: tuple[Ref, ...]
    values: tuple[Any, ...]
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Put:
    """A document as given, in place of the one that was there, if any (columns not given are dropped).

    With `must_exist` the outcome is `MISSING` where there was none.
    """

    collection: str
    id: str
    columns: tuple[Ref, ...]
    values: tuple[Any, ...]
    must_exist: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Some columns of a document that must exist (outcome `MISSING`), and, if `version` is given, that must
    not have been written since it was read (outcome `STALE`).

    `increments` add a constant to numbers on the server; their columns are not among `columns`.
    """

    collection: str
    id: str
    columns: tuple[Ref, ...] = ()
    values: tuple[Any, ...] = ()
    increments: tuple[tuple[Ref, int | float], ...] = ()
    version: Any = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Removes a document. With `must_exist` or a `version` the outcome tells `MISSING` or `STALE`."""

    collection: str
    id: str
    must_exist: bool = False
    version: Any = None


Write: TypeAlias = Create | Put | Update | Delete


@dataclass(frozen=True, slots=True)
class Group:
    """Writes that are applied or refused as one, in one commit: rows, and the markers that go with them.

    No document is in it twice. The outcome is the row's; `STALE` where a marker was changed since it was read, or
    any of several rows; `EXISTS` where a document or marker to be created is there. An `optional` group is left out
    then, whatever else the commit holds.
    """

    rows: tuple[Write, ...]
    markers: tuple[Write, ...] = ()
    optional: bool = False


Change: TypeAlias = Write | Group


def parts(change: Change) -> tuple[Write, ...]:
    """The writes of a change, rows first."""
    return (*change.rows, *change.markers) if isinstance(change, Group) else (change,)


def optional(change: Change) -> Group:
    """The change, left out where what it creates is there."""
    return Group(rows_of(change), change.markers if isinstance(change, Group) else (), optional=True)


def rows_of(change: Change) -> tuple[Write, ...]:
    """The writes of a change that are about rows."""
    return change.rows if isinstance(change, Group) else (change,)


class Outcome(StrEnum):
    """What became of one write."""

    APPLIED = "applied"
    EXISTS = "exists"
    MISSING = "missing"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Rpc:
    """One call that ended: what `connection.queries` and the cost middleware learn. `error` is the gRPC
    code's name."""

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
MAX_FILTER_BYTES: Final = 1500  # a longer value cannot be compared with
TEXT_END: Final = (
    1  # a text's size is that of its UTF-8 and one: https://firebase.google.com/docs/firestore/storage-size
)


def conjuncts(where: Filter | None) -> Sequence[Filter]:
    """The parts of a filter that must all hold."""
    if where is None:
        return ()
    return where.children if isinstance(where, And) else (where,)

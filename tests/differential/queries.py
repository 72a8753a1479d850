"""Querysets as data: hypothesis generates them, `run` executes them, and `outcome` makes results comparable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import FieldError, ObjectDoesNotExist
from django.db import DatabaseError, models
from django.db.models import Avg, Case, Count, F, Max, Min, Q, Sum, Value, When
from django.db.models.functions import Coalesce, Length, Lower, TruncDate, TruncTime, Upper
from hypothesis import strategies as st

# --- values --------------------------------------------------------------------------------------------------------

TEXT = st.text(st.sampled_from("aAbBzéß%_\\'\".~￮😀 \n"), max_size=4)
INTEGERS = st.integers(-3, 3) | st.sampled_from([-32768, 32767])
BIG = st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1, 2**53 + 1])
FLOATS = st.sampled_from([0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, 3.0])
DAYS = st.sampled_from([date(1, 1, 1), date(2024, 2, 29), date(2024, 12, 31), date(2025, 1, 1), date(9999, 12, 31)])
MOMENTS = st.sampled_from(
    [
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(2024, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2025, 1, 1, tzinfo=UTC),
        datetime(2025, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 30, 12, 30, tzinfo=UTC),
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.5, 2.0, 2**40, 10**30, -(10**19)])
    | st.sampled_from(["", "a", "B", "é"]),
    lambda inside: (
        st.lists(inside, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "k.k", ""]), inside, max_size=2)
    ),
    max_leaves=4,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "number": INTEGERS,
    "name": TEXT,
    "moment": MOMENTS,
    "truth": st.booleans(),
    "small": INTEGERS,
    "big": BIG,
    "real": FLOATS,
    "exact": st.sampled_from(
        [Decimal(text) for text in ("0", "-0.0001", "1.5", "-99999999.9999", "99999999.9999", "10")]
    ),
    "text": TEXT,
    "day": DAYS,
    "instant": MOMENTS,
    "clock": st.sampled_from([time(0), time(0, 0, 0, 1), time(12, 30), time(23, 59, 59, 999999)]),
    "span": st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(days=-400), timedelta(days=9999)]),
    "key": st.sampled_from([UUID(int=0), UUID(int=2**128 - 1), UUID(int=0xABC)]),
    "raw": st.binary(max_size=3),
    "address": st.sampled_from(["127.0.0.1", "::1", "10.0.0.255"]),
    "data": JSON,
}
# Numbers with more digits than the column.
UNSTORABLE = st.sampled_from([Decimal(text) for text in ("1.50001", "1.49999", "1e12", "-1e30")])
REQUIRED = ("number", "name", "moment")


@st.composite
def rows(draw: st.DrawFn, size: int = 8) -> list[dict[str, Any]]:
    """Values for some records with separate ids."""
    ids = draw(st.lists(st.text(st.sampled_from("abZé0~"), min_size=1, max_size=3), unique=True, max_size=size))
    return [
        {"id": pk, **{name: draw(kind if name in REQUIRED else st.none() | kind) for name, kind in VALUES.items()}}
        for pk in ids
    ]


# --- conditions ----------------------------------------------------------------------------------------------------

COMPARISONS = ("exact", "gt", "gte", "lt", "lte")
PATTERNS = ("contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "iexact")
ORDERED = ("number", "name", "moment", "small", "big", "real", "exact", "text", "day", "instant", "clock", "span", "id")
PARTS: dict[str, tuple[tuple[str, st.SearchStrategy[Any]], ...]] = {
    "day": (("year", st.integers(2023, 2025)), ("month", st.integers(1, 12)), ("year__gte", st.integers(2023, 2025))),
    "instant": (
        ("year", st.integers(2023, 2025)),
        ("hour", st.integers(0, 23)),
        ("date", DAYS),
        ("year__lt", st.just(2025)),
    ),
}
NUMBERS = st.integers(-2, 2) | st.sampled_from([0.5, -1.5, 2.0, 2**40])
JSON_LOOKUPS: tuple[tuple[str, st.SearchStrategy[Any]], ...] = (
    ("data__a", JSON),
    ("data__a__b", st.none()),
    ("data__has_keys", st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2)),
    ("data__has_any_keys", st.lists(st.sampled_from(["a", "b", "k.k"]), min_size=1, max_size=2)),
    ("data__a__gt", NUMBERS),
    ("data__a__gte", NUMBERS),
    ("data__a__lt", NUMBERS),
    ("data__a__lte", NUMBERS),
    ("data__a__isnull", st.booleans()),
    ("data__a__b", st.integers(-2, 2) | st.just("a")),
    ("data__has_key", st.sampled_from(["a", "b", "k.k"])),
    ("data__a__in", st.lists(NUMBERS | st.sampled_from(["a", ["a"]]), max_size=3)),
    ("data__a__startswith", st.just("a")),
)


def leaf() -> st.SearchStrategy[Q]:
    """One comparison."""
    values = {**VALUES, "id": TEXT, "exact": VALUES["exact"] | UNSTORABLE}
    comparison = st.sampled_from(ORDERED).flatmap(
        lambda name: st.builds(
            lambda op, value: Q(**{f"{name}__{op}": value}), st.sampled_from(COMPARISONS), values[name]
        )
    )
    equality = st.sampled_from(sorted(VALUES)).flatmap(lambda name: values[name].map(lambda value: Q(**{name: value})))
    membership = st.sampled_from(ORDERED).flatmap(
        lambda name: st.lists(values[name], max_size=4).map(lambda found: Q(**{f"{name}__in": found}))
    )
    wide = st.lists(st.integers(-40, 40), min_size=31, max_size=70, unique=True).map(lambda found: Q(number__in=found))
    between = st.sampled_from(ORDERED).flatmap(
        lambda name: st.tuples(values[name], values[name]).map(lambda pair: Q(**{f"{name}__range": pair}))
    )
    nullness = st.builds(
        lambda name, is_null: Q(**{f"{name}__isnull": is_null}), st.sampled_from(sorted(VALUES)), st.booleans()
    )
    pattern = st.builds(
        lambda name, op, value: Q(**{f"{name}__{op}": value}),
        st.sampled_from(["name", "text", "id"]),
        st.sampled_from(PATTERNS),
        TEXT,
    )
    part = st.sampled_from(sorted(PARTS)).flatmap(
        lambda name: st.sampled_from(PARTS[name]).flatmap(
            lambda found: found[1].map(lambda value: Q(**{f"{name}__{found[0]}": value}))
        )
    )
    json = st.sampled_from(JSON_LOOKUPS).flatmap(lambda found: found[1].map(lambda value: Q(**{found[0]: value})))
    columns = st.sampled_from([Q(number=F("small")), Q(name__lt=F("text")), Q(small__gt=F("number") + 1)])
    return st.one_of(comparison, equality, membership, wide, between, nullness, pattern, part, json, columns)


CONDITIONS = st.recursive(
    leaf(),
    lambda inside: st.one_of(
        st.builds(lambda one, other: one & other, inside, inside),
        st.builds(lambda one, other: one | other, inside, inside),
        st.builds(lambda one, other: one ^ other, inside, inside),
        inside.map(lambda one: ~one),
    ),
    max_leaves=5,
)

# --- queries -------------------------------------------------------------------------------------------------------

Query = models.QuerySet[Any]
NUMERIC = ("number", "small")
EXTREME = ("number", "small", "big", "real", "name", "day", "instant", "clock", "moment")


def plain(query: Query) -> Any:
    """Every column of every record but the time of its write, which differs between the databases."""
    fields = [field for field in query.model._meta.concrete_fields if field.name != "written"]
    return [tuple(getattr(record, field.attname) for field in fields) for record in query]


ENDS: dict[str, Callable[[Query], Any]] = {
    "list": plain,
    "values": lambda query: list(query.values("id", "number", "data")),
    "values_list": lambda query: list(query.values_list("text", "instant")),
    "json key": lambda query: list(query.values_list("data__a", flat=True)),
    "only": lambda query: plain(query.only("name", "exact")),
    "defer": lambda query: plain(query.defer("raw", "data")),
    "iterator": lambda query: plain(query.iterator(chunk_size=2)),
    "count": lambda query: query.count(),
    "exists": lambda query: query.exists(),
    "first": lambda query: plain(filter(None, [query.first()])),
    "last": lambda query: plain(filter(None, [query.last()])),
    "get": lambda query: plain([query.get()]),
    "reverse": lambda query: plain(query.reverse()),
    "latest": lambda query: plain([query.latest("moment", "id")]),
    "earliest": lambda query: plain([query.earliest("number", "id")]),
    "in_bulk": lambda query: sorted(query.in_bulk(["a", "b", "Z", "é"])),
    "sums": lambda query: query.aggregate(n=Count("pk"), texts=Count("text"), s=Sum("number"), a=Avg("small")),
    "big sum": lambda query: query.filter(big__gt=0).aggregate(s=Sum("big")),  # SQLite's sum may not overflow meanwhile
    "extremes": lambda query: query.aggregate(
        **{f"min_{name}": Min(name) for name in EXTREME}, **{f"max_{name}": Max(name) for name in EXTREME}
    ),
    "conditional": lambda query: query.aggregate(n=Count("pk", filter=Q(number__gt=0)), d=Count("name", distinct=True)),
    "groups": lambda query: sorted(query.order_by().values_list("number").annotate(n=Count("pk"), m=Max("name"))),
    "distinct": lambda query: sorted(query.order_by().values_list("number", flat=True).distinct()),
    "annotated": lambda query: list(
        query.annotate(
            x=F("number") * 2 + 1, y=Lower("name"), z=Coalesce("text", Value("?"), output_field=models.TextField())
        ).values_list("x", "y", "z")
    ),
    "by expression": lambda query: plain(query.order_by(Length("name"), Upper("name").desc(), "pk")),
    "months": lambda query: list(query.dates("day", "month")),
    "subquery": lambda query: sorted(
        query.model.objects.using(query.db).filter(pk__in=query.order_by().values("pk")).values_list("pk", flat=True)
    ),
    "update": lambda query: (query.order_by().update(number=F("number") + 1, text="new"), plain(everything(query))),
    "update expression": lambda query: (
        query.order_by().update(name=Lower("name"), small=None),
        plain(everything(query)),
    ),
    "update computed": lambda query: (
        query.order_by().update(
            text=F("number"),
            real=F("small"),
            exact=F("number") / 4.0,
            day=TruncDate("moment"),
            clock=TruncTime("instant"),
            instant=F("moment"),
            truth=Case(When(number__gt=0, then=True), default=F("truth")),
        ),
        plain(everything(query)),
    ),
    "delete": lambda query: (query.order_by().delete(), plain(everything(query))),
}
WHOLE = frozenset({"in_bulk", "sums", "latest", "earliest", "groups", "distinct", "months", "subquery", "update"}) | {
    "update expression",
    "update computed",
    "big sum",
    "delete",
    "extremes",
    "conditional",
    "reverse",
    "last",
    "by expression",
}


def everything(query: Query) -> Query:
    """All records of the query's model and database, by key."""
    return query.model.objects.using(query.db).order_by("pk")


@dataclass(frozen=True)
class Story:
    """Filters and excludes, an order, a slice, and a final action."""

    steps: tuple[tuple[str, Q], ...]
    order: tuple[str, ...]
    window: tuple[int, int | None] | None
    end: str = field(default="list")

    def run(self, records: Query) -> Any:
        """The result on the database that `records` reads."""
        for method, condition in self.steps:
            records = getattr(records, method)(condition)
        records = records.order_by(*self.order, "pk")
        if self.window is not None and self.end not in WHOLE:
            records = records[self.window[0] : self.window[1]]
        return ENDS[self.end](records)


STORIES = st.builds(
    Story,
    steps=st.lists(st.tuples(st.sampled_from(["filter", "filter", "exclude"]), CONDITIONS), max_size=3).map(tuple),
    order=st.lists(
        st.builds(
            lambda sign, name: sign + name,
            st.sampled_from(["", "-"]),
            st.sampled_from([n for n in ORDERED if n != "id"]),
        ),
        max_size=2,
        unique_by=lambda name: name.lstrip("-"),
    ).map(tuple),
    window=st.none() | st.tuples(st.integers(0, 3), st.none() | st.integers(3, 6)),
    end=st.sampled_from(sorted(ENDS)),
)

# --- answers -------------------------------------------------------------------------------------------------------

ERRORS = (DatabaseError, ObjectDoesNotExist, FieldError, ValueError, TypeError, AttributeError, OverflowError)


def outcome(action: Callable[[], Any]) -> Any:
    """The result of an action in comparable form, or the name of the error's class."""
    try:
        return comparable(action())
    except (*ERRORS, models.base.MultipleObjectsReturned) as error:
        return f"raised {type(error).__name__}"


def comparable(value: Any) -> Any:
    """Lists for all sequences, bytes for memory, floats with fifteen digits; types stay distinct."""
    if isinstance(value, dict):
        return {key: comparable(member) for key, member in value.items()}
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return "nan" if math.isnan(value) else float(f"{value:.13g}") + 0.0
    if isinstance(value, Iterable):
        return [comparable(member) for member in value]
    return value

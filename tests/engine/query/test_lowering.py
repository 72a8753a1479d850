"""Lowering of Django's conditions. No database is accessed, so the connection points nowhere."""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any

import pytest
from django.db.models import DateTimeField, F, Q, Value
from django.db.models.functions import Cast, ExtractYear, Lower, Now, TruncDate, TruncDay
from django.utils import timezone

from memory.backends.firestore.base import DatabaseWrapper
from memory.backends.firestore.query import analysis
from memory.backends.firestore.query.analysis import AggregateAnalysis, RowAnalysis
from memory.backends.firestore.query.ast import FALSE, TRUE, Condition, Opaque, all_of, any_of
from memory.backends.firestore.query.lowering import successor
from memory.backends.firestore.query.normalize import negation_normal_form
from memory.backends.firestore.query.plan import Compare, Op, Order
from memory.backends.firestore.values.types import JSON_NULL, Kind, Ref
from tests.engine.app.models import Everything, Note
from tests.engine.versions import json_null

ID = Ref(("id",), Kind.TEXT, key=True)
STARS = Ref(("stars",), Kind.INTEGER)
TEXT = Ref(("text",), Kind.TEXT)
AT = Ref(("at",), Kind.DATETIME)
DATA = Ref(("data",), Kind.JSON)
KEY = Ref(("data", "a"), Kind.JSON)
SET_BACK = datetime.date(2005, 10, 30)
NOON = datetime.datetime(2024, 2, 3, 12, tzinfo=datetime.UTC)


@pytest.fixture
def connection() -> DatabaseWrapper:
    """A connection that is never opened."""
    settings = {
        "ENGINE": "memory.backends.firestore",
        "NAME": "nowhere",
        "PROJECT": "nowhere",
        "HOST": "localhost:1",
        "OPTIONS": {},
        "TIME_ZONE": None,
        "AUTOCOMMIT": True,
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
        "ATOMIC_REQUESTS": False,
        "TEST": {"NAME": None},
    }
    return DatabaseWrapper(settings, "nowhere")


def analyze(queryset: Any, connection: DatabaseWrapper) -> Any:
    compiler = queryset.query.get_compiler(connection=connection)
    return analysis.analyze(compiler, compiler.setup())


def where(condition: Q, connection: DatabaseWrapper, model: Any = Note) -> Condition:
    analyzed = analyze(model.objects.filter(condition), connection)
    assert isinstance(analyzed, RowAnalysis)
    return negation_normal_form(analyzed.select.where)


@pytest.mark.filterwarnings("ignore:Using None as the right-hand side of an exact lookup on JSONField")  # Django 6.1
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Q(stars=3), Compare(STARS, Op.EQ, 3)),
        (Q(stars__lt=3), Compare(STARS, Op.LT, 3)),
        (Q(stars__gte=2.5), Compare(STARS, Op.GE, 3)),
        (Q(stars=None), Compare(STARS, Op.IS_NULL)),
        (Q(stars__in=[1, None, 2]), Compare(STARS, Op.IN, (1, 2))),
        (Q(stars__in=[]), FALSE),
        (Q(stars__gt=2**64), FALSE),
        (Q(stars__lt=2**64), TRUE),
        (Q(stars__range=(1, 3)), all_of([Compare(STARS, Op.GE, 1), Compare(STARS, Op.LE, 3)])),
        (Q(pk="x"), Compare(ID, Op.EQ, "x")),
        (Q(text__startswith="ab"), all_of([Compare(TEXT, Op.GE, "ab"), Compare(TEXT, Op.LT, "ac")])),
        (Q(at=NOON), Compare(AT, Op.EQ, NOON)),
        (Q(data__a=1.0), Compare(KEY, Op.EQ, 1.0)),
        (Q(data__a=["x", None]), Compare(KEY, Op.EQ, ("x", None))),
        (Q(data__a__in=[1.5, ["x"]]), Compare(KEY, Op.IN, (1.5, ("x",)))),
        (
            Q(data__a__lte=2),
            any_of([Compare(KEY, Op.LE, 2), all_of([Compare(KEY, Op.GE, -(10**19)), Compare(KEY, Op.LT, 10**19)])]),
        ),
        (Q(data__a="x"), Compare(KEY, Op.EQ, "x")),
        (Q(data__a=None), Compare(KEY, Op.IS_NULL)),
        (Q(data=None), Compare(DATA, Op.IS_NULL)),
        (Q(data__exact=None), Compare(DATA, Op.EQ, JSON_NULL)),
        (Q(data=json_null()), Compare(DATA, Op.EQ, JSON_NULL)),
        (Q(data__a=json_null()), Compare(KEY, Op.IS_NULL)),
        (Q(data__in=["x", True]), Compare(DATA, Op.IN, ("x", True))),
        (Q(data__has_key="a"), any_of([Compare(KEY, Op.IS_NULL), Compare(KEY, Op.IS_NOT_NULL)])),
        (~Q(stars=3), any_of([Compare(STARS, Op.NE, 3), Compare(STARS, Op.IS_NULL)])),
        (~Q(text="x"), Compare(TEXT, Op.NE, "x")),
        (Q(stars=1) | Q(text="x"), any_of([Compare(STARS, Op.EQ, 1), Compare(TEXT, Op.EQ, "x")])),
    ],
)
def test_lookups_become_comparisons(condition: Q, expected: Condition, connection: DatabaseWrapper) -> None:
    """Each lookup of the native lane, with Django's null semantics."""
    found = where(condition, connection)
    if isinstance(expected, Compare) and expected.op is Op.IS_NULL and condition == Q(data=None):
        expected = Compare(DATA, Op.EQ, JSON_NULL)  # for a JSON field `=None` means JSON's null
    assert found == expected


@pytest.mark.parametrize(
    ("condition", "unsupported"),
    [
        (Q(text__icontains="x"), "text__icontains"),
        (Q(text__endswith="x"), "text__endswith"),
        (Q(text__regex="x"), "text__regex"),
        (Q(at__month=2), "at__month__exact"),
        (Q(stars=F("reads")), "stars__exact"),
        (Q(data__a__gt="x"), "data__a__gt"),
        (Q(data__a__lt=10**30), "data__a__lt"),
        (Q(data__a__lt=math.nan), "data__a__lt"),
        (Q(data__a__lt=True), "data__a__lt"),
        (Q(data__a={"b": 1}), "data__a__exact"),
        (Q(data__a=["b", 1]), "data__a__exact"),
        (Q(data__a=10**30), "data__a__exact"),
        (Q(data__a__in=[1, 10**30]), "data__a__in"),
        (Q(data=1), "data__exact"),
        (Q(data__in=["x", json_null()]), "data__in"),
        (Q(data__0=3), "data__0__exact"),
        (Q(author__name="x"), "author__name__exact"),
        (Q(at__gte=TruncDay(Now())), "at__gte"),
        (Q(at__date=TruncDate(Value(NOON))), "at__date__exact"),
        (Q(stars=ExtractYear(Now())), "stars__exact"),
        (Q(at=Cast(Value(SET_BACK), DateTimeField())), "at__exact"),
    ],
)
def test_unsupported_lookups_are_named(condition: Q, unsupported: str, connection: DatabaseWrapper) -> None:
    """`unsupported` is the lookup in the syntax of `filter()`."""
    found = where(condition, connection)
    assert isinstance(found, Opaque)
    assert found.unsupported == unsupported.removeprefix("author__")


def test_years_and_days_are_ranges(connection: DatabaseWrapper) -> None:
    """In the current time zone, as in SQL."""
    with timezone.override("America/New_York"):
        day = where(Q(at__date=datetime.date(2024, 7, 1)), connection)
        year = where(Q(at__year=2024), connection)
    start = datetime.datetime(2024, 7, 1, 4, tzinfo=datetime.UTC)
    assert day == all_of([Compare(AT, Op.GE, start), Compare(AT, Op.LT, start + datetime.timedelta(days=1))])
    assert isinstance(year.children[0], Compare)  # type: ignore[union-attr]
    assert year.children[0].value == datetime.datetime(2024, 1, 1, 5, tzinfo=datetime.UTC)  # type: ignore[union-attr]


@pytest.mark.parametrize("condition", [Q(at__date=SET_BACK), Q(at__date__gt=SET_BACK), Q(at__date__in=[SET_BACK])])
def test_a_day_that_is_no_range_is_left_to_sql(condition: Q, connection: DatabaseWrapper) -> None:
    """Clocks in St. John's were set back from 00:01 to 23:01 of the day before; in New York, at 02:00."""
    with timezone.override("America/St_Johns"):
        assert isinstance(where(condition, connection), Opaque)
    with timezone.override("America/New_York"):
        assert not isinstance(where(condition, connection), Opaque)


def test_wire_values_keep_their_python_types(connection: DatabaseWrapper) -> None:
    """Dates, decimals and UUIDs are encoded by the codec; lowering does not convert them."""
    day = datetime.date(2024, 1, 2)
    assert where(Q(date=day), connection, Everything) == Compare(Ref(("date",), Kind.DATE), Op.EQ, day)
    found = where(Q(decimal="1.5"), connection, Everything)
    assert isinstance(found, Compare)
    assert found.value == decimal.Decimal("1.5")


@pytest.mark.parametrize(
    ("prefix", "after"),
    [
        ("a", "b"),
        ("ab", "ac"),
        ("a\uffff", "a\U00010000"),
        ("a\ud7ff", "a\ue000"),
        ("a\U0010ffff", "b"),
        ("\U0010ffff", None),
    ],
)
def test_the_successor_of_a_prefix_is_above_all_its_strings(prefix: str, after: str | None) -> None:
    """All strings that start with the prefix are below its successor; surrogates are skipped."""
    assert successor(prefix) == after


def test_orders_slices_and_columns(connection: DatabaseWrapper) -> None:
    """`order_by()`, slices and `only()` are part of the analysis."""
    analyzed = analyze(Note.objects.only("text").order_by("-stars", "pk")[2:5], connection)
    assert analyzed.select.columns == (ID, TEXT)
    assert analyzed.select.orders == (Order(STARS, True), Order(ID))
    assert (analyzed.select.offset, analyzed.select.limit) == (2, 3)
    assert analyzed.select.unsupported == ()


@pytest.mark.parametrize(
    ("change", "unsupported"),
    [
        (lambda q: q.order_by(Lower("text")), "order_by(Lower)"),
        (lambda q: q.select_related("author"), "the join to engine_author"),
        (lambda q: q.values("stars").distinct(), "distinct()"),
        (lambda q: q.annotate(low=Lower("text")), "Lower"),
        (lambda q: q.union(q), "union()"),
        (lambda q: q.order_by(F("stars").asc(nulls_last=True)), "order_by(stars, nulls last)"),
    ],
)
def test_structure_that_needs_the_mirror_is_named(change: Any, unsupported: str, connection: DatabaseWrapper) -> None:
    """Joins, expressions and set operations have different reasons."""
    analyzed = analyze(change(Note.objects.all()), connection)
    assert unsupported in analyzed.select.unsupported


def test_a_count_is_an_aggregate(connection: DatabaseWrapper) -> None:
    """`count()` is lowered to an aggregate; `exists()` to a row without columns."""
    compiler = Note.objects.all().query.clone()
    from django.db.models import Count

    compiler.add_annotation(Count("*"), "n")
    compiler.default_cols = False
    analyzed = analysis.analyze(made := compiler.get_compiler(connection=connection), made.setup())
    assert isinstance(analyzed, AggregateAnalysis)
    assert len(analyzed.aggregates) == 1

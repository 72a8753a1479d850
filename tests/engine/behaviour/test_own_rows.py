"""Queries in a block that has written many rows: they visit the rows that may match, and not every row."""

from __future__ import annotations

from contextlib import suppress
from math import inf, nan
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import Avg, Count, F, Max, Min, Q, Sum

from memory.backends.firestore.query.lowering import column_ref
from memory.backends.firestore.query.plan import And, Compare, Filter, Op, Or, Query
from tests.counting import calls_of
from tests.engine.app.models import Author, Everything, Note

# ruff: noqa: PT012 - the tests are about blocks that fail

pytestmark = pytest.mark.django_db(databases=["default", "sqlite"], transaction=True)

ROWS = 4000

ID, OWNER, STARS, READS = (
    column_ref(Note._meta.get_field(name), connection) for name in ("id", "owner", "stars", "reads")
)


def notes(number: int, owners: int = 1000) -> list[Note]:
    return [Note(id=f"n{i}", owner=f"o{i % owners}", stars=i % 7 or None, reads=i) for i in range(number)]


class UndoError(Exception):
    """Leaves a block."""


@pytest.mark.parametrize(
    ("where", "visited"),
    [
        (Compare(OWNER, Op.EQ, "o7"), 4),
        (Compare(OWNER, Op.IN, ("o7", "o8", "none")), 8),
        (Compare(ID, Op.EQ, "n7"), 1),
        (And((Compare(STARS, Op.GT, 3), Compare(OWNER, Op.EQ, "o7"))), 4),
        (Or((Compare(OWNER, Op.EQ, "o7"), Compare(ID, Op.IN, ("n7", "n8")))), 5),
        (Compare(STARS, Op.IS_NULL), 572),
        (And((Compare(READS, Op.GE, 10), Compare(READS, Op.LT, 13), Compare(STARS, Op.NE, 3))), 4),
        (And((Compare(READS, Op.GT, 3990), Compare(OWNER, Op.GE, "o"))), 10),
        (Or((Compare(READS, Op.GT, 3990), Compare(READS, Op.LT, 3))), 14),
        (And((Compare(ID, Op.GE, "n399"), Compare(ID, Op.LT, "n3991"))), 3),
        (Compare(STARS, Op.NE, 3), ROWS),
    ],
)
def test_rows_are_found_by_equality_and_ranges(where: Filter, visited: int) -> None:
    """And by key; the ends of a range are included. Other filters visit every row that the block has written."""
    with pytest.raises(UndoError), transaction.atomic():
        Note.objects.bulk_create(notes(ROWS))
        rows, stored = connection.cursor().superset(Query(Note._meta.db_table, (ID,), where))
        assert (len(rows), stored) == (visited, 0)
        raise UndoError


def test_null_is_no_key() -> None:
    """A NULL among the values of an integer key, as a join of missing rows loads it, matches no row."""
    key = column_ref(Author._meta.pk, connection)
    with pytest.raises(UndoError), transaction.atomic():
        author = Author.objects.create(name="a")
        where = Compare(key, Op.IN, (None, author.pk))
        rows, _ = connection.cursor().superset(Query(Author._meta.db_table, (key,), where))
        assert [row[-1] for row in rows] == [author.pk]
        raise UndoError


def ask_three_questions(number: int) -> None:
    """By equality, by a range, and by both in an order."""
    assert Note.objects.filter(owner=f"o{number}").exists()
    assert Note.objects.filter(reads__gte=number, reads__lt=number + 2, stars__gte=0).count() <= 2
    assert Note.objects.filter(owner=f"o{number}", reads__gte=0).order_by("-id").first() is not None


def calls_in_a_block_of(rows: int) -> int:
    """The calls of queries in a block that has written a number of rows, once its indexes stand."""
    with suppress(UndoError), transaction.atomic():
        Note.objects.bulk_create(notes(rows, owners=rows // 4))
        ask_three_questions(0)
        calls = calls_of(lambda: [ask_three_questions(number) for number in range(1, 10)])
        raise UndoError
    return calls


def test_a_query_costs_nothing_for_other_rows() -> None:
    """It takes as many calls in a block of few rows."""
    few, many = calls_in_a_block_of(40), calls_in_a_block_of(ROWS)
    assert many < 1.1 * few


QUERIES = [
    Q(owner="o1"),
    Q(owner__in=["o1", "o2"], stars=3),
    Q(stars=None),
    Q(stars=3.0),
    Q(pk="n3"),
    Q(pk__in=["n3", "n4", "new"], owner="o3"),
    Q(owner="o1") | Q(stars=2),
    ~Q(owner="o1"),
    Q(author__name="ann"),
    Q(author=None, owner="o2"),
    Q(reads=11),
    Q(reads__gt=20, owner__startswith="o1"),
    Q(reads__gte=3, reads__lt=12),
    Q(reads__range=(5, 5)) | Q(stars__lte=2),
    Q(stars__gt=2.5),
    Q(owner__gt="o10", owner__lte="o3"),
    Q(pk__gt="n15"),
    Q(pk__gte="n2", pk__lt="n4", stars__gte=1),
]


def test_the_results_are_those_of_sqlite() -> None:
    """After inserts, updates of known and of unknown values, deletions, and the rollback of a savepoint."""
    for alias in ("sqlite", "default"):
        Author.objects.using(alias).create(id=1, name="ann")
        Note.objects.using(alias).bulk_create(notes(20))

    def results(alias: str) -> list[Any]:
        return [
            sorted(Note.objects.using(alias).filter(query).values_list("pk", "stars", "reads")) for query in QUERIES
        ]

    def change(alias: str) -> list[Any]:
        seen = []
        own = Note.objects.using(alias)
        with pytest.raises(UndoError), transaction.atomic(using=alias):
            own.filter(pk="n1").update(stars=3)
            own.filter(pk="n2").update(reads=F("reads") + 9, author_id=1)
            own.create(id="new", owner="o3", stars=3)
            own.filter(pk="n5").delete()
            seen += results(alias)
            with pytest.raises(UndoError), transaction.atomic(using=alias):
                own.filter(pk="new").update(owner="o1")
                own.filter(pk="n3").delete()
                own.filter(stars=4).update(owner="o2", stars=2)
                seen += results(alias)
                raise UndoError
            own.filter(pk="n2").update(owner="o1")
            seen += results(alias)
            raise UndoError
        return seen

    assert change("default") == change("sqlite")


def test_aggregates_of_rows_that_were_not_written_in_the_order_of_their_keys() -> None:
    """Each row's own values decide whether it matches."""
    values = {3: 1, 1: 50, 2: 9}
    with transaction.atomic():
        for id, positive in values.items():
            Everything.objects.create(id=id, positive=positive)
        for query in (Q(positive__gt=5), Q(positive__lte=9), Q(positive__in=[1, 50]), ~Q(positive=9), Q(positive=50)):
            own = Everything.objects.filter(query)
            found = [row.positive for row in own]
            assert own.aggregate(Sum("positive"), Min("positive"), Max("positive"), Count("id")) == {
                "positive__sum": sum(found),
                "positive__min": min(found),
                "positive__max": max(found),
                "id__count": len(found),
            }, query
        assert Everything.objects.filter(positive__gt=5).aggregate(Sum("positive")) == {"positive__sum": 59}


class Odd(str):
    """Text that equals numbers, as the keys of some custom fields do."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other == 5

    def __hash__(self) -> int:
        return hash(5)


class OddNumber(int):
    """A number that equals nothing."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_values_of_subclasses_are_compared_by_what_is_stored(alias: str) -> None:
    """As SQL databases compare them, whatever the `__eq__` of the subclass says."""
    notes = Note.objects.using(alias)
    with transaction.atomic(alias):
        notes.create(id=Odd("a"), owner="o", stars=OddNumber(3))
        notes.create(id="b", owner=Odd("o"))
        notes.filter(pk="b").update(stars=OddNumber(3), text=Odd("t"))
        for condition, count in (
            (Q(owner=Odd("o")), 2),
            (Q(owner__in=[Odd("o"), Odd("p")]), 2),
            (Q(owner__startswith=Odd("o")), 2),
            (Q(owner__range=(Odd("a"), Odd("p"))), 2),
            (Q(owner="o", stars=3), 2),
            (Q(stars=OddNumber(3)), 2),
            (Q(pk=Odd("a")), 1),
            (Q(pk__in=[Odd("a"), "b"]), 2),
            (Q(pk="a", stars=OddNumber(3)), 1),
            (Q(text="t"), 1),
        ):
            assert notes.filter(condition).count() == len(notes.filter(condition)) == count, condition
        assert notes.get(pk=Odd("b")).text == "t"
    assert notes.filter(owner=Odd("o"), stars=OddNumber(3)).count() == 2


def test_a_sum_beyond_64_bits_is_an_error() -> None:
    """Of committed rows and of the block's own, as on SQLite."""
    for alias in ("default", "sqlite"):
        rows = Everything.objects.using(alias)
        rows.create(big=2**62)
        with transaction.atomic(using=alias):
            own = rows.create(big=2**62)
            with pytest.raises(OperationalError, match="integer overflow"):
                rows.aggregate(Sum("big"))
            own.big -= 1
            own.save()
            assert rows.aggregate(n=Sum("big")) == {"n": 2**63 - 1}


def test_a_committed_sum_beyond_64_bits() -> None:
    """Has an average, the float that SQLite computes, in a block that has written to the table too."""
    for alias in ("default", "sqlite"):
        rows = Everything.objects.using(alias)
        Everything.objects.using(alias).bulk_create(Everything(big=2**62) for _ in range(2))
        with transaction.atomic(using=alias):
            rows.create(big=2**62)
            assert rows.aggregate(Avg("big")) == {"big__avg": 2.0**62}
            with pytest.raises(OperationalError, match="integer overflow"):
                rows.aggregate(Sum("big"))
            rows.create(big=-(2**62) * 2)
            assert rows.aggregate(Avg("big")) == {"big__avg": 2.0**60}


@pytest.mark.parametrize("committed", [(nan, 1.0, -inf), (1.0, -inf, nan), ()])
def test_nan_is_sorted_as_firestore_sorts_it(committed: tuple[float, ...]) -> None:
    """Before all numbers, and after null; in any order of writing."""
    values = (-inf, nan, 2.0, None, 1.0)
    rows = Everything.objects.bulk_create(Everything(float=value) for value in committed)
    with transaction.atomic():
        Everything.objects.bulk_create(Everything(float=value) for value in values)
        in_block = _ends()
    assert in_block == _ends()
    assert len(rows) == len(committed)


def _ends() -> list[str]:
    """As text, since NaN equals nothing."""
    rows = Everything.objects.order_by("float").values_list("float", flat=True)
    extremes = Everything.objects.aggregate(Min("float"), Max("float"))
    return [*map(str, rows[:4]), *map(str, rows.reverse()[:2]), *map(str, extremes.values())]

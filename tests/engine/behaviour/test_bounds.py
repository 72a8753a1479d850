"""Conditions that name a bound read no more than it: `explain()` says so, and what is read shows it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError, router, transaction
from django.db.models import Avg, Count, Exists, F, Max, Min, OuterRef, Q, Sum
from django.utils import timezone

from tests.engine.app.models import Coded, CodedPart, Detail, Note, Seat

pytestmark = pytest.mark.django_db(databases=["default", "sqlite"], transaction=True)


@contextmanager
def override_router(alias: str) -> Iterator[None]:
    """Validation reads from this database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(router, "db_for_write", lambda model, **hints: alias)
        patch.setattr(router, "db_for_read", lambda model, **hints: alias)
        yield


START = datetime.datetime(2023, 12, 30, 12, tzinfo=datetime.UTC)
DAY = datetime.date(2023, 12, 31)


@pytest.fixture
def notes() -> None:
    """Forty notes, twelve hours apart, and one without a time."""
    for alias in ("default", "sqlite"):
        Note.objects.using(alias).bulk_create(
            Note(id=f"{i:02}", at=START + datetime.timedelta(hours=12 * i), stars=i) for i in range(40)
        )
        Note.objects.using(alias).create(id="none")


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    ("condition", "most"),
    [
        (Q(at__date__range=(DAY, DAY + datetime.timedelta(days=1))), 4),
        (Q(at__date__in=[DAY, datetime.date(2024, 1, 5)]), 4),
        (Q(at__date__in=[]), 0),
        (Q(at__year__in=[2023, 2021]), 4),
        (Q(at__year__range=(2022, 2023)), 4),
        (Q(at__iso_year__in=[2023]), 4),
        (~Q(at__date__range=(DAY, datetime.date(2025, 1, 1))), 3),
        (Q(at__date__range=(DAY, DAY)) & Q(text__icontains=""), 2),
    ],
)
def test_days_and_years_are_bounds(notes: None, calls: Any, zone: str, condition: Q, most: int) -> None:
    """In the current time zone, with the same rows as SQLite."""
    with timezone.override(zone):
        with calls() as made:
            found = sorted(Note.objects.filter(condition).values_list("id", flat=True))
        assert found == sorted(Note.objects.using("sqlite").filter(condition).values_list("id", flat=True))
    assert sum(call["documents_read"] for call in made) <= most


@pytest.mark.parametrize("lookup", ["date", "date__lt", "date__lte", "date__gt", "date__gte"])
def test_clocks_that_are_set_back_across_midnight(lookup: str) -> None:
    """In St. John's, 30 October 2005 began twice, with an hour of the day before in between."""
    before = datetime.datetime(2005, 10, 30, 2, 15, tzinfo=datetime.UTC)
    for alias in ("default", "sqlite"):
        Note.objects.using(alias).bulk_create(
            Note(id=f"{i:02}", at=before + datetime.timedelta(seconds=450 * i)) for i in range(14)
        )
    with timezone.override("America/St_Johns"):
        for day in (29, 30, 31):
            condition = Q(**{f"at__{lookup}": datetime.date(2005, 10, day)})
            expected, found = (
                sorted(Note.objects.using(alias).filter(condition).values_list("id", flat=True))
                for alias in ("sqlite", "default")
            )
            assert found == expected


def test_columns_with_a_type_of_their_own_are_compared_by_firestore(calls: Any) -> None:
    """`get(pk=)` is one GetDocument; foreign keys, membership and order are queries."""
    Coded.objects.bulk_create(Coded(code=f"c{i}", label=f"l{i % 3}") for i in range(9))
    CodedPart.objects.create(coded_id="c3")

    def read(ask: Any, expected: Any) -> int:
        with calls() as made:
            assert ask() == expected
        return sum(call["documents_read"] for call in made)

    with calls() as made:
        assert Coded.objects.get(pk="c3").label == "l0"
    assert [call["method"] for call in made] == ["GetDocument"]
    assert read(lambda: sorted(Coded.objects.in_bulk(["c1", "c2"])), ["c1", "c2"]) == 2
    assert read(lambda: CodedPart.objects.filter(coded="c3").count(), 1) <= 1
    assert read(lambda: CodedPart.objects.select_related("coded").get().coded.pk, "c3") == 2
    assert read(lambda: [row.pk for row in Coded.objects.order_by("-pk")[:2]], ["c8", "c7"]) == 2
    assert read(lambda: Coded.objects.filter(label="l1").count(), 3) <= 3
    assert read(lambda: Coded.objects.filter(pk="c4").update(label="x"), 1) == 0
    assert read(lambda: Coded.objects.get(parts__isnull=False).delete()[0], 2) <= 4


@pytest.mark.parametrize(
    "rows",
    [
        lambda: Note.objects.filter(stars__lt=5).order_by("-stars"),
        lambda: Note.objects.annotate(more=F("stars") + 1).order_by("stars")[:3],
        lambda: Note.objects.annotate(more=F("stars") + 1).order_by("stars")[4:7],
        lambda: Note.objects.filter(id__in=["01", "02"], text__icontains=""),
        lambda: Note.objects.filter(at__date=DAY, text__icontains=""),
    ],
)
def test_explain_names_the_reads_that_are_made(notes: None, calls: Any, rows: Any) -> None:
    """Its slice, or its ids, bound what is read; without one it says that all is read."""
    text = rows().explain()
    with calls() as made:
        list(rows())
    read = sum(call["documents_read"] for call in made)
    numbers = [int(word) for line in text.splitlines() for word in line.split() if word.isdigit()]
    assert ("limit" not in text and "get " not in text) or read <= sum(numbers)
    assert f"query {Note._meta.db_table}" in text or f"from {Note._meta.db_table}" in text
    assert ("where" in text) == (read < 41 and "limit" not in text and "get " not in text)


def test_extremes_of_a_table_that_the_transaction_wrote_to_are_bounded(notes: None, calls: Any) -> None:
    """The greatest of Firestore's rows, beside the transaction's own."""
    with transaction.atomic():
        Note.objects.create(id="new", stars=7)
        Note.objects.filter(id="39").update(stars=0)
        with calls() as made:
            assert Note.objects.aggregate(most=Max("stars"))["most"] == 38
        assert sum(call["documents_read"] for call in made) <= 5


AGGREGATES_OF_SLICES = {
    "sum": (lambda rows: rows[:3].aggregate(n=Sum("stars"))["n"], 6, 3),
    "with an offset": (lambda rows: rows[2:5].aggregate(n=Sum("stars"))["n"], 12, 5),
    "of an expression": (lambda rows: rows.annotate(more=F("stars") + 1)[:3].aggregate(n=Max("more"))["n"], 4, 3),
    "distinct": (lambda rows: rows[:3].aggregate(n=Count("stars", distinct=True))["n"], 3, 3),
    "with a condition": (lambda rows: rows[:4].aggregate(n=Count("pk", filter=Q(stars__gt=2)))["n"], 2, 4),
    "some": (lambda rows: rows[:4].aggregate(n=Count("pk"), most=Max("stars"))["n"], 4, 4),
}


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("name", AGGREGATES_OF_SLICES)
def test_aggregates_of_a_slice_are_bounded_by_it(notes: None, calls: Any, name: str, own: bool) -> None:
    """Only the slice is read, and what the transaction wrote; `explain()` says so of the same query."""
    aggregate, value, most = AGGREGATES_OF_SLICES[name]
    rows = Note.objects.filter(stars__gt=0).order_by("stars")
    with transaction.atomic():
        if own:
            Note.objects.create(id="new", stars=100)
            Note.objects.filter(id="39").update(stars=101)
        with calls() as made:
            assert aggregate(rows) == value
    assert sum(call["documents_read"] for call in made) <= most + 3 * own


def test_a_slice_is_counted_up_to_its_end(notes: None, calls: Any) -> None:
    """`count()` of a slice whose rows need the mirror reads the slice, also where a join removes none of its rows."""
    Detail.objects.create(number=0)
    Detail.objects.bulk_create(Detail(number=i, select=i, parent_id=0) for i in range(1, 9))
    rows = Detail.objects.order_by("-number").annotate(above=F("parent__select"), more=F("select") + 1).distinct()
    for query, count, most in (
        (rows[:3], 3, 5),
        (Detail.objects.order_by("-number").annotate(more=F("select") + 1)[:3], 3, 3),
        (Detail.objects.order_by("-number")[7:20], 2, 9),
    ):
        with calls() as made:
            assert query.count() == count
        assert sum(call["documents_read"] for call in made) <= most


@pytest.fixture
def details() -> None:
    """Four rows; the later ones are parts of the first."""
    first = Detail.objects.create(number=0)
    Detail.objects.bulk_create(Detail(number=i, select=i * 2, where="x", parent=first) for i in range(1, 4))


def test_slices_with_a_self_join_are_bounded(details: None, calls: Any) -> None:
    """The slice is read as a slice, and the joined rows of the same table by key."""
    for query in (
        Detail.objects.select_related("parent").order_by("-number"),
        Detail.objects.annotate(has=Exists(Detail.objects.filter(parent=OuterRef("pk")))).order_by("-number"),
    ):
        with calls() as made:
            assert [row.number for row in query[:2]] == [3, 2]
        assert sum(call["documents_read"] for call in made) <= 3
        with calls() as made:
            assert [row.number for row in query[1:3]] == [2, 1]
        assert sum(call["documents_read"] for call in made) <= 4


def test_first_of_a_table_that_the_transaction_wrote_to_is_bounded(calls: Any) -> None:
    """Firestore's first rows and the transaction's own are read."""
    Detail.objects.bulk_create(Detail(number=i) for i in range(20))
    with transaction.atomic():
        Detail.objects.create(number=30)
        Detail.objects.filter(number=19).update(number=-1)
        Detail.objects.filter(number=0).delete()
        with calls() as made:
            assert Detail.objects.order_by("-number").first().number == 30  # type: ignore[union-attr]
            assert [row.number for row in Detail.objects.order_by("-number")[1:3]] == [18, 17]
            assert Detail.objects.exists()
            assert [row.number for row in Detail.objects.order_by("number")[:2]] == [-1, 1]
        assert sum(call["documents_read"] for call in made) <= 4 * 6


@pytest.mark.parametrize(
    ("ask", "most"),
    [
        (lambda rows: rows.count(), 4),
        (lambda rows: rows.filter(stars__gte=10).count(), 4),
        (lambda rows: rows.order_by("-stars")[3:8].count(), 4),
        (lambda rows: rows.filter(stars=7)[:1].count(), 4),
        (lambda rows: rows.aggregate(n=Count("*"), known=Count("stars"), most=Max("stars"), least=Min("stars")), 13),
        (lambda rows: rows.filter(stars__lt=20).aggregate(total=Sum("stars"), mean=Avg("stars")), 7),
        (lambda rows: rows.filter(owner="nobody").aggregate(total=Sum("stars"), most=Max("stars"), n=Count("*")), 7),
        (lambda rows: rows.filter(stars__in=[7, 8, 38, 39]).aggregate(n=Count("*"), total=Sum("stars")), 6),
        (lambda rows: rows.filter(Q(stars=7) | Q(stars__isnull=True)).count(), 4),
        (lambda rows: (rows.exists(), rows.filter(stars=100).exists(), rows.order_by("-stars").first().pk), 13),
    ],
)
def test_aggregates_of_a_table_that_the_transaction_wrote_to_are_bounded(
    notes: None, calls: Any, ask: Any, most: int
) -> None:
    """Firestore's aggregates are corrected by the three stored rows that the block changed or deleted. Each call for
    an aggregate counts as one document."""
    answers = []
    for alias in ("sqlite", "default"):
        rows = Note.objects.using(alias)
        with transaction.atomic(using=alias):
            rows.create(id="new", stars=7)
            rows.create(id="new2")
            rows.filter(id="39").update(stars=F("stars") - 39)
            rows.filter(id="08").update(text="x", stars=None)
            rows.filter(id="38").delete()
            with calls() as made:
                answers.append(ask(rows.all()))
            transaction.set_rollback(True, using=alias)
    assert answers[1] == answers[0]
    assert sum(call["documents_read"] for call in made) <= most


def test_sums_beyond_64_bits_are_an_error_in_a_block_too(notes: None) -> None:
    """As on SQLite; sums of floats are computed by SQLite, whose order decides their last digits."""
    with transaction.atomic():
        Note.objects.filter(id__in=["01", "02"]).update(stars=2**62)
        Note.objects.create(id="new", stars=2**62)
        assert Note.objects.filter(id="new").aggregate(n=Sum("stars"))["n"] == 2**62
        transaction.set_rollback(True)
    Note.objects.filter(id__in=["01", "02", "03"]).update(stars=2**62)
    with transaction.atomic(), pytest.raises(OperationalError, match="overflow"):  # noqa: PT012
        Note.objects.create(id="new", stars=1)
        Note.objects.aggregate(n=Sum("stars"))


@pytest.fixture
def seats() -> None:
    """Thirty rows with unique expressions, one of them under a condition."""
    for alias in ("default", "sqlite"):
        Seat.objects.using(alias).bulk_create(seat(i) for i in range(30))


def seat(number: int, **values: Any) -> Seat:
    given = {
        "row": number,
        "number": number,
        "slot": number,
        "name": f"N{number}",
        "email": f"e{number}",
        "active": True,
    }
    return Seat(**{"id": f"s{number}", "code": f"c{number}"} | given | values)


@pytest.mark.parametrize(
    ("row", "own"),
    [
        (lambda: seat(90, name="n7"), ()),
        (lambda: seat(90, name="zz"), ()),
        (lambda: seat(90, name="n7"), ("delete",)),
        (lambda: seat(90, name="ZZ"), ("create",)),
        (lambda: seat(90, name=None), ()),
        (lambda: seat(90, email="e7"), ()),
        (lambda: seat(90, email="e7", active=False), ()),
        (lambda: seat(90, code="c7"), ()),
    ],
)
def test_unique_expressions_are_validated_by_their_marker(
    seats: None, calls: Any, row: Callable[[], Seat], own: tuple[str, ...]
) -> None:
    """`validate_constraints()` reads no more than the marker and the row that it names, and what SQLite says."""
    answers = []
    for alias in ("sqlite", "default"):
        with transaction.atomic(using=alias):
            if "delete" in own:
                Seat.objects.using(alias).filter(pk="s7").delete()
            if "create" in own:
                Seat.objects.using(alias).bulk_create([seat(80, name="zZ")])
            made_row = row()
            made_row._state.db = alias
            with calls() as made, override_router(alias):
                try:
                    made_row.full_clean()
                    answers.append("valid")
                except ValidationError as error:
                    answers.append(str(sorted(error.message_dict)))
            transaction.set_rollback(True, using=alias)
    assert answers[1] == answers[0]
    assert max(call["documents_read"] for call in made) <= 1
    assert len(made) <= 12


def test_a_stored_row_is_valid_beside_itself(seats: None, calls: Any) -> None:
    """And invalid with the values of another."""
    lower_name = Seat._meta.constraints[-1]
    stored = Seat.objects.get(pk="s7")
    with calls() as made:
        lower_name.validate(Seat, stored)
        stored.name = "n8"
        with pytest.raises(ValidationError):
            lower_name.validate(Seat, stored)
    assert sum(call["documents_read"] for call in made) <= 4

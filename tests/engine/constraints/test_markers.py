"""Unique constraints on the emulator: enforced by markers in all writes, checked and repaired by the command."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.apps.registry import Apps
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, OperationalError, connection, connections, models, transaction
from django.db.models import F, Value
from django.db.models.constants import OnConflict
from django.db.models.functions import Concat, Lower, Now

from memory.backends.firestore.constraints.definitions import COLUMNS, OWNER
from memory.backends.firestore.errors import Contention, TransactionTooLarge
from memory.backends.firestore.management.commands.firestore_constraints import Command
from memory.backends.firestore.query.plan import Delete, Put, Query
from memory.backends.firestore.querysets import FirestoreQuerySet
from memory.backends.firestore.values.marker_collections import marker_collection
from memory.backends.firestore.values.types import DOCUMENT_ID, Kind, Ref
from tests.engine.app.models import Author, Hall, Place, Seat, Stay

pytestmark = pytest.mark.django_db(transaction=True)

MARKERS = marker_collection("engine_seat")


def seat(id: str, **values: Any) -> Seat:
    """A seat that conflicts with others only by `values`."""
    return Seat(id=id, **{"number": None, "slot": int.from_bytes(id.encode(), "big"), **values})


def markers(table: str = "engine_seat") -> dict[str, str]:
    """The stored markers: rows by marker id."""
    return dict(connection.cursor().run(Query(marker_collection(table), (DOCUMENT_ID, OWNER))))


def check(*arguments: str) -> str:
    """The output of `firestore_constraints --check`; raises CommandError if it finds a problem."""
    output = io.StringIO()
    call_command(Command(), "--check", *arguments, stdout=output, stderr=output)
    return output.getvalue()


@pytest.fixture
def two() -> Iterator[tuple[Seat, Seat]]:
    """Two seats. After the test, markers and rows must agree."""
    found = Seat.objects.bulk_create(
        [seat("a", code="x", row=1, number=1, email="e", active=True), seat("b", code="y", row=1, number=2, email="e")]
    )
    yield found[0], found[1]
    check("engine.Seat")


CONFLICTS = [
    ({"code": "x"}, r"engine_seat\.code"),
    ({"row": 1, "number": 1}, r"engine_seat\.row, engine_seat\.number"),
    ({"email": "e", "active": True}, r"engine_seat\.email"),
    ({"room": None, "slot": ord("a")}, r"engine_seat\.room, engine_seat\.slot"),
    ({"name": "ANN"}, r"index 'lower_name'"),
]


@pytest.mark.parametrize(("values", "message"), CONFLICTS)
def test_a_duplicate_is_refused_with_its_columns(values: dict[str, Any], message: str, two: tuple[Seat, Seat]) -> None:
    """On insert, bulk insert and update, with SQLite's message, and nothing is written."""
    Seat.objects.filter(pk="a").update(name="Ann")
    before = markers()
    with pytest.raises(IntegrityError, match=f"UNIQUE constraint failed: {message}"):
        seat("c", **values).save(force_insert=True)
    with pytest.raises(IntegrityError, match=message):
        Seat.objects.bulk_create([seat("d"), seat("e", **values)])
    with pytest.raises(IntegrityError, match=message):
        Seat.objects.filter(pk="b").update(**values)
    assert set(Seat.objects.values_list("pk", flat=True)) == {"a", "b"}
    assert markers() == before


@pytest.mark.parametrize(
    "values",
    [{"code": None}, {"row": 1, "number": None}, {"email": "e", "active": False}, {"room": 1.0, "slot": None}],
)
def test_rows_without_the_constraint_are_not_compared(values: dict[str, Any], two: tuple[Seat, Seat]) -> None:
    """Rows with nulls, and rows that do not fulfil the condition."""
    Seat.objects.bulk_create([seat("c", **values)])
    values = {**values, "slot": 99} if "room" in values else values
    Seat.objects.bulk_create([seat("d", **values)])
    assert Seat.objects.count() == 4


def test_equal_numbers_are_equal(two: tuple[Seat, Seat]) -> None:
    """As in SQL: 1 and 1.0, 0.0 and -0.0."""
    Seat.objects.bulk_create([seat("c", room=1, slot=1), seat("d", room=0.0, slot=1)])
    for room in (1.0, -0.0):
        with pytest.raises(IntegrityError, match="room"):
            seat("e", room=room, slot=1).save(force_insert=True)


def test_values_move_with_their_row(two: tuple[Seat, Seat]) -> None:
    """Values that a row releases can be used by others; values that it gets or keeps cannot."""
    Seat.objects.filter(pk="a").update(code="z")
    seat("c", code="x").save(force_insert=True)
    with pytest.raises(IntegrityError):
        seat("d", code="z").save(force_insert=True)
    one = Seat.objects.get(pk="a")
    one.save()
    one.code = "w"
    one.save(update_fields=["code"])
    Seat.objects.filter(code="w").update(code=Concat("code", Value("!")), row=F("row") + 1)
    assert Seat.objects.get(code="w!").row == 2
    Seat.objects.filter(pk="a").update(number=F("number") + 1)
    seat("e", row=1, number=1).save(force_insert=True)


def test_a_condition_that_becomes_true_is_enforced(two: tuple[Seat, Seat]) -> None:
    """The condition is on another column than the unique one."""
    with pytest.raises(IntegrityError, match=r"engine_seat\.email"):
        Seat.objects.filter(pk="b").update(active=True)
    Seat.objects.filter(pk="a").update(active=False)
    Seat.objects.filter(pk="b").update(active=True)


def test_rows_of_one_statement_may_exchange_values(two: tuple[Seat, Seat]) -> None:
    """Only the state after the statement must be unique, as in the SQL standard."""
    one, other = two
    one.code, other.code = other.code, one.code
    assert Seat.objects.bulk_update([one, other], ["code"]) == 2
    assert dict(Seat.objects.values_list("pk", "code")) == {"a": "y", "b": "x"}
    Seat.objects.filter(row=1).update(number=F("number") + 1)
    assert dict(Seat.objects.values_list("pk", "number")) == {"a": 2, "b": 3}
    with pytest.raises(IntegrityError):
        Seat.objects.filter(row=1).update(code="same")


def test_an_exchange_that_is_too_large_is_refused() -> None:
    """It must be one commit, so it is refused before it is sent, with the sizes."""
    rows = [seat(f"s{i}", code="x" * 700_000 + str(i)) for i in range(7)]
    Seat.objects.bulk_create(rows)
    codes = [row.code for row in rows]
    for row, code in zip(rows, codes[1:] + codes[:1], strict=True):
        row.code = code
    with pytest.raises(TransactionTooLarge, match="the limit of the emulator is 4,194,304"):
        Seat.objects.bulk_update(rows, ["code"])
    assert set(Seat.objects.values_list("pk", "code")) == {(f"s{i}", codes[i]) for i in range(7)}
    check()


def test_deleted_rows_release_their_values(two: tuple[Seat, Seat]) -> None:
    """By key, by filter and in the mirror."""
    Seat.objects.bulk_create([seat("c", code="long"), seat("d", code="Short")])
    Seat.objects.filter(pk="a").delete()
    Seat.objects.filter(code="y").delete()
    Seat.objects.filter(code__icontains="ho").delete()
    Seat.objects.get(pk="c").delete()
    assert markers() == {}


def test_conflicts_are_ignored_by_row(two: tuple[Seat, Seat]) -> None:
    """A row with any conflict is skipped, also one with an earlier row of the statement."""
    Seat.objects.bulk_create(
        [seat("c", code="x"), seat("d", code="new", row=5, number=5), seat("e", row=5, number=5), seat("a")],
        ignore_conflicts=True,
    )
    assert set(Seat.objects.values_list("pk", flat=True)) == {"a", "b", "d"}


def test_conflicts_are_updated(two: tuple[Seat, Seat]) -> None:
    """The existing row with the values of the unique fields is updated, including its markers."""
    Seat.objects.bulk_create(
        [seat("c", code="x", email="f"), seat("d", code="new"), seat("e", code="new", email="g")],
        update_conflicts=True,
        unique_fields=["code"],
        update_fields=["email"],
    )
    assert dict(Seat.objects.values_list("pk", "email")) == {"a": "f", "b": "e", "d": "g"}
    seat("f", email="e", active=True).save(force_insert=True)
    with pytest.raises(IntegrityError, match=r"engine_seat\.email"):
        Seat.objects.bulk_create(
            [seat("g", code="x", email="e")], update_conflicts=True, unique_fields=["code"], update_fields=["email"]
        )
    with pytest.raises(IntegrityError, match=r"engine_seat\.row, engine_seat\.number, .*not among the unique_fields"):
        Seat.objects.bulk_create(
            [seat("g", row=1, number=2)], update_conflicts=True, unique_fields=["code"], update_fields=["email"]
        )
    with pytest.raises(IntegrityError, match=r"engine_seat\.id, .*not among the unique_fields"):
        Seat.objects.bulk_create(
            [seat("b", code="z")], update_conflicts=True, unique_fields=["code"], update_fields=["email"]
        )
    # Of two constraints, that of the unique fields decides.
    Seat.objects.bulk_create(
        [seat("b", code="x", email="h")], update_conflicts=True, unique_fields=["code"], update_fields=["email"]
    )
    assert dict(Seat.objects.values_list("pk", "email")).items() >= {"a": "h", "b": "e"}.items()
    with pytest.raises(OperationalError, match="ON CONFLICT clause does not match"):
        Seat.objects.bulk_create([seat("g")], update_conflicts=True, unique_fields=["email"], update_fields=["slot"])


def test_tables_of_a_model_and_its_parent(two: tuple[Seat, Seat]) -> None:
    """Each table enforces its own constraints. One-to-one fields are unique too."""
    hall = Hall.objects.create(name="n", code="c")
    with pytest.raises(IntegrityError, match=r"engine_place\.name"):
        Hall.objects.create(name="n", code="d")
    with pytest.raises(IntegrityError, match=r"engine_hall\.code"):
        Hall.objects.create(name="m", code="c")
    Hall.objects.filter(pk=hall.pk).update(name="q", code="r")
    Hall.objects.create(name="n", code="c")
    hall.delete()
    assert len(markers("engine_place")) == Place.objects.count()
    assert len(markers("engine_hall")) == 1
    one, other = two
    one.twin = other
    one.save()
    other.twin = other
    with pytest.raises(IntegrityError, match=r"engine_seat\.twin_id"):
        other.save()


@pytest.mark.parametrize(
    ("write", "methods"),
    [
        (lambda: Group.objects.create(name="c"), ["Commit"]),
        (lambda: Group.objects.bulk_create(Group(name=f"g{i}") for i in range(100)), ["Commit"]),
        (lambda: Group.objects.get(name="a").save(), ["RunQuery", "GetDocument", "Commit"]),
        (lambda: Group.objects.filter(name="a").update(name="c"), ["RunQuery", "BatchGetDocuments", "Commit"]),
        (lambda: Group.objects.filter(name="a")._raw_delete("default"), ["RunQuery", "GetDocument", "Commit"]),
        (lambda: Author.objects.create(name="c"), ["Commit"]),
    ],
)
def test_what_markers_cost(write: Callable[[], Any], methods: list[str], calls: Callable[[], Any]) -> None:
    """An insert reads nothing. An update of a unique column reads the row, and the markers that change, if any."""
    Group.objects.create(name="a")
    with calls() as log:
        write()
    assert [call["method"] for call in log] == methods


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Runs a function concurrently in many threads, each with its own connection."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait()
        try:
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_fifty_threads_create_one_row() -> None:
    """`get_or_create` on a unique column and on a text key: one thread creates the row, and none fails."""
    made = in_threads(50, lambda number: Group.objects.get_or_create(name="one"))
    assert sum(created for _, created in made) == 1
    assert len({group.pk for group, _ in made}) == 1
    made = in_threads(50, lambda number: Seat.objects.get_or_create(id="s", defaults={"code": "c"}))
    assert sum(created for _, created in made) == 1
    assert (Group.objects.count(), Seat.objects.count()) == (1, 1)
    assert check()


def test_fifty_threads_update_or_create_one_row() -> None:
    """`update_or_create` on a unique column, and on a text key: one of them creates, the others update what the one
    before them left, and nobody fails."""
    made = in_threads(
        50, lambda number: FirestoreQuerySet(Group).update_or_create(name="one", defaults={"name": "one"})
    )
    assert sum(created for _, created in made) == 1
    assert len({group.pk for group, _ in made}) == 1
    made = in_threads(
        50, lambda number: FirestoreQuerySet(Seat).update_or_create(id="s", defaults={"code": "c", "slot": number})
    )
    assert sum(created for _, created in made) == 1
    assert (Group.objects.count(), Seat.objects.count()) == (1, 1)
    assert check()


def test_update_or_create_loses_no_update() -> None:
    """Each expression is applied exactly once, however often an attempt is retried."""
    Seat.objects.create(id="s", code="c", slot=0)
    in_threads(10, lambda number: FirestoreQuerySet(Seat).update_or_create(id="s", defaults={"slot": F("slot") + 1}))
    assert Seat.objects.get().slot == 10


def test_many_threads_ignore_each_other() -> None:
    """`bulk_create` with `ignore_conflicts` skips rows that others created concurrently, and does not raise."""

    def create(number: int) -> None:
        rows = [seat(f"s{number}{i}", code=f"c{i}", slot=100 * number + i) for i in range(5)]
        Seat.objects.bulk_create(rows, ignore_conflicts=True)

    in_threads(10, create)
    assert sorted(Seat.objects.values_list("code", flat=True)) == [f"c{i}" for i in range(5)]
    check()


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Runs a function just before the next commit of a transaction, as another client would."""

    def arrange(work: Callable[[], Any]) -> None:
        executor = connection.cursor()._executor  # type: ignore[attr-defined]
        commit = executor.commit_whole

        def interfere(*arguments: Any, **more: Any) -> None:
            monkeypatch.setattr(executor, "commit_whole", commit)
            in_threads(1, lambda number: work())
            commit(*arguments, **more)

        monkeypatch.setattr(executor, "commit_whole", interfere)

    return arrange


def test_update_or_create_is_retried(
    two: tuple[Seat, Seat], meanwhile: Callable[[Callable[[], Any]], None], calls: Callable[[], Any]
) -> None:
    """If the row was changed after it was read: without locks or a server transaction, and the change is kept."""
    meanwhile(lambda: Seat.objects.filter(pk="a").update(email="theirs", number=7))
    with calls() as log:
        found, created = FirestoreQuerySet(Seat).update_or_create(code="x", defaults={"email": "mine", "room": 1.5})
    assert (found.pk, found.number, created) == ("a", 7, False)
    stored = Seat.objects.get(pk="a")
    assert (stored.email, stored.number, stored.room) == ("mine", 7, 1.5)
    assert {"BeginTransaction", "Rollback"}.isdisjoint(call["method"] for call in log)


def test_update_or_create_creates_a_deleted_row(
    two: tuple[Seat, Seat], meanwhile: Callable[[Callable[[], Any]], None]
) -> None:
    """If the row was deleted after it was read, it is created."""
    meanwhile(lambda: Seat.objects.filter(pk="a").delete())
    found, created = FirestoreQuerySet(Seat).update_or_create(
        code="x", defaults={"room": 1.5}, create_defaults={"id": "new"}
    )
    assert (found.pk, created) == ("new", True)
    assert sorted(Seat.objects.values_list("pk", "code")) == [("b", "y"), ("new", "x")]


def test_fifty_threads_upsert_one_row() -> None:
    """`bulk_create(update_conflicts=True)` of Django's own queryset: one of them creates, the others update."""

    def upsert(number: int) -> None:
        rows = [seat(f"s{number}", code="one", email=str(number))]
        Seat.objects.bulk_create(rows, update_conflicts=True, unique_fields=["code"], update_fields=["email"])

    in_threads(50, upsert)
    assert Seat.objects.count() == 1
    check()


def test_an_upsert_is_retried(two: tuple[Seat, Seat], meanwhile: Callable[[Callable[[], Any]], None]) -> None:
    """If the row that `bulk_create(update_conflicts=True)` would update was deleted, it is created."""
    meanwhile(lambda: Seat.objects.filter(pk="a").delete())
    rows = (seat(id, code=code, slot=90 + place) for place, (id, code) in enumerate([("c", "x"), ("d", "y")]))
    made = Seat.objects.bulk_create(rows, update_conflicts=True, unique_fields=["code"], update_fields=["slot"])
    assert [row.pk for row in made] == ["c", "d"]
    assert sorted(Seat.objects.values_list("pk", "code", "slot")) == [("b", "y", 91), ("c", "x", 90)]


def test_an_upsert_without_a_block_is_a_transaction_of_its_own(
    two: tuple[Seat, Seat], meanwhile: Callable[[Callable[[], Any]], None], calls: Callable[[], Any]
) -> None:
    """Django 6 opens no transaction for one statement: it is still retried, and locks nothing."""
    meanwhile(lambda: Seat.objects.filter(pk="a").delete())
    rows = [seat("c", code="x", slot=90), seat("d", code="y", slot=91)]
    with calls() as log:
        Seat._base_manager.all()._insert(  # type: ignore[attr-defined]
            rows,
            fields=Seat._meta.concrete_fields,
            using="default",
            on_conflict=OnConflict.UPDATE,
            update_fields=[Seat._meta.get_field("slot")],
            unique_fields=[Seat._meta.get_field("code")],
        )
    assert sorted(Seat.objects.values_list("pk", "code", "slot")) == [("b", "y", 91), ("c", "x", 90)]
    assert {"BeginTransaction", "Rollback"}.isdisjoint(call["method"] for call in log)
    check()


def test_rows_without_a_block_are_one_transaction(two: tuple[Seat, Seat]) -> None:
    """Several rows of one INSERT: where one is refused, none is written, and the connection goes on."""
    rows = [seat("c", code="new", slot=90), seat("d", code="y", slot=91)]
    with pytest.raises(IntegrityError):
        Seat._base_manager.all()._insert(rows, fields=Seat._meta.concrete_fields, using="default")  # type: ignore[attr-defined]
    assert sorted(Seat.objects.values_list("pk", flat=True)) == ["a", "b"]
    assert connection.unit is None  # type: ignore[attr-defined]


def test_an_upsert_in_a_block_that_fails_leaves_nothing(two: tuple[Seat, Seat]) -> None:
    """It is no transaction of its own there, whether or not the block takes savepoints."""
    for savepoint in (True, False):
        with pytest.raises(ValueError, match="left"), transaction.atomic(savepoint=savepoint):  # noqa: PT012
            rows = [seat("c", code="x", slot=90), seat("d", code="new", slot=91)]
            Seat.objects.bulk_create(rows, update_conflicts=True, unique_fields=["code"], update_fields=["slot"])
            raise ValueError("left")
        assert sorted(Seat.objects.values_list("pk", "slot")) == [("a", two[0].slot), ("b", two[1].slot)]
    check()


def test_an_upsert_among_other_statements_is_left_to_the_caller(
    two: tuple[Seat, Seat], meanwhile: Callable[[Callable[[], Any]], None]
) -> None:
    """What else the block did may rest on what it read: only the caller can run it again."""
    meanwhile(lambda: Seat.objects.filter(pk="a").update(number=7))
    with pytest.raises(Contention), transaction.atomic(savepoint=False):  # noqa: PT012
        rows = [seat("c", code="x", slot=90)]
        Seat.objects.bulk_create(rows, update_conflicts=True, unique_fields=["code"], update_fields=["slot"])
        Seat.objects.create(id="z", code="z")
    assert sorted(Seat.objects.values_list("pk", flat=True)) == ["a", "b"]
    check()


def test_inside_a_transaction_the_row_is_locked(two: tuple[Seat, Seat], calls: Callable[[], Any]) -> None:
    """`update_or_create()` inside `atomic()` reads in the caller's transaction, and does not retry on contention."""
    with calls() as log, transaction.atomic():
        FirestoreQuerySet(Seat).update_or_create(code="x", defaults={"room": 1.5})
    assert [call["method"] for call in log].count("BeginTransaction") == 1
    assert Seat.objects.get(pk="a").room == 1.5


def test_a_row_that_others_create_concurrently_is_skipped_or_updated(
    meanwhile: Callable[[Callable[[], Any]], None],
) -> None:
    """Skipped with `ignore_conflicts`. With `update_conflicts` the update is retried."""

    def upsert() -> None:
        Seat.objects.bulk_create(
            [seat("c", code="one", email="new")],
            update_conflicts=True,
            unique_fields=["code"],
            update_fields=["email"],
        )

    meanwhile(lambda: seat("a", code="two").save(force_insert=True))
    Seat.objects.bulk_create([seat("b", code="two"), seat("d", code="three")], ignore_conflicts=True)
    meanwhile(lambda: seat("e", code="one").save(force_insert=True))
    upsert()
    assert dict(Seat.objects.values_list("pk", "email")) == {"a": "", "d": "", "e": "new"}
    check()


def test_many_threads_set_one_value() -> None:
    """If twenty rows are set to the same code concurrently, one update succeeds."""
    Seat.objects.bulk_create(seat(f"s{i}") for i in range(20))

    def take(number: int) -> bool:
        try:
            return bool(Seat.objects.filter(pk=f"s{number}").update(code="taken"))
        except IntegrityError:
            return False

    assert sum(in_threads(20, take)) == 1
    assert Seat.objects.filter(code="taken").count() == 1
    check()


# --- rows without correct markers


def put(id: str, **values: Any) -> None:
    """Writes a seat as another client would, without markers."""
    values = {**values, "slot": int.from_bytes(id.encode(), "big")}
    kinds = {"code": Kind.TEXT, "row": Kind.INTEGER, "number": Kind.INTEGER, "slot": Kind.INTEGER}
    refs = tuple(Ref((name,), kinds[name]) for name in values)
    connection.cursor().commit([Put("engine_seat", id, refs, tuple(values.values()))])


def repair() -> str:
    """The output of `--repair`."""
    output = io.StringIO()
    call_command(Command(), "--repair", "engine.Seat", stdout=output, stderr=output)
    return output.getvalue()


def test_missing_markers_and_orphans_are_found_and_repaired() -> None:
    """Rows by other clients get markers. Markers of deleted rows, or for other values, are deleted."""
    put("a", code="x", row=1, number=1)
    Seat.objects.bulk_create([seat("b", code="y"), seat("c", code="z"), seat("d", code="w")])
    connection.cursor().commit([Delete("engine_seat", "b")])
    put("c", code="y", row=3, number=3)
    with pytest.raises(CommandError, match="--repair"):
        check()
    assert "3 rows" in repair()
    check()
    for code in ("x", "y", "w"):
        with pytest.raises(IntegrityError):
            seat("e", code=code).save(force_insert=True)
    seat("e", code="z").save(force_insert=True)


def test_violations_are_reported_and_not_changed() -> None:
    """Two rows with the same value are reported and not changed. The rest is repaired, and the exit code is 1."""
    put("a", code="x", row=1, number=1)
    put("b", code="x", row=1, number=2)
    put("c", code="z", row=1, number=3)
    for command in (check, repair):
        with pytest.raises(CommandError, match=r"\b1 violations"):
            command()
    Seat.objects.filter(pk="b").delete()
    repair()
    check()
    with pytest.raises(IntegrityError):
        seat("d", code="x").save(force_insert=True)


def test_a_row_does_not_delete_the_marker_of_another() -> None:
    """Deleting the second of two violating rows keeps the marker of the first."""
    seat("a", code="x").save(force_insert=True)
    put("b", code="x", row=1, number=2)
    Seat.objects.filter(pk="b").delete()
    with pytest.raises(IntegrityError):
        seat("c", code="x").save(force_insert=True)
    check()


def test_the_command_rejects_invalid_arguments() -> None:
    """Unknown databases and models."""
    with pytest.raises(CommandError, match="not a Firestore database"):
        check("--database", "sqlite")
    with pytest.raises(CommandError, match=r"app_label\.Model"):
        check("nothing.Known")


# --- checks


def test_checks_are_enforced_in_all_writes(calls: Callable[[], Any]) -> None:
    """For written and unchanged columns. As in SQL, a check that is unknown because of a null passes."""
    stay = Stay.objects.create(first=1, last=2)
    Stay.objects.create(first=5)
    for write in (
        lambda: Stay.objects.create(first=3, last=2),
        lambda: Stay.objects.bulk_create([Stay(first=1), Stay(first=1, last=0)]),
        lambda: Stay.objects.filter(pk=stay.pk).update(first=3),
        lambda: Stay.objects.filter(pk=stay.pk).update(first=F("first") + 2),
        lambda: Stay.objects.update(last=F("last") - F("first") - 1),
    ):
        with pytest.raises(IntegrityError, match="CHECK constraint failed: in_order"):
            write()
    with pytest.raises(IntegrityError, match="CHECK constraint failed: short"):
        Stay.objects.update(guest="far too long")
    Stay.objects.filter(pk=stay.pk).update(first=2)
    assert sorted(Stay.objects.values_list("first", "last", "guest")) == [(2, 2, ""), (5, None, "")]
    with calls() as log:
        Stay.objects.create(first=1, last=1)
    assert [call["method"] for call in log] == ["Commit"]


def test_a_check_is_added_to_existing_rows() -> None:
    """Rows that violate it are named."""
    good, bad = Author.objects.create(name="good"), Author.objects.create(name="")
    constraint = models.CheckConstraint(condition=~models.Q(name=""), name="named")
    with connection.schema_editor() as editor:
        with pytest.raises(IntegrityError, match=rf"named: 1 rows .* {bad.pk:019}") as caught:
            editor.add_constraint(model_like(constraints=[constraint]), constraint)
        assert str(good.pk) not in str(caught.value)
        bad.delete()
        editor.add_constraint(model_like(constraints=[constraint]), constraint)


# --- migrations


def model_like(**options: Any) -> Any:
    """Another state of the model Author, as in a migration."""
    fields = {"name": models.CharField(max_length=50), **options.pop("fields", {})}
    meta = type("Meta", (), {"app_label": "engine", "apps": Apps(), "db_table": "engine_author", **options})
    return type("Author", (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


def test_a_constraint_is_added_to_existing_rows() -> None:
    """Markers are written. If rows violate it, they are named and nothing is written."""
    Author.objects.bulk_create(Author(name=name) for name in ("a", "b"))
    constraint = models.UniqueConstraint(fields=["name"], name="one_name")
    new = model_like(constraints=[constraint])
    with connection.schema_editor() as editor:
        editor.add_constraint(new, constraint)
        assert len(markers("engine_author")) == 2
        editor.remove_constraint(model_like(), constraint)
        assert markers("engine_author") == {}
        Author.objects.create(name="a")
        with pytest.raises(IntegrityError, match=r"1 violations[\s\S]*engine_author\.name"):
            editor.add_constraint(new, constraint)
        assert markers("engine_author") == {}


def test_schema_changes_update_markers() -> None:
    """A column that becomes unique or is renamed, a renamed table, `unique_together`."""
    Author.objects.bulk_create(Author(name=name) for name in ("a", "b"))
    plain, unique = model_like(), model_like(fields={"name": models.CharField(max_length=50, unique=True)})
    title = model_like(fields={"title": models.CharField(max_length=50, unique=True)})
    with connection.schema_editor() as editor:
        editor.alter_field(plain, plain._meta.get_field("name"), unique._meta.get_field("name"))
        first = markers("engine_author")
        assert len(first) == 2
        editor.alter_field(unique, unique._meta.get_field("name"), title._meta.get_field("title"))
        assert len(markers("engine_author")) == 2
        assert markers("engine_author").keys().isdisjoint(first)
        editor.remove_field(title, title._meta.get_field("title"))
        assert markers("engine_author") == {}
        pair = model_like(unique_together=[("id", "name")])
        editor.alter_unique_together(pair, set(), {("id", "name")})
        moved = model_like(unique_together=[("id", "name")], db_table="engine_renamed_author")
        editor.alter_db_table(moved, "engine_author", "engine_renamed_author")
        assert (len(markers("engine_author")), len(markers("engine_renamed_author"))) == (0, 2)
        free = model_like(db_table="engine_renamed_author")
        editor.alter_unique_together(free, {("id", "name")}, set())
        assert markers("engine_renamed_author") == {}
        editor.delete_model(free)


def test_unsupported_constraints_are_reported() -> None:
    """A condition on another table, a function of time, an unknown collation."""
    bad = [
        models.UniqueConstraint(fields=["name"], condition=models.Q(other__name="x"), name="joined"),
        models.UniqueConstraint(Now(), name="later"),
        models.UniqueConstraint(fields=["text"], name="collated"),
        models.UniqueConstraint(Lower("name"), name="fine"),
    ]
    fields = {
        "other": models.ForeignKey(Author, models.CASCADE),
        "text": models.CharField(max_length=9, db_collation="swedish"),
    }
    model = model_like(constraints=bad, fields=fields)
    found = connection.validation.check_constraints(model)
    assert [message.id for message in found] == ["firestore.E002"] * 3
    assert [message.msg.split("'")[1] for message in found] == ["joined", "later", "collated"]
    assert connection.validation.check() == []


def test_full_clean_validates_constraints(two: tuple[Seat, Seat]) -> None:
    """Including those with conditions and expressions."""
    Seat.objects.filter(pk="a").update(name="Ann")
    for values, message in [
        ({"code": "x"}, "code"),
        ({"email": "e", "active": True}, "active_email"),
        ({"name": "ANN"}, "lower_name"),
    ]:
        with pytest.raises(ValidationError, match=message):
            seat("c", **values).full_clean(exclude=["twin"])
    seat("c", name="other", code="c", number=7, room=1.0, email="e").full_clean(exclude=["twin"])


def test_flush_and_introspection_handle_markers() -> None:
    """Markers are not a table, and a flush deletes them."""
    Seat.objects.bulk_create([seat("a", code="x")])
    with connection.cursor() as cursor:
        assert MARKERS in cursor.collections()
        assert MARKERS not in connection.introspection.table_names(cursor)
        known = connection.introspection.get_constraints(cursor, "engine_seat")
        assert connection.introspection.get_constraints(cursor, "engine_stay")["in_order"]["check"]
        assert {"unique(code)", "unique(row, number)", "active_email", "room_slot", "lower_name"} < known.keys()
        Author.objects.create(name="stays")
        connection.ops.execute_sql_flush(connection.ops.sql_flush(None, ["engine_seat"]))
        assert MARKERS not in cursor.collections()
    assert Author.objects.count() == 1


def test_a_marker_identifies_its_write() -> None:
    """So that after a lost response, another client's marker is not mistaken for success."""
    seat("a", code="x").save(force_insert=True)
    stored = list(connection.cursor().run(Query(MARKERS, COLUMNS)))
    assert len({nonce for *_, nonce in stored}) == 1
    assert all(len(nonce) == 16 for *_, nonce in stored)


def test_a_statement_of_several_commits_names_the_conflict() -> None:
    """And not a row that an earlier commit of the statement wrote. It reports the number of those."""
    Group.objects.create(name="taken")
    message = r"UNIQUE constraint failed: auth_group\.name; other commits wrote \d+ documents of the statement"
    with pytest.raises(IntegrityError, match=message):
        Group.objects.bulk_create([*(Group(name=f"g{i}") for i in range(599)), Group(name="taken")])
    with pytest.raises(IntegrityError, match=r"auth_group\.name; nothing was written"), transaction.atomic():
        Group.objects.bulk_create([*(Group(name=f"h{i}") for i in range(599)), Group(name="taken")])
    assert not Group.objects.filter(name__startswith="h").exists()

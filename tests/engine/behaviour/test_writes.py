"""Writes on the emulator: counts, conflicts, expressions, and concurrent writers."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import FieldError
from django.db import DataError, IntegrityError, NotSupportedError, connection, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Concat, Upper
from django.db.transaction import TransactionManagementError

from memory.backends.firestore.query.plan import Update
from memory.backends.firestore.values.types import Kind, Ref
from tests.engine.app.models import KEYED, Arrival, Author, Everything, Note, Rectangle

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def notes() -> None:
    Note.objects.bulk_create(Note(id=f"n{i}", text=f"t{i}", stars=i, reads=i) for i in range(6))


def reads() -> list[int]:
    return list(Note.objects.order_by("pk").values_list("reads", flat=True))


@pytest.mark.parametrize(
    ("write", "made"),
    [
        (lambda: Note.objects.create(id="new"), 1),
        (lambda: Note.objects.bulk_create(Note(id=f"b{i}") for i in range(100)), 1),
        (lambda: Note.objects.filter(pk="n1").update(text="x"), 1),
        (lambda: Note.objects.filter(pk="n1").update(reads=F("reads") + 1), 1),
        (lambda: Note(pk="n1").delete(), 1),
        (lambda: Note.objects.filter(pk="n1").delete(), 2),
        (lambda: Note.objects.filter(owner="ann").update(text="x"), 2),
    ],
)
def test_writes_cost_few_calls(write: Callable[[], Any], made: int, notes: None, calls: Callable[[], Any]) -> None:
    """One call for rows chosen by key, one more to choose them otherwise; Django deletes a queryset inside `atomic()`,
    so what is there to be counted is looked up first."""
    with calls() as log:
        write()
    assert len(log) == made


def test_a_duplicate_key_is_an_integrity_error(notes: None) -> None:
    """The existing row is not changed."""
    with pytest.raises(IntegrityError):
        Note.objects.create(id="n1", text="other")
    with pytest.raises(IntegrityError):
        Note.objects.bulk_create([Note(id="fresh"), Note(id="n1")])
    assert Note.objects.get(pk="n1").text == "t1"


def test_a_key_that_cannot_be_stored_is_a_data_error() -> None:
    """NaN has no order, and no encoding has lone surrogates."""
    for model, key in ((KEYED["float"], float("nan")), (KEYED["text"], "\ud800")):
        with pytest.raises(DataError):
            model.objects.create(key=key)


def test_null_and_negative_are_refused_as_sql_would(notes: None) -> None:
    """The engine enforces NOT NULL."""
    with pytest.raises(IntegrityError, match=r"NOT NULL constraint failed: engine_note\.text"):
        Note.objects.create(id="x", text=None)
    with pytest.raises(IntegrityError, match="NOT NULL"):
        Note.objects.filter(pk="n1").update(reads=None)


def test_null_is_refused_only_if_a_row_matches(notes: None) -> None:
    """As in SQL: `save()` of a new row with its key set tries an UPDATE first, where `auto_now_add` has no value."""
    assert Note.objects.filter(pk="nope").update(text=None) == 0
    assert Note.objects.filter(stars__gt=100).update(text=None) == 0
    Arrival(pk=1, who="ann").save()
    assert Arrival.objects.get(pk=1).at is not None
    with transaction.atomic():
        Arrival(pk=2, who="bob").save()
    assert Arrival.objects.count() == 2
    with pytest.raises(IntegrityError, match=r"NOT NULL constraint failed: engine_arrival\.at"):
        Arrival(pk=1, who="cid").save()
    assert Arrival.objects.get(pk=1).who == "ann"


def test_update_counts_what_it_matched(notes: None) -> None:
    """Rows that do not exist are not counted."""
    assert Note.objects.filter(pk="nope").update(text="x") == 0
    assert Note.objects.filter(pk__in=["n1", "nope"]).update(text="x") == 1
    assert Note.objects.filter(stars__gte=4).update(text="y") == 2
    assert Note.objects.filter(text__icontains="Y").update(text="z") == 2
    assert Note.objects.none().update(text="w") == 0
    assert list(Note.objects.filter(text="z").order_by("pk").values_list("pk", flat=True)) == ["n4", "n5"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"reads": F("reads") + 10}, [10, 11, 12, 13, 14, 15]),
        ({"reads": 10 - F("reads")}, [10, 9, 8, 7, 6, 5]),
        ({"reads": F("stars") * F("reads")}, [0, 1, 4, 9, 16, 25]),
        ({"reads": Case(When(stars__gt=3, then=Value(100)), default=F("reads"))}, [0, 1, 2, 3, 100, 100]),
    ],
)
def test_expressions_are_computed_as_in_sql(change: dict[str, Any], expected: list[int], notes: None) -> None:
    """Increments by the server, other expressions by SQLite over the matching rows."""
    assert Note.objects.update(**change) == 6
    assert reads() == expected


def test_constants_with_an_expression_are_written_exactly() -> None:
    """SQLite, whose decimals are floats with some 15 digits, computes only the expression."""
    exact = Decimal("1.00000000000000000001")
    row = Everything.objects.create(char="a", decimal=exact)
    assert Everything.objects.filter(decimal=exact).update(decimal=exact, char=Concat("char", Value("b"))) == 1
    row.char = Concat("char", Value("c"))
    row.save(update_fields=["char", "decimal"])
    assert Everything.objects.get(decimal=exact).char == "abc"
    with pytest.raises(IntegrityError, match=r"NOT NULL constraint failed: engine_everything\.slug"):
        Everything.objects.update(char=Concat("char", Value("d")), slug=None)
    assert Everything.objects.filter(char="no").update(char=Concat("char", Value("d")), slug=None) == 0


def test_text_expressions_and_bulk_update(notes: None) -> None:
    """`bulk_update` sends one Case; functions run in the mirror."""
    Note.objects.filter(stars=1).update(text=Concat(Upper("text"), Value("!")))
    found = list(Note.objects.order_by("pk"))
    assert found[1].text == "T1!"
    for note in found:
        note.text, note.stars = f"bulk {note.pk}", None
    assert Note.objects.bulk_update(found, ["text", "stars"], batch_size=4) == 6
    assert set(Note.objects.values_list("text", "stars")) == {(f"bulk n{i}", None) for i in range(6)}


def test_conflicts_are_ignored_or_updated(notes: None) -> None:
    """`bulk_create` with both kinds of conflict handling."""
    Note.objects.bulk_create([Note(id="n1", text="no"), Note(id="m1", text="yes")], ignore_conflicts=True)
    assert set(Note.objects.filter(pk__in=["n1", "m1"]).values_list("text", flat=True)) == {"t1", "yes"}
    Note.objects.bulk_create(
        [Note(id="n1", text="upd", stars=99), Note(id="m2", text="made")],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["text"],
    )
    assert Note.objects.filter(pk__in=["n1", "m2"]).order_by("pk").values_list("text", "stars")[1] == ("upd", 1)


@pytest.mark.parametrize("options", [{}, {"batch_size": 100}], ids=["one statement", "batches"])
def test_bulk_create_that_fails_half_way_says_what_is_stored(options: dict[str, int]) -> None:
    """On every version of Django, whose own `atomic()` is around some of these calls and not around others."""
    Note.objects.create(id="n0599")
    with pytest.raises(IntegrityError) as caught:
        Note.objects.bulk_create([Note(id=f"n{i:04}") for i in range(600)], **options)
    [written] = re.findall(r"other commits wrote (\d+) documents", str(caught.value))
    assert Note.objects.count() == 1 + int(written)
    assert 0 < int(written) < 600


def test_bulk_create_of_rows_with_and_without_keys_says_what_is_stored() -> None:
    """Both are parts of one statement, whose first part may be stored when the second fails."""
    Author.objects.create(pk=1, name="taken")
    with pytest.raises(IntegrityError) as caught:
        Author.objects.bulk_create([*(Author(name="x") for _ in range(600)), Author(pk=1, name="y")])
    written = re.findall(r"other commits wrote (\d+) documents", str(caught.value))
    assert Author.objects.count() == 1 + int(written[0] if written else 0)
    with pytest.raises(IntegrityError, match="nothing was written"), transaction.atomic():
        Author.objects.bulk_create([*(Author(name="x") for _ in range(600)), Author(pk=1, name="y")])
    assert Author.objects.filter(name="x").count() == int(written[0] if written else 0)


def test_delete_counts_and_cascades(notes: None) -> None:
    """Exact counts, by key, by filter and in the mirror."""
    author = Author.objects.create(name="x")
    Note.objects.filter(pk="n0").update(author=author)
    assert author.delete() == (2, {"engine.Author": 1, "engine.Note": 1})
    assert Note.objects.filter(pk__in=["n1", "nope"]).delete()[0] == 1
    assert Note.objects.filter(stars__gte=4).delete()[0] == 2
    assert Note.objects.filter(text__icontains="T").delete()[0] == 2
    assert Note.objects.count() == 0


def test_a_row_that_changed_concurrently_is_selected_again(notes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """UPDATE does not write rows that no longer match: another client changes n1 in between."""
    cursor = connection.cursor()
    commit = cursor._executor.commit
    interfered = []

    def interfere(writes: Any, **more: Any) -> Any:
        if not interfered and isinstance(writes[0], Update):
            interfered.append(True)
            commit([Update("engine_note", "n1", (Ref(("owner",), Kind.TEXT),), ("bob",))])
        return commit(writes, **more)

    monkeypatch.setattr(cursor._executor, "commit", interfere)
    assert Note.objects.filter(owner="ann", stars__lt=3).update(owner="carol") == 2
    assert Note.objects.get(pk="n1").owner == "bob"


def test_many_writers_of_one_row_all_come_to_it(notes: None) -> None:
    """A row that others changed is chosen again after a pause, until OPTIONS["timeout"]: nobody gives up, nothing is
    lost."""

    def change(_: int) -> int:
        try:
            return Note.objects.filter(pk="n3").update(stars=F("stars") + 1, text=Concat("text", Value("x")))
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(change, range(40))) == [1] * 40
    assert Note.objects.values_list("stars", "text").get(pk="n3") == (43, "t3" + "x" * 40)


def test_select_for_update_makes_others_wait(notes: None) -> None:
    """A concurrent write of the row waits for the end of the block. Unsupported options raise."""
    with pytest.raises(TransactionManagementError):
        list(Note.objects.select_for_update().filter(pk="n1"))
    order: list[str] = []

    def other() -> None:
        Note.objects.filter(pk="n1").update(reads=F("reads") * 10)
        order.append("other")
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            note = Note.objects.select_for_update().get(pk="n1")
            done = pool.submit(other)
            note.reads = 7
            assert not wait([done], timeout=0.5).done
            note.save()
            order.append("block")
        done.result()
    assert order == ["block", "other"]
    assert Note.objects.get(pk="n1").reads == 70


def test_nowait_is_refused(notes: None) -> None:
    """By the statement, as Django refuses it, and not by `str()`. The feature says so."""
    queryset = Note.objects.select_for_update(nowait=True).filter(stars=1)
    assert not connection.features.has_select_for_update_nowait
    assert str(queryset.query).endswith("FOR UPDATE NOWAIT")
    with (
        pytest.raises(NotSupportedError, match=r"^NOWAIT is not supported on this database backend"),
        transaction.atomic(),
    ):
        list(queryset)


def test_options_of_weaker_locks_are_accepted(notes: None) -> None:
    """A transaction locks everything that it reads. Names are checked."""
    author = Author.objects.create(name="ann")
    Note.objects.filter(pk="n1").update(author=author)
    related = Note.objects.select_related("author").filter(pk="n1")
    with transaction.atomic():
        assert related.select_for_update(of=("self", "author")).get().author == author
        assert related.select_for_update(no_key=True).get().pk == "n1"
    assert 'FOR UPDATE OF "engine_note"' in str(related.select_for_update(of=("self",)).query)
    with pytest.raises(FieldError, match="Invalid field name"), transaction.atomic():
        related.select_for_update(of=("owner",)).get()


def test_get_or_create_and_update_or_create() -> None:
    """Inside `atomic()` a failed insert does not break the block."""
    assert Note.objects.get_or_create(id="a", defaults={"text": "1"})[1]
    assert not Note.objects.get_or_create(id="a", defaults={"text": "2"})[1]
    with transaction.atomic():
        note, created = Note.objects.update_or_create(id="a", defaults={"text": "3"})
    assert (note.text, created) == ("3", False)
    assert Note.objects.get(pk="a").text == "3"


def test_auto_ids_are_positive_and_fit_javascript() -> None:
    """They have at most 53 bits and are unique."""
    made = Author.objects.bulk_create(Author(name=str(i)) for i in range(50))
    ids = {author.pk for author in made}
    assert len(ids) == 50
    assert all(0 < pk < 2**53 for pk in ids)
    assert set(Author.objects.values_list("pk", flat=True)) == ids


def test_unique_columns_are_looked_up() -> None:
    """A double is refused, on insert and on update; many-to-many keeps no doubles."""
    first = Group.objects.create(name="a")
    second = Group.objects.create(name="b")
    with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: auth_group\.name"):
        Group.objects.create(name="a")
    with pytest.raises(IntegrityError, match="UNIQUE"):
        Group.objects.filter(pk=second.pk).update(name="a")
    first.save()
    assert Group.objects.count() == 2


def test_a_primary_key_cannot_be_updated(notes: None) -> None:
    """A document's id cannot be changed."""
    with pytest.raises(NotSupportedError, match="primary key"):
        Note.objects.filter(pk="n1").update(id="other")


def test_generated_columns_and_database_defaults(notes: None) -> None:
    """SQLite computes them, on insert and when they are read."""
    one = Rectangle.objects.create(width=3)
    assert (one.height, one.area) == (2, 6)
    Rectangle.objects.filter(pk=one.pk).update(height=F("height") + 3)
    assert Rectangle.objects.get(pk=one.pk).area == 15
    Rectangle.objects.bulk_create([Rectangle(width=1, height=1), Rectangle(width=9)])
    assert list(Rectangle.objects.filter(area__gt=1).order_by("area").values_list("area", flat=True)) == [15, 18]

"""Features of Django 6.0 and 6.1: the same as on SQLite, or rejected by a system check."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.apps.registry import Apps
from django.core import checks
from django.db import connection, models, transaction
from django.db.models import Count, F, Value
from django.db.models.functions import Concat
from django.test.utils import isolate_apps

from tests.engine.app.models import Author, Everything, Note, Rectangle
from tests.engine.versions import DJANGO_6_0, DJANGO_6_1, json_null

pytestmark = pytest.mark.django_db

needs_6_0 = pytest.mark.skipif(not DJANGO_6_0, reason="Django 6.0 has it")
needs_6_1 = pytest.mark.skipif(not DJANGO_6_1, reason="Django 6.1 has it")


@needs_6_1
@pytest.mark.parametrize("name", ["DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT"])
@isolate_apps("tests.engine.app")
def test_database_level_on_delete_is_rejected_by_a_check(name: str) -> None:
    """Firestore has no foreign keys, so rows would keep references to deleted rows."""

    meta = type("Meta", (), {"app_label": "engine"})
    parent = type("Parent", (models.Model,), {"__module__": __name__, "Meta": meta})
    key = models.ForeignKey(parent, getattr(models, name), null=True, db_default=None)
    child: Any = type("Child", (models.Model,), {"__module__": __name__, "Meta": meta, "parent": key})

    found = child.check(databases=["default"])
    assert [(one.id, one.level) for one in found] == [("fields.E324", checks.ERROR)]
    assert found[0].msg == f"Firestore does not support a {name}."


@needs_6_1
def test_in_bulk_heeds_a_limit_of_parameters(monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any) -> None:
    """There is none, unless a test or a project sets one."""
    keys = [author.pk for author in Author.objects.bulk_create(Author(name=name) for name in "abcd")]
    with django_assert_num_queries(1):
        assert sorted(Author.objects.in_bulk(keys)) == sorted(keys)
    monkeypatch.setattr(connection.features, "max_query_params", 2)
    with django_assert_num_queries(2):
        assert sorted(Author.objects.in_bulk(keys)) == sorted(keys)


@needs_6_0
def test_aggregates_of_6_0_are_answered_in_the_mirror() -> None:
    """`AnyValue` and `StringAgg`, with and without an order."""
    from django.db.models import AnyValue, StringAgg

    Note.objects.bulk_create(Note(id=f"n{i}", owner="ab"[i % 2], stars=-i) for i in range(4))
    assert Note.objects.filter(owner="a").aggregate(one=AnyValue("owner")) == {"one": "a"}
    rows = Note.objects.values("owner").annotate(n=Count("pk"), ids=StringAgg("pk", Value("+")))
    assert {row["owner"]: set(row["ids"].split("+")) for row in rows} == {"a": {"n0", "n2"}, "b": {"n1", "n3"}}
    if connection.features.supports_aggregate_order_by_clause:
        ordered = Note.objects.aggregate(ids=StringAgg("pk", Value(","), order_by="stars"))
        assert ordered == {"ids": "n3,n2,n1,n0"}


@needs_6_1
def test_uuid4_is_computed_for_each_row() -> None:
    """In a select and in a write."""
    from django.db.models.functions import UUID4, Cast

    Note.objects.bulk_create(Note(id=f"n{i}") for i in range(3))
    assert len(set(Note.objects.annotate(made=UUID4()).values_list("made", flat=True))) == 3
    Note.objects.update(text=Cast(UUID4(), models.TextField()))
    assert len({uuid.UUID(text) for text in Note.objects.values_list("text", flat=True)}) == 3


def model(called: str, **fields: Any) -> Any:
    """A model in a registry of its own; collections need no migration."""
    meta = type("Meta", (), {"app_label": "engine", "apps": Apps(), **fields.pop("meta", {})})
    return type(called, (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


@needs_6_1
def test_keys_with_a_database_default_are_computed() -> None:
    """By `create()` and by `bulk_create()`, for each row that has no key."""
    from django.db.models.functions import UUID4

    keyed = model("Keyed", id=models.UUIDField(primary_key=True, db_default=UUID4()), name=models.TextField())
    given = uuid.uuid4()
    one = keyed.objects.create(name="one")
    two, three, four = keyed.objects.bulk_create([keyed(name="2"), keyed(name="3"), keyed(id=given, name="4")])
    keys = [one.pk, two.pk, three.pk]
    assert all(isinstance(key, uuid.UUID) for key in keys)
    assert len({*keys, given}) == 4
    assert four.pk == given
    assert dict(keyed.objects.values_list("pk", "name")) == dict(
        zip([*keys, given], ["one", "2", "3", "4"], strict=True)
    )
    assert keyed.objects.get(pk=two.pk).name == "2"


def test_bulk_create_counts_on_in_an_order_with_respect_to() -> None:
    """From 6.1 on Django gives new rows their places; before that `_order` is the caller's."""
    parent = model("Parent", name=models.TextField())
    apps = parent._meta.apps
    key = models.ForeignKey(parent, models.CASCADE)
    step = model("Step", parent=key, meta={"apps": apps, "order_with_respect_to": "parent"})
    one, two = parent.objects.create(), parent.objects.create()
    first = step.objects.create(parent=one)
    later = [{} if DJANGO_6_1 else {"_order": 1 + i} for i in range(2)]
    made = step.objects.bulk_create([step(parent=one, **values) for values in later])
    other = step.objects.bulk_create([step(parent=two, **({} if DJANGO_6_1 else {"_order": 0}))])
    assert [row._order for row in (first, *made, *other)] == [0, 1, 2, 0]
    assert list(one.get_step_order()) == [first.pk, *[row.pk for row in made]]


@needs_6_1
def test_decimals_without_a_precision_keep_their_digits() -> None:
    """A `DecimalField()` of 6.1 has neither `max_digits` nor `decimal_places`."""
    field: Any = models.DecimalField()
    field.set_attributes_from_name("price")
    field.model = Note
    assert field.check(databases=["default"]) == []
    column = field.get_col("any")
    for text in ("1.10", "-3", "0.000000000000000000001"):
        value = Decimal(text)
        for convert in connection.ops.get_db_converters(column):
            value = convert(value, column, connection)
        assert value == Decimal(text)


@needs_6_1
def test_peers_are_fetched_together(django_assert_num_queries: Any) -> None:
    """`FETCH_PEERS` loads a relation or a deferred field of all rows at once."""
    from django.db.models import FETCH_PEERS

    writers = [Author.objects.create(name=f"a{i}") for i in range(3)]
    Note.objects.bulk_create(Note(id=f"n{i}", author=writers[i]) for i in range(3))
    notes = list(Note.objects.fetch_mode(FETCH_PEERS).defer("text").order_by("pk"))
    with django_assert_num_queries(1):
        assert [note.author and note.author.name for note in notes] == ["a0", "a1", "a2"]
    with django_assert_num_queries(1):
        assert [note.text for note in notes] == ["", "", ""]


@needs_6_0
@pytest.mark.django_db(transaction=True)
def test_save_with_an_expression_returns_the_new_value(calls: Callable[[], Any]) -> None:
    """The commit's response has the results of increments, so they need no read."""
    Note.objects.create(id="n", reads=5, text="a")
    note = Note.objects.get(pk="n")
    note.reads = F("reads") + 2
    with calls() as log:
        note.save()
        assert note.reads == 7
    assert [one["method"] for one in log] == ["Commit"]
    note.text = Concat("text", Value("b"))
    note.reads = F("reads") * 2
    with calls() as log:
        note.save(update_fields=["text", "reads"])
        assert (note.text, note.reads) == ("ab", 14)
    assert [one["method"] for one in log].count("Commit") == 1
    assert Note.objects.filter(pk="n", text="ab", reads=14).exists()


@needs_6_0
@pytest.mark.django_db(transaction=True)
def test_increments_in_a_transaction_are_read_when_they_are_accessed() -> None:
    """They have no result before the commit; the transaction sees its own writes."""
    Note.objects.create(id="n", reads=5)
    note = Note.objects.get(pk="n")
    with transaction.atomic():
        note.reads = F("reads") + 2
        note.save()
        assert note.get_deferred_fields() == {"reads"}
        assert note.reads == 7
        note.reads = F("reads") + 2
        note.save()
    assert note.reads == 9


@needs_6_0
@pytest.mark.django_db(transaction=True)
def test_save_computes_generated_columns(calls: Callable[[], Any]) -> None:
    """From the columns that were written, by SQLite; a column that was not written is read when it is accessed."""
    shape = Rectangle.objects.create(width=2, height=3)
    shape.width = F("width") + 2
    shape.height = 5
    with calls() as log:
        shape.save()
        assert (shape.width, shape.area) == (4, 20)
    assert [one["method"] for one in log] == ["Commit"]
    shape.width = 1
    shape.save(update_fields=["width"])
    assert shape.get_deferred_fields() == {"area"}
    assert shape.area == 5


@needs_6_0
@pytest.mark.django_db(transaction=True)
def test_a_forced_update_of_no_row_is_not_updated() -> None:
    """`Model.NotUpdated`, which is a DatabaseError, too."""
    with pytest.raises(Note.NotUpdated):
        Note(id="none").save(force_update=True)
    with pytest.raises(Note.NotUpdated):
        Note(id="none").save(update_fields=["text"])


def json_warnings(action: Callable[[], Any]) -> list[tuple[str, str]]:
    """The text of each warning about None in a JSON filter, and its file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return [(str(one.message), one.filename) for one in caught if "JSON" in str(one.message)]


@needs_6_1
@pytest.mark.django_db(databases=["default", "sqlite"])
@pytest.mark.parametrize(
    "run",
    [
        lambda rows: list(rows.filter(json=None)),
        lambda rows: list(rows.exclude(json=None)),
        lambda rows: rows.filter(json=None).count(),
        lambda rows: rows.filter(json=None).update(positive=1),
        lambda rows: rows.filter(json=None).delete(),
    ],
)
def test_none_in_a_json_filter_is_deprecated(run: Callable[[Any], Any]) -> None:
    """The native lane gives the warning that SQLite gives, with the same text and for the same line."""
    on_sqlite = json_warnings(lambda: run(Everything.objects.using("sqlite")))
    on_firestore = json_warnings(lambda: run(Everything.objects.all()))
    assert on_firestore[0] == on_sqlite[0]
    assert on_firestore[0][1] == __file__


@pytest.mark.parametrize("where", [{"json": json_null()}, {"json__a": None}, {"json__isnull": True}])
def test_other_filters_on_null_are_not_deprecated(where: dict[str, Any]) -> None:
    """JSON's null, a key that is null, and SQL's NULL."""
    assert json_warnings(lambda: list(Everything.objects.filter(**where))) == []

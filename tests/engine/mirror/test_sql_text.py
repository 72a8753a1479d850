"""Tables in raw SQL, names that are SQL keywords, and text with percent signs."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import models, transaction
from django.db.migrations.state import AppConfigStub
from django.db.models import F, Func, Max, Value
from django.db.models.expressions import RawSQL

from memory.backends.firestore.mirror.load_plan import TableRef
from memory.backends.firestore.mirror.sql_text import named_tables
from tests.engine.app.models import Author, Detail, Note

pytestmark = pytest.mark.django_db(transaction=True)


class Epoch(Func):
    """Seconds since 1970, by a template with a percent sign for SQLite."""

    template = "CAST(strftime('%%%%s', %(expressions)s) AS INTEGER)"
    output_field = models.IntegerField()


@pytest.fixture
def details() -> None:
    """Four rows; the later ones are parts of the first."""
    first = Detail.objects.create(number=0)
    Detail.objects.bulk_create(Detail(number=i, select=i * 2, where="x", parent=first) for i in range(1, 4))


def test_names_are_quoted(details: None) -> None:
    """A table with a space, and columns with the names `rowid`, `select` and `GROUP`."""
    assert list(Detail.objects.annotate(m=F("number") * 2).order_by("m").values_list("m", flat=True)) == [0, 2, 4, 6]
    assert Detail.objects.values("where").distinct().count() == 2
    assert Detail.objects.filter(parent__number=0).update(select=F("number") + 1) == 3
    assert list(Detail.objects.order_by("number").values_list("select", flat=True)) == [None, 2, 3, 4]
    assert Detail.objects.filter(parts__where__contains="x").distinct().get().number == 0
    assert Detail.objects.aggregate(m=Max(F("select") + 0))["m"] == 4
    with transaction.atomic():
        Detail.objects.create(number=9)
        assert Detail.objects.filter(number=9).count() == 1


def test_percent_signs_are_kept() -> None:
    """In reads, updates and inserts."""
    moment = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    Note.objects.create(id="a", at=moment)
    assert Note.objects.annotate(u=Epoch("at")).get().u == 1577836800
    assert Note.objects.update(reads=Epoch("at")) == 1
    Note.objects.create(id="b", reads=Epoch(Value("2021-01-01")))
    assert dict(Note.objects.values_list("id", "reads")) == {"a": 1577836800, "b": 1609459200}


def test_percent_signs_in_the_names_of_joined_tables_and_columns() -> None:
    """In selects, updates and deletions."""
    apps = Apps([AppConfigStub("engine")])

    def made(table: str, **fields: Any) -> Any:
        meta = type("Meta", (), {"app_label": "engine", "db_table": table, "apps": apps})
        return type(table.title().replace("%", ""), (models.Model,), {**fields, "__module__": __name__, "Meta": meta})

    base = made("a%b", id=models.IntegerField(primary_key=True, db_column="i%d"), n=models.IntegerField(default=0))
    part = made("p%t", base=models.ForeignKey(base, models.CASCADE, db_column="100%", related_name="parts"))
    base.objects.bulk_create(base(id=i) for i in range(3))
    part.objects.bulk_create(part(base_id=i) for i in range(2))
    assert base.objects.filter(parts__base__n=0, n__gte=0).distinct().count() == 2
    assert list(part.objects.filter(base__n=0).order_by("base__id").values_list("base__id", "base__n"))[1:] == [(1, 0)]
    assert base.objects.filter(parts__gt=0, id=1).update(n=F("n") + 1) == 1
    assert part.objects.filter(base__n=1).delete()[0] == 1
    assert part.objects.select_related("base").get().base.n == 0
    base.objects.all().delete()


def named(sql: str, *tables: str, uses: tuple[TableRef, ...] = ()) -> dict[tuple[str, str], int]:
    """The references to these tables in a statement."""
    return named_tables(sql, tables, uses)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ('SELECT 1 FROM "a b" WHERE x IN (SELECT y FROM "a b" U0)', {("a b", "a b"): 1, ("a b", "U0"): 1}),
        ("SELECT 'FROM c' FROM [a b], c AS t", {("a b", "a b"): 1, ("c", "c"): 1}),
        ("SELECT 1 FROM main.c JOIN `a b` ON 1", {("c", "c"): 1, ("a b", "a b"): 1}),
        ("UPDATE C SET x = 1 -- FROM c", {("c", "c"): 1}),
        ('SELECT 1 WHERE "c" = 1 /* FROM c */', {("c", ""): 1}),
    ],
)
def test_tables_are_found_in_text(sql: str, found: dict[tuple[str, str], int]) -> None:
    """In all kinds of quotes, after commas and schemas, but not in literals or comments."""
    assert named(sql, "a b", "c", uses=(TableRef("a b", "U0"),)) == found


def test_a_table_in_raw_sql_is_loaded(details: None) -> None:
    """After a comma, and in different case."""
    Author.objects.create(name="a")
    raw = RawSQL('SELECT count(*) FROM "order Details" d, engine_author', ())
    assert Author.objects.annotate(n=raw).get().n == 4

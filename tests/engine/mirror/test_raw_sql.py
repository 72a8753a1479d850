"""Raw SQL: a single SELECT over tables of models, answered as SQLite answers it; all else is refused."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, NotSupportedError, OperationalError, connection, connections, models, transaction

from memory.backends.firestore.errors import QueryTooBroad
from memory.backends.firestore.testing import CaptureRPCsContext
from tests.engine.app.models import Author, Everything, Note

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

AT = datetime.datetime(2024, 5, 1, 12, 30, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def rows() -> None:
    for alias in ("default", "sqlite"):
        Author.objects.using(alias).create(pk=1, name="ann")
        Note.objects.using(alias).bulk_create(
            Note(id=f"n{i}", text=f"100% 'text' {i}", stars=i, author_id=1 if i % 2 else None, at=AT, data={"i": [i]})
            for i in range(6)
        )


def fetched(alias: str, sql: str, params: Any) -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)
        return [column[0] for column in cursor.description], cursor.fetchall()


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT id, stars FROM engine_note WHERE stars > %s ORDER BY id", [2]),
        ('SELECT "id" FROM "engine_note" WHERE "text" = %(text)s', {"text": "100% 'text' 3"}),
        ("SELECT count(*) FROM engine_note", None),
        ("SELECT text FROM engine_note WHERE text LIKE '100%' ORDER BY 1", None),
        ("SELECT text FROM engine_note WHERE text LIKE '100%%' AND stars < %s ORDER BY 1", (2,)),
        ("SELECT n.id, a.name AS who FROM engine_note n JOIN engine_author a ON n.author_id = a.id ORDER BY n.id", []),
        ("SELECT * FROM engine_author", None),
        ("WITH RECURSIVE up(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM up WHERE i < 3) SELECT i FROM up", None),
        ("WITH few AS (SELECT * FROM [Engine_Note] LIMIT 9) SELECT max(stars) FROM few -- a comment", None),
        ("SELECT id FROM engine_note WHERE id IN (SELECT id FROM engine_note WHERE at < %s) ORDER BY id", [AT.date()]),
        ("SELECT j.value FROM engine_note, json_each(engine_note.data, '$.i') j ORDER BY 1", None),
        ("SELECT 'DROP TABLE x; --' AS s", None),
        ("SELECT 2", None),
        ("VALUES (1, 'a'), (2, 'b')", None),
    ],
)
def test_same_rows_as_sqlite(sql: str, params: Any) -> None:
    """Names, parameters, quoting, joins, subqueries and expressions."""
    assert fetched("default", sql, params) == fetched("sqlite", sql, params)


def test_rows_are_fetched_in_parts() -> None:
    """By one, several, all that are left, and iteration."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT stars FROM engine_note ORDER BY stars")
        assert cursor.fetchone() == (0,)
        assert cursor.fetchmany(2) == [(1,), (2,)]
        assert next(iter(cursor)) == (3,)
        assert cursor.fetchall() == [(4,), (5,)]
        assert cursor.fetchone() is None


def test_raw_querysets_make_instances() -> None:
    """With parameters, translations, annotations, deferred fields and converted values."""
    sql = "SELECT id, at, data, stars AS shine, stars * 2 AS twice FROM engine_note WHERE stars >= %s ORDER BY id"

    def rows_of(alias: str) -> list[Any]:
        found = Note.objects.using(alias).raw(sql, [4], {"shine": "stars"})
        return [(note.pk, note.at, note.data, note.stars, note.twice, note.text) for note in found]

    found = [rows_of(alias) for alias in ("default", "sqlite")]
    assert found[0] == found[1]
    assert found[0][0] == ("n4", AT, {"i": [4]}, 4, 8, "100% 'text' 4")
    [note] = Note.objects.raw("SELECT * FROM engine_note WHERE id = 'n1'").prefetch_related("author")
    assert note.author.name == "ann"


def test_every_type_is_converted() -> None:
    """Values of raw() equal those of the ORM."""
    made = Everything.objects.create(
        pk=7,
        **{
            field.name: VALUES[type(field)]
            for field in Everything._meta.concrete_fields
            if type(field) in VALUES and not field.primary_key
        },
    )
    [raw] = Everything.objects.raw("SELECT * FROM engine_everything WHERE uuid = %s", [UUID(int=7)])
    stored = Everything.objects.get(pk=made.pk)
    for field in Everything._meta.concrete_fields:
        assert getattr(raw, field.attname) == getattr(stored, field.attname), field


VALUES: dict[type, Any] = {
    models.DateTimeField: AT,
    models.DateField: AT.date(),
    models.TimeField: AT.time(),
    models.DurationField: datetime.timedelta(days=1, microseconds=5),
    models.DecimalField: Decimal("1.50"),
    models.UUIDField: UUID(int=7),
    models.BooleanField: True,
    models.FloatField: 1.5,
    models.BinaryField: b"\x00\xff",
    models.JSONField: {"a": [None, 1]},
}


def test_a_block_sees_its_own_rows() -> None:
    """Created, changed and deleted ones."""
    with transaction.atomic():
        Note.objects.create(id="own", stars=10)
        Note.objects.filter(pk="n1").update(stars=20)
        Note.objects.filter(pk="n2").delete()
        assert fetched("default", "SELECT id FROM engine_note WHERE stars >= 2 ORDER BY id", None)[1] == [
            (id,) for id in ("n1", "n3", "n4", "n5", "own")
        ]
        transaction.set_rollback(True)
    assert fetched("default", "SELECT count(*) FROM engine_note", None)[1] == [(6,)]


def test_reads_are_bounded() -> None:
    """By `mirror_limit`, and by the columns that the statement reads."""
    with CaptureRPCsContext(connection) as calls:
        fetched("default", "SELECT name FROM engine_author", None)
    assert [(call["method"], call["documents_read"], call["lane"]) for call in calls] == [("RunQuery", 1, "mirror")]
    Note.objects.bulk_create(Note(id=f"m{i}") for i in range(60))
    with pytest.raises(QueryTooBroad, match="raw SQL"):
        fetched("default", "SELECT count(*) FROM engine_note", None)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("UPDATE engine_note SET stars = 1", r"use the queryset's update\(\)"),
        ("  insert into engine_note (id) values ('x')", r"use create\(\)"),
        ("DELETE FROM engine_note", r"delete\(\)"),
        ("WITH few AS (SELECT 1) DELETE FROM engine_note", r"delete\(\)"),
        ("WITH few AS (SELECT 1) UPDATE engine_note SET stars = 2", r"update\(\)"),
        ("CREATE TABLE x (id)", "an operation of django.db.migrations"),
        ("ALTER TABLE engine_note ADD COLUMN x", "an operation of django.db.migrations"),
        ("DROP TABLE engine_note", "an operation of django.db.migrations"),
        ("BEGIN", "atomic"),
        ("SELECT name FROM sqlite_master", "reads 'sqlite_master'"),
        ("SELECT * FROM engine_note UNION SELECT *, 1 FROM sqlite_schema", "reads 'sqlite_master'"),
        ("SELECT * FROM pragma_table_info('engine_note')", "refused"),
        ("PRAGMA table_info(engine_note)", "refused"),
        ("ATTACH 'x.db' AS x", "refused"),
        ("SELECT load_extension('x')", "refused"),
        ("SELECT id FROM engine_note FOR UPDATE", r"select_for_update\(\)"),
        ("SELECT id FROM engine_note WHERE id = 'n1' for no key update of engine_note", r"select_for_update\(\)"),
        ("SELECT id FROM engine_note LIMIT 1 FOR UPDATE SKIP LOCKED;", r"select_for_update\(\)"),
        ("SELECT 1; SELECT 2", "single SELECT"),
        ("SELECT 1; DROP TABLE engine_note", "single SELECT"),
    ],
)
def test_all_else_is_refused_before_any_call(sql: str, reason: str) -> None:
    """The message names the statement of the ORM."""
    with CaptureRPCsContext(connection) as calls, pytest.raises(NotSupportedError, match=reason):
        connection.cursor().execute(sql)
    assert len(calls) == 0
    assert Note.objects.count() == 6


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'x' FROM FROM engine_note -- for update(1)",
        "SELECT * FROM nothing",
        "SELECT nothing FROM engine_note",
        "SELEKT",
        "",
    ],
)
def test_errors_are_those_of_sqlite(sql: str) -> None:
    """Unknown names and syntax errors raise before any call, and later statements work."""
    with CaptureRPCsContext(connection) as calls, pytest.raises((OperationalError, NotSupportedError)):
        connection.cursor().execute(sql)
    assert len(calls) == 0
    assert fetched("default", "SELECT count(*) FROM engine_note", None)[1] == [(6,)]


def test_a_failed_statement_leaves_no_rows() -> None:
    """An error while it runs empties the mirror."""
    with pytest.raises(DatabaseError):
        fetched("default", "SELECT json_extract(text, '$') FROM engine_note", None)
    assert Note.objects.filter(text__icontains="TEXT").count() == 6


def test_other_calls_of_cursors_are_refused() -> None:
    """`executemany()` and `callproc()`."""
    for call in (
        lambda cursor: cursor.executemany("SELECT %s", [(1,)]),
        lambda cursor: cursor.callproc("name"),
    ):
        with connection.cursor() as cursor, pytest.raises(NotSupportedError):
            call(cursor)

"""Search data on SQLite: side tables that follow every write, and vectors in memory that are never outdated."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from memory.conf import memory_settings
from memory.embedding import model_name
from memory.models import MemoryItem
from memory.search.sources.matrix import Matrices
from memory.search.sources.side_tables import INDEX_OF_COUNTS, INDEX_OF_VECTORS, TERMS, TRIGGERS, VECTORS, install
from tests import databases

pytestmark = [
    pytest.mark.embedded,  # Firestore has indexes instead
    pytest.mark.django_db(databases=["default", "memory"]),
]

ALIAS = "file"
START = datetime(2026, 1, 1, tzinfo=UTC)


def migrate(target: str = "") -> None:
    """Migrate to a migration of the app, or to the last."""
    call_command("migrate", "memory", *filter(None, [target]), database=ALIAS, verbosity=0)


@pytest.fixture
def path(tmp_path: Path, settings: Any, django_db_blocker: DjangoDbBlocker) -> Iterator[Path]:
    """A database in a file, which other processes could open, under the alias `file`."""
    settings.MEMORY = {**settings.MEMORY, "DATABASE": ALIAS}
    file = tmp_path / "memory.sqlite3"
    made = {"ENGINE": "memory.backends.sqlite", "NAME": str(file)}
    with django_db_blocker.unblock(), databases.added(ALIAS, made):
        migrate()
        yield file


def remember(*texts: str, using: str = ALIAS) -> list[MemoryItem]:
    items = [
        MemoryItem(
            id=f"i{number}-{text.split()[0]}",
            user_id="ada",
            session_id="s",
            item_type="message",
            timestamp=START + timedelta(minutes=number),
            text_content=text,
        )
        for number, text in enumerate(texts)
    ]
    return MemoryItem.objects.using(using).bulk_create(items)


def ids(query: str) -> list[str]:
    return [item.pk for item in MemoryItem.objects.using(ALIAS).search(query, user_id="ada")]


def rows(table: str) -> list[Any]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")  # noqa: S608
        return list(cursor.fetchall())


def foreign(path: Path, statement: str, *params: Any) -> None:
    """A write of another process."""
    with sqlite3.connect(path) as other:
        other.execute(statement, params)
    other.close()


def test_side_tables_follow_every_write(path: Path) -> None:
    """Also for raw SQL: triggers update them in the same transaction."""
    remember("harbour lights", "sunset over water")
    assert {(row[0], row[1], row[3]) for row in rows(TERMS)} == {
        ("ada", "harbour", "i0-harbour"),
        ("ada", "light", "i0-harbour"),
        ("ada", "sunset", "i1-sunset"),
        ("ada", "over", "i1-sunset"),
        ("ada", "water", "i1-sunset"),
    }
    before = {row[1]: row[0] for row in rows(VECTORS)}
    foreign(path, "UPDATE memory_items SET terms = '[\"ferry\"]', user_id = 'eve' WHERE id = 'i0-harbour'")
    assert [(row[0], row[1]) for row in rows(TERMS) if row[3] == "i0-harbour"] == [("eve", "ferry")]
    after = {row[1]: row[0] for row in rows(VECTORS)}
    assert after["i0-harbour"] > max(before.values())
    assert after["i1-sunset"] == before["i1-sunset"]
    foreign(path, "UPDATE memory_items SET metadata = '{}'")
    assert {row[1]: row[0] for row in rows(VECTORS)} == after
    foreign(path, "DELETE FROM memory_items")
    assert rows(TERMS) == rows(VECTORS) == []


def schema(path: Path) -> set[str]:
    """Names of all database objects that only search uses."""
    with sqlite3.connect(path) as other:
        found = other.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    other.close()
    return {name for (name,) in found if name.startswith(("memory_item_", "memory_items_search"))}


def test_the_migration_is_reversible(path: Path) -> None:
    """Backwards it removes everything; forwards it fills the tables with rows written meanwhile."""
    made = schema(path)
    assert made == {*TRIGGERS, TERMS, VECTORS, INDEX_OF_VECTORS, INDEX_OF_COUNTS}
    remember("harbour lights", "sunset over water")
    expected = sorted(rows(TERMS))
    migrate("0002")
    assert schema(path) == set()
    foreign(path, "DELETE FROM memory_items WHERE id = 'i0-harbour'")
    migrate()
    assert schema(path) == made
    assert sorted(rows(TERMS)) == [row for row in expected if row[3] == "i1-sunset"]
    assert [row[1] for row in rows(VECTORS)] == ["i1-sunset"]
    foreign(path, "DELETE FROM memory_items")
    assert rows(TERMS) == []
    migrate("zero")
    assert schema(path) == set()


def test_databases_without_items_get_no_search_tables(path: Path, tmp_path: Path) -> None:
    """The operation asks the routers, like Django's own operations."""
    other = tmp_path / "other.sqlite3"
    with databases.added("other", {"ENGINE": "memory.backends.sqlite", "NAME": str(other)}):
        call_command("migrate", "memory", database="other", verbosity=0)
    assert schema(other) == set()


def test_sqlmigrate_prints_the_statements(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are SQL that `sqlite3` runs, in both directions."""
    forwards, backwards = (
        call_command("sqlmigrate", "memory", "0003", database=ALIAS, backwards=way) for way in (False, True)
    )
    for script in (backwards, forwards):
        with sqlite3.connect(path) as other:
            other.executescript(script)
        other.close()
        assert bool(schema(path)) is (script is forwards)
    remember("harbour lights")
    assert ids("harbour") == ["i0-harbour"]


def test_without_migrations_one_call_makes_the_tables(path: Path) -> None:
    """As in a project's tests with `--no-migrations`: existing items are found, too."""
    remember("harbour lights")
    migrate("0002")
    install(ALIAS)
    assert ids("harbour") == ["i0-harbour"]


def test_other_processes_writes_are_found(path: Path) -> None:
    """Changed, moved and deleted by another process between two searches."""
    remember("a walk along the harbour", "oil on canvas", "the dentist called")
    assert ids("harbour walk")[0] == "i0-a"
    foreign(path, "DELETE FROM memory_items WHERE id = 'i0-a'")
    assert "i0-a" not in ids("harbour walk")
    foreign(path, "UPDATE memory_items SET user_id = 'eve' WHERE id = 'i1-oil'")
    assert ids("painting") == ["i2-the"]
    foreign(path, "UPDATE memory_items SET user_id = 'ada' WHERE id = 'i1-oil'")
    assert set(ids("painting")) == {"i1-oil", "i2-the"}


def test_a_connection_that_is_opened_anew_knows_nothing(path: Path) -> None:
    """SQLite's counters of changes restart with the connection; changes of others are found nevertheless."""
    remember("a walk along the harbour", "oil on canvas")
    for removed in ("i0-a", "i1-oil"):
        connections[ALIAS].close()
        assert removed in ids("painting")
        connections[ALIAS].close()
        foreign(path, "DELETE FROM memory_items WHERE id = ?", removed)
        assert removed not in ids("painting")


def test_few_pass_the_filters(path: Path) -> None:
    """The nearest of many items belong to another session; those of the requested one are found nevertheless."""
    remember(*(f"sunset number {number} over the water" for number in range(200)))
    MemoryItem.objects.using(ALIAS).filter(pk__in=["i7-sunset", "i8-sunset"]).update(session_id="other")
    everything = MemoryItem.objects.using(ALIAS).for_user("ada")
    found = everything.in_session("other").search("What was above the sea?")
    assert {item.pk for item in found} == {"i7-sunset", "i8-sunset"}


def test_what_is_rolled_back_was_never_there(path: Path) -> None:
    """It is found inside the transaction, but not afterwards, even if its number in the list is used again."""
    remember("a walk along the harbour")
    assert ids("parrot") == ["i0-a"]
    with transaction.atomic(using=ALIAS):
        MemoryItem.objects.using(ALIAS).create(id="gone", user_id="ada", item_type="m", text_content="a green parrot")
        assert ids("parrot")[0] == "gone"
        transaction.set_rollback(True, using=ALIAS)
    assert ids("parrot") == ["i0-a"]
    MemoryItem.objects.using(ALIAS).create(id="kept", user_id="ada", item_type="m", text_content="soup with dumplings")
    assert ids("dumplings")[0] == "kept"
    assert set(ids("parrot")) == {"i0-a", "kept"}


def current(matrices: Matrices) -> dict[str, np.ndarray]:
    embedder = memory_settings.embedder
    assert embedder is not None
    matrix = matrices.current(ALIAS, "ada", model_name(embedder), embedder.dimension)
    return dict(zip(matrix.ids, matrix.vectors, strict=True))


def stored() -> dict[str, list[float]]:
    return {item.pk: item.text_embedding or [] for item in MemoryItem.all_objects.using(ALIAS)}


def rows_read(matrices: Matrices) -> int:
    """The number of statements that read vectors during an update of the matrix."""
    with CaptureQueriesContext(connections[ALIAS]) as captured:
        current(matrices)
    return sum("text_embedding" in query["sql"] for query in captured.captured_queries)


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_what_a_transaction_read_is_kept_when_it_commits(path: Path) -> None:
    """If requests are transactions, each vector is read once, not in every search."""
    matrices = Matrices()
    remember("a walk along the harbour", "oil on canvas")
    with transaction.atomic(using=ALIAS):
        assert rows_read(matrices) == 1
    with transaction.atomic(using=ALIAS):
        assert rows_read(matrices) == 0
        MemoryItem.objects.using(ALIAS).create(id="new", user_id="ada", item_type="m", text_content="a green parrot")
        assert rows_read(matrices) == 1
        MemoryItem.objects.using(ALIAS).filter(pk="i1-oil").delete()
    assert rows_read(matrices) == 0
    assert current(matrices).keys() == {"i0-a", "new"}


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
@pytest.mark.parametrize("nested", [False, True], ids=["the whole", "a part"])
def test_what_a_transaction_read_and_rolled_back_is_not_kept(path: Path, nested: bool) -> None:
    """Nor where only a savepoint is: the number that its row had is another's afterwards."""
    matrices = Matrices()
    remember("a walk along the harbour")
    with transaction.atomic(using=ALIAS):
        with transaction.atomic(using=ALIAS):
            MemoryItem.objects.using(ALIAS).create(id="gone", user_id="ada", item_type="m", text_content="a parrot")
            assert current(matrices).keys() == {"i0-a", "gone"}
            transaction.set_rollback(True, using=ALIAS)
        if not nested:
            transaction.set_rollback(True, using=ALIAS)
    MemoryItem.objects.using(ALIAS).create(id="kept", user_id="ada", item_type="m", text_content="soup")
    assert current(matrices).keys() == {"i0-a", "kept"}
    for name, vector in stored().items():
        assert current(matrices)[name].tolist() == pytest.approx(vector)


def test_vectors_in_memory_are_those_in_the_database(path: Path) -> None:
    """After each of many mixed writes; vectors of other models and of other users are left out."""
    matrices = Matrices()
    for step in range(12):
        items = remember(*(f"{word} {step}" for word in ("harbour", "sunset", "dentist", "parrot")[: 1 + step % 4]))
        for item in items[::2]:
            MemoryItem.objects.using(ALIAS).filter(pk=item.pk).update(text_content=f"another {step}")
        found = current(matrices)
        assert found.keys() == stored().keys()
        for name, vector in stored().items():
            assert found[name].tolist() == pytest.approx(vector)
        MemoryItem.objects.using(ALIAS).filter(pk__in=[item.pk for item in items[1:]]).delete()
        assert current(matrices).keys() == stored().keys()
        MemoryItem.objects.using(ALIAS).all().delete()
    MemoryItem.objects.using(ALIAS).bulk_create(
        [
            MemoryItem(id=f"n{number}", user_id="ada", item_type="m", text_content=f"turn {number}")
            for number in range(9)
        ]
    )
    MemoryItem.objects.using(ALIAS).filter(pk="n3").update(embedding_model="another@1:256")
    MemoryItem.objects.using(ALIAS).filter(pk="n4").update(user_id="eve")
    assert current(matrices).keys() == {f"n{number}" for number in range(9)} - {"n3", "n4"}


def test_threads_share_them(path: Path) -> None:
    """Eight threads write and search at once; each finds its own items."""
    remember("a walk along the harbour")
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(3):
                text = f"word{number}x{turn} and nothing else"
                MemoryItem.objects.using(ALIAS).create(user_id="ada", item_type="m", text_content=text)
                found = MemoryItem.objects.using(ALIAS).search(f"word{number}x{turn}", user_id="ada", limit=1)
                assert found[0].text_content == text
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)
        finally:
            connections[ALIAS].close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []

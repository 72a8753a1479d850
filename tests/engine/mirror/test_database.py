"""The lifetime of a connection's in-memory SQLite database."""

from __future__ import annotations

import gc
import sqlite3
import threading
from typing import Any

import pytest
from django.db import NotSupportedError, connection, connections
from django.db.models import Count, Window
from django.db.models.functions import Lower, RowNumber

from memory.backends.firestore.query.plan import Create
from memory.backends.firestore.values.types import Kind, Ref
from tests.engine.app.models import Author, Note


@pytest.mark.django_db(transaction=True)
def test_the_mirror_is_closed_when_its_thread_ends() -> None:
    """So that it is not left to SQLite's finalizer, which issues a warning."""
    seen: list[Any] = []

    def count() -> None:
        try:
            list(Note.objects.filter(text__icontains="x"))
            seen.append(connection.mirror.connection.connection)
        finally:
            connection.close()

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        seen[0].execute("SELECT 1")


@pytest.mark.django_db(transaction=True)
def test_a_mirror_has_no_alias() -> None:
    """An aggregate over a subquery is answered in the mirror, and `connections` has the settings' aliases only."""
    Note.objects.bulk_create(Note(id=f"n{i}", owner="ann" if i < 3 else "bob") for i in range(4))
    per_owner = Note.objects.values("owner").annotate(rows=Count("pk")).filter(owner__icontains="n")
    assert per_owner.aggregate(all=Count("rows")) == {"all": 1}
    assert Note.objects.filter(owner__icontains="n").distinct()[:2].count() == 2
    assert connection.mirror.connection.alias == "default"  # type: ignore[attr-defined]
    assert [alias for alias in vars(connections._connections._storage) if "mirror" in alias] == []


@pytest.mark.django_db(transaction=True)
def test_the_mirror_is_empty_after_a_failed_load() -> None:
    """The next query of the thread works."""
    Author.objects.create(name="fine")
    odd = Create("engine_note", "odd", (Ref(("id",), Kind.TEXT), Ref(("text",), Kind.JSON)), ("odd", ["a", "b"]))
    connection.cursor().commit([odd])
    with pytest.raises(Exception):  # noqa: B017 - which one is tested elsewhere
        Note.objects.filter(text__icontains="a").count()
    assert Author.objects.get(name__icontains="FI").name == "fine"


class Shouted(Lower):
    """A function that this database spells in another way."""

    def as_firestore(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, function="UPPER")


@pytest.mark.django_db
def test_expressions_are_compiled_for_this_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """`as_firestore()` has precedence, and the features of the connection apply."""
    Author.objects.create(name="Ann")
    assert Author.objects.annotate(loud=Shouted("name")).get().loud == "ANN"
    assert "UPPER(" in str(Author.objects.annotate(loud=Shouted("name")).query)
    monkeypatch.setattr(connection.features, "supports_over_clause", False)
    with pytest.raises(NotSupportedError, match="window expressions"):
        list(Author.objects.annotate(place=Window(RowNumber())))

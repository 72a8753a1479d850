"""`OPTIONS["require_indexes"]`: what the manifest does not serve is refused before any call, or planned around."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.db.models import Sum

from memory.backends.firestore.base import DatabaseWrapper
from memory.backends.firestore.errors import MissingIndex, QueryTooBroad
from memory.backends.firestore.querysets import FirestoreQuerySet

from ..app.models import Note
from ..indexes.test_serving import index

pytestmark = pytest.mark.django_db(transaction=True)

Using = Callable[..., None]


@pytest.fixture
def using(tmp_path: Path) -> Iterator[Using]:
    """Sets the options of the database, with a manifest of these indexes."""
    connection = connections["default"]
    before = connection.settings_dict["OPTIONS"]
    files = (tmp_path / f"{number}.json" for number in itertools.count())

    def use(*indexes: dict[str, Any], require: bool = True, **options: Any) -> None:
        file = next(files)
        file.write_text(json.dumps({"indexes": indexes, "fieldOverrides": []}))
        connection.close()
        connection.settings_dict["OPTIONS"] = {**before, **options, "require_indexes": file if require else False}

    yield use
    connection.close()
    connection.settings_dict["OPTIONS"] = before


def notes() -> FirestoreQuerySet[Note]:
    """The notes, as a queryset with `without_index()`."""
    return FirestoreQuerySet(Note, using="default")


def table(text: str) -> dict[str, Any]:
    """An index of the notes."""
    return index(text, Note._meta.db_table)


def test_a_query_without_its_index_is_refused_before_any_call(using: Using, calls: Callable[[], Any]) -> None:
    """The error's definition is the entry that serves it."""
    using()
    Note.objects.create(id="a", owner="ann", stars=1)
    asked = notes().filter(owner="ann").order_by("-stars")
    with calls() as made, pytest.raises(MissingIndex, match="require_indexes") as caught:
        list(asked)
    assert made == []
    assert caught.value.definition == table("owner stars-")
    assert [note.pk for note in notes().filter(owner="ann", stars=1)] == ["a"]
    using(dict(caught.value.definition))
    assert [note.pk for note in asked.all()] == ["a"]


def test_sums_and_pages_are_refused_too(using: Using) -> None:
    """Aggregates, slices and writes of rows that a query selects."""
    using()
    bare = notes()
    for ask in (
        lambda: bare.filter(owner="ann").aggregate(Sum("stars")),
        lambda: bare.filter(owner="ann").order_by("stars").first(),
        lambda: bare.filter(owner="ann", stars__gt=1).count(),
        lambda: bare.filter(owner="ann", stars__gt=1).update(text="x"),
        lambda: bare.filter(owner="ann", stars__gt=1).delete(),
        lambda: list(bare.filter(owner="ann", stars__gt=1).iterator()),
    ):
        with pytest.raises(MissingIndex):
            ask()


def test_a_query_without_an_order_takes_that_of_an_index(using: Using) -> None:
    """A range beside an equality is served by any index that has both."""
    using(table("owner at- stars-"))
    Note.objects.create(id="a", owner="ann", stars=1)
    Note.objects.create(id="b", owner="ann", stars=5)
    asked = notes().filter(owner="ann", stars__gt=2)
    assert asked.count() == 1
    assert [note.pk for note in asked] == ["b"]
    assert asked.exists()
    assert asked.update(text="x") == 1
    with pytest.raises(MissingIndex):
        list(asked.order_by("stars"))


def test_without_index_evaluates_in_memory(using: Using) -> None:
    """What automatic indexes serve is read; the rest is evaluated; the bound on documents holds."""
    using()
    for number in range(8):
        Note.objects.create(id=f"n{number}", owner="ann" if number % 2 else "bob", stars=number)
    asked = notes().without_index().filter(owner="ann", stars__gt=2)
    assert [note.pk for note in asked.order_by("-stars")[:2]] == ["n7", "n5"]
    assert asked.count() == 3
    assert asked.aggregate(Sum("stars")) == {"stars__sum": 15}
    assert asked.order_by("stars").update(text="x") == 3
    explained = asked.order_by("stars").explain()
    assert "lane: mirror, because of a query without an index" in explained
    assert f"query {Note._meta.db_table} where owner == ?\n" in explained
    using(mirror_limit=3)
    with pytest.raises(QueryTooBroad, match=r"a query without an index.* 3 documents"):
        list(asked.order_by("stars"))


def test_without_index_relies_on_models_where_there_is_no_manifest(using: Using) -> None:
    """Without `require_indexes` the indexes are those that the models declare."""
    using(require=False)
    Note.objects.create(id="a", owner="ann", stars=1)
    asked = notes().filter(owner="ann").order_by("stars")
    assert asked.explain().startswith("lane: native")
    assert asked.without_index().explain().startswith("lane: mirror")
    assert [note.pk for note in asked.without_index()] == ["a"]


def test_the_mirror_reads_what_indexes_serve(using: Using) -> None:
    """Conditions are left out of the superset until indexes serve it."""
    everything = Note.objects.filter(owner="ann", stars__gt=2, text__icontains="x").order_by("text")
    Note.objects.create(id="a", owner="ann", stars=5, text="axe")
    Note.objects.create(id="b", owner="ann", stars=1, text="axe")
    using(table("owner stars-"))
    assert "where owner == ? and stars > ? order by stars desc" in everything.explain()
    assert [note.pk for note in everything.all()] == ["a"]
    using()
    assert "where owner == ?\n" in everything.explain()
    assert [note.pk for note in everything.all()] == ["a"]


def test_explain_names_a_missing_index(using: Using) -> None:
    """A query that would be refused says so."""
    using()
    refused = notes().filter(owner="ann").order_by("stars").explain()
    assert "raises MissingIndex" in refused


def test_the_mirror_is_bounded_in_bytes(using: Using) -> None:
    """Large rows end a query before there are too many of them."""
    for number in range(5):
        Note.objects.create(id=f"n{number}", text="x" * 100_000)
    using(mirror_bytes=250_000)
    with pytest.raises(QueryTooBroad, match=r"text__icontains.*250000 bytes.*mirror_bytes"):
        list(notes().filter(text__icontains="X"))
    using(mirror_bytes=1_000_000)
    assert notes().filter(text__icontains="X").count() == 5


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "does not exist: write it by `manage.py firestore_indexes`"),
        ("[]", "not a manifest"),
        ("{", "not a manifest"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_an_error(tmp_path: Path, content: str | None, problem: str) -> None:
    """The message names the option and the file."""
    file = tmp_path / "indexes.json"
    if content is not None:
        file.write_text(content)
    settings = {**connections["default"].settings_dict, "OPTIONS": {"require_indexes": str(file)}}
    with pytest.raises(ImproperlyConfigured, match=f"require_indexes.*{file.name}.*{problem}"):
        DatabaseWrapper(settings, "default").ensure_connection()


def test_true_is_the_file_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`firestore.indexes.json` in the current directory, as `manage.py firestore_indexes` writes it."""
    monkeypatch.chdir(tmp_path)
    settings = {**connections["default"].settings_dict, "OPTIONS": {"require_indexes": True}}
    with pytest.raises(ImproperlyConfigured, match=r"'firestore\.indexes\.json', which does not exist"):
        DatabaseWrapper(settings, "default").catalog()


def test_counts_after_a_write_need_no_index(using: Using) -> None:
    """In a block that wrote to the table, the mirror reads the rows by the conditions that are served."""
    using()
    Note.objects.bulk_create(Note(id=f"n{i}", owner="ann", stars=i) for i in range(4))
    asked = notes().filter(owner="ann", stars__gt=1)
    with pytest.raises(MissingIndex):
        asked.count()
    with transaction.atomic():
        Note.objects.create(id="new", owner="ann", stars=9)
        assert asked.count() == 3

"""Warnings in development: which queries warn, how often, and that they run as usual."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.models import Count
from django.db.models.functions import Upper

from memory.backends.firestore.warnings import MirrorWarning, watch
from tests.engine.app.models import Note

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@pytest.fixture(autouse=True)
def watched() -> Iterator[None]:
    connection = connections["sqlite"]
    before = connection.ops.compiler_module
    watch(connection, {"engine"})
    connection.ops._cache = None
    yield
    connection.ops.compiler_module = before
    connection.ops._cache = None


def warned(queryset: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(queryset)
    return [str(one.message) for one in caught if one.category is MirrorWarning]


def test_a_query_for_the_mirror_warns_with_the_reasons() -> None:
    """The same reasons as in production."""
    [message] = warned(Note.objects.using("sqlite").filter(text__icontains="x"))
    assert "because of text__icontains." in message
    [message] = warned(Note.objects.using("sqlite").values("owner").annotate(n=Count("pk")))
    assert "GROUP BY" in message


def test_an_expected_query_does_not_warn() -> None:
    """The attribute survives clones and slices."""
    notes = Note.objects.using("sqlite").filter(text__icontains="expected")
    notes.query.expects_mirror = True
    assert warned(notes.order_by("pk")[:5]) == []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        notes[:5].count()
    assert not caught


def test_a_write_warns_if_its_target_rows_need_the_mirror() -> None:
    """Writes whose target rows are selected natively do not warn."""
    notes = Note.objects.using("sqlite")
    for write in (
        lambda: [notes.filter(text__icontains="u").update(stars=1)],
        lambda: [notes.filter(text__icontains="d")._raw_delete("sqlite")],
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            write()
        assert ["because of text__icontains" in str(one.message) for one in caught] == [True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notes.filter(owner="ann", stars__gt=1).update(stars=2)
        notes.filter(pk="x").update(text=Upper("text"))
        notes.filter(owner="ann").delete()
        notes.bulk_update([Note(pk="x", text="y")], ["text"])
        Note(pk="x").save(using="sqlite")
        Note(pk="x").delete(using="sqlite")


def test_a_native_query_does_not_warn() -> None:
    """Filters, orders and slices that Firestore supports."""
    notes = Note.objects.using("sqlite")
    assert warned(notes.filter(owner="ann", stars__gt=1).order_by("-at")[:5]) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert notes.filter(owner="ann").count() == 0
        assert not notes.filter(pk="x").exists()


def test_one_line_of_code_warns_once() -> None:
    """However often it is executed."""
    found = [warned(Note.objects.using("sqlite").filter(text__endswith="x")) for _ in range(3)]
    assert [len(messages) for messages in found] == [1, 0, 0]


def test_other_apps_are_ignored() -> None:
    """Only models of the given apps are checked."""
    connections["sqlite"].watched_apps = frozenset({"other"})
    assert warned(Note.objects.using("sqlite").filter(text__icontains="y")) == []

"""How many Python calls the engine makes for the statements that most programs make most often.

Their CPU time is compared with Google's client library in `benchmarks/engine.py`, which needs an idle machine. The
number of calls does not depend on the load.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.db import connection

from memory.backends import firestore
from tests.engine.app.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

ENGINE = str(Path(firestore.__file__).parent)


def calls_of(action: Callable[[], Any]) -> int:
    """The calls of functions that the engine defines."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(ENGINE)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    ("action", "most"),
    [
        (lambda: Note.objects.create(id="new", text="x"), 65),
        (lambda: Note.objects.get(pk="n0"), 55),
        (lambda: Note.objects.filter(pk="n0").update(text="x"), 115),
    ],
    ids=["create", "get", "update"],
)
def test_statements_of_one_row(action: Callable[[], Any], most: int) -> None:
    """With the caches of their model filled."""
    Note.objects.bulk_create(Note(id=f"n{number}") for number in range(2))
    Note.objects.create(id="before", text="x")
    Note.objects.get(pk="n1")
    Note.objects.filter(pk="n1").update(text="x")
    assert calls_of(action) <= most


def test_a_connection_that_a_test_case_had_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's test cases set the usual method on the connection when they end; a statement costs no more then."""
    Note.objects.create(id="n1")
    before = calls_of(lambda: Note.objects.get(pk="n1"))
    monkeypatch.setattr(connection, "cursor", connection.cursor)
    assert calls_of(lambda: Note.objects.get(pk="n1")) <= before


@pytest.mark.parametrize(
    ("action", "most"),
    [
        (lambda: list(Note.objects.all()), 17),
        (lambda: Note.objects.bulk_create(Note(id=f"m{number}") for number in range(100)), 85),
    ],
    ids=["read", "bulk_create"],
)
def test_statements_of_many_rows(action: Callable[[], Any], most: int) -> None:
    """Calls for each of 100 rows."""
    Note.objects.bulk_create(Note(id=f"n{number}", text="x") for number in range(100))
    assert calls_of(action) / 100 <= most

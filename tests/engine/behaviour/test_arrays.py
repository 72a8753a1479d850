"""Lists of texts: `array_contains` and `array_contains_any`, native and in the mirror."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Q, QuerySet

from tests.engine.app.models import Page

pytestmark = pytest.mark.django_db(databases=["default", "sqlite"], transaction=True)

WORDS = ("ant", "bee", "cat", "dog", "eel", "it's", "日本")


@pytest.fixture(autouse=True)
def pages() -> None:
    """Forty pages on both engines, each with up to four words."""
    made = [
        Page(
            id=f"p{number:02}",
            owner=("ann", "bob")[number % 2],
            number=number * 7 % 40,
            words=[WORDS[(number * step) % 7] for step in range(1, 1 + number % 4)],
        )
        for number in range(40)
    ]
    for alias in ("default", "sqlite"):
        Page.objects.using(alias).bulk_create(made)


def ids(queryset: QuerySet[Page]) -> list[str]:
    return list(queryset.values_list("pk", flat=True))


@pytest.mark.parametrize(
    "narrow",
    [
        lambda q: q.filter(words__has="bee"),
        lambda q: q.filter(words__has="it's", owner="ann"),
        lambda q: q.filter(words__has="日本").exclude(owner="ann"),
        lambda q: q.filter(words__has="nothing"),
        lambda q: q.filter(Q(words__has="ant") | Q(words__has="cat"), number__gt=3),
        lambda q: q.filter(words__has_any=["ant", "bee", "unknown"]),
        lambda q: q.filter(words__has_any=[*WORDS, *(f"word {n}" for n in range(50))]),
        lambda q: q.filter(words__has_any=[]),
    ],
)
def test_array_lookups_are_native(narrow: Callable[[Any], Any], calls: Callable[[], Any]) -> None:
    """The same rows and order as on SQLite, and no other documents are read."""
    expected = ids(narrow(Page.objects.using("sqlite")).order_by("-number")[:6])
    with calls() as made:
        found = ids(narrow(Page.objects.all()).order_by("-number")[:6])
    assert found == expected
    assert {call["lane"] for call in made} <= {"native"}


@pytest.mark.parametrize(
    "narrow",
    [
        lambda q: q.filter(words__has="bee").filter(words__has="cat"),
        lambda q: q.exclude(words__has="bee"),
        lambda q: q.filter(words__has_any=["ant", "bee"], owner="ann").filter(words__has_any=["cat", "dog"]),
    ],
)
def test_unsupported_array_conditions_use_the_mirror(narrow: Callable[[Any], Any], calls: Callable[[], Any]) -> None:
    """Two conditions on arrays, or a negation: the same rows, loaded by one condition."""
    expected = ids(narrow(Page.objects.using("sqlite")).order_by("-number"))
    with calls() as made:
        found = ids(narrow(Page.objects.all()).order_by("-number"))
    assert found == expected
    assert {call["lane"] for call in made} == {"mirror"}


def test_one_condition_of_two_limits_the_mirror(calls: Callable[[], Any]) -> None:
    """Only pages with the first word are read."""
    with calls() as made:
        ids(Page.objects.filter(words__has="bee").filter(words__has="cat"))
    assert sum(call["documents_read"] for call in made) == Page.objects.filter(words__has="bee").count()

"""The last order of results: what is valid first, and importance and recency if they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from memory.models import MemoryItem

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

DAY = timedelta(days=1)
QUESTION = "Where does Ada live?"


def found(question: str = QUESTION, **options: Any) -> list[tuple[str, bool]]:
    """The ids and validity of results."""
    return [(item.pk, item.valid) for item in MemoryItem.objects.search(question, user_id="ada", **options)]


@pytest.fixture
def moves(make_item: Callable[..., MemoryItem]) -> None:
    """Three homes, one after the other; the last one does not say so."""
    now = timezone.now()
    make_item(id="ghent", text_content="Ada lives in Ghent.", timestamp=now - 30 * DAY)
    make_item(id="lyon", text_content="Ada lives in Lyon.", timestamp=now - 20 * DAY, supersedes=["ghent"])
    make_item(id="oslo", text_content="Off to Norway at last.", timestamp=now - 10 * DAY, supersedes=["lyon"])
    for number in range(5):
        make_item(id=f"other{number}", text_content=f"Bo lives in house {number}.", timestamp=now - 5 * DAY)


@pytest.mark.usefixtures("moves")
def test_the_valid_item_takes_the_place_of_what_it_superseded() -> None:
    """Also if the question does not match it, and over several corrections."""
    results = found()
    assert results[0] == ("oslo", True)
    assert {"ghent", "lyon"} == {pk for pk, valid in results if not valid}
    first_invalid = [valid for _, valid in results].index(False)
    assert not any(valid for _, valid in results[first_invalid:])
    assert found(limit=1) == [("oslo", True)]


@pytest.mark.usefixtures("moves")
def test_as_of_a_time() -> None:
    """What was valid then is first; `as_of()` of the queryset leaves the others out."""
    then = timezone.now() - 15 * DAY
    assert found(as_of=then)[0] == ("lyon", True)
    assert dict(found(as_of=then))["ghent"] is False
    restricted = MemoryItem.objects.as_of(then).search(QUESTION, user_id="ada")
    assert {"lyon"} == {item.pk for item in restricted} & {"ghent", "lyon", "oslo"}


@pytest.mark.usefixtures("moves")
def test_filters_apply_to_what_takes_a_place() -> None:
    """An item that the filters exclude is not shown."""
    MemoryItem.objects.filter(pk="oslo").update(session_id="s2")
    items = MemoryItem.objects.filter(session_id=None)
    assert "oslo" not in {item.pk for item in items.search(QUESTION, user_id="ada")}


def test_importance_and_recency_are_weights(make_item: Callable[..., MemoryItem]) -> None:
    """They order what matches alike, add parts, and leave scores and results as they are."""
    now = timezone.now()
    make_item(id="a", text_content="Ada paints houses.", timestamp=now - 60 * DAY, importance=1.0)
    make_item(id="b", text_content="Ada paints boats.", timestamp=now - 30 * DAY)
    make_item(id="c", text_content="Ada paints trees.", timestamp=now)
    plain = {item.pk: item.score for item in MemoryItem.objects.search("Ada paints", user_id="ada")}
    important = MemoryItem.objects.search("Ada paints", user_id="ada", importance=1.0, explain=True)
    recent = MemoryItem.objects.search("Ada paints", user_id="ada", recency=1.0, explain=True)
    for results, name, expected in (
        (important, "importance", {"a": 1.0, "b": 0.0, "c": 0.0}),
        (recent, "recency", {"a": 0.25, "b": 0.5, "c": 1.0}),
    ):
        parts = {item.pk: item.score_parts[name] for item in results}
        assert parts == pytest.approx(expected, abs=0.01)
        assert {item.pk: item.score for item in results} == plain
        assert [item.pk for item in results] == sorted(plain, key=lambda pk: -plain[pk] - parts[pk])
    MemoryItem.objects.filter(pk="a").update(touched=now)
    [used] = [
        item
        for item in MemoryItem.objects.search("Ada paints", user_id="ada", recency=1.0, explain=True)
        if item.pk == "a"
    ]
    assert used.score_parts["recency"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("options", [{"importance": 2}, {"recency": -1}, {"recency": "x"}, {"as_of": "now"}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    """Numbers from 0 to 1, and a time."""
    with pytest.raises((TypeError, ValueError)):
        found(**options)

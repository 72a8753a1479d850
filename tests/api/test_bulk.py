"""Many items in one request: all of them or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from memory.models import MemoryItem, UserSession

from .conftest import codes

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

BULK = "/api/memory-items/bulk/"


def post(client: APIClient, *items: Any) -> Any:
    return client.post(BULK, {"items": list(items)}, format="json")


def test_items_are_made_in_order(ada: APIClient) -> None:
    """With ids chosen and made, owner and session's row as by single requests."""
    new = {"item_type": "m"}
    answer = post(ada, {**new, "id": "b", "session_id": "s"}, new, {**new, "id": "a"})
    assert answer.status_code == 201
    made = answer.json()
    assert made["created"] == 3
    assert (made["ids"][0], made["ids"][2]) == ("b", "a")
    assert MemoryItem.objects.filter(pk__in=made["ids"], user_id="ada").count() == 3
    assert UserSession.objects.filter(pk="ada:s").exists()


def test_every_wrong_row_is_told_and_nothing_is_written(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """By index and field, whatever is wrong with the row itself."""
    answer = post(
        ada,
        {"item_type": "m"},
        {"item_type": 5, "colour": "red"},
        "text",
        {"item_type": "m", "user_id": "bob"},
        {"item_type": "m", "metadata": {"a": "\x00"}},
    )
    assert answer.status_code == 400
    assert codes(answer) == {
        "items.1.item_type": ["invalid"],
        "items.1.colour": ["unknown"],
        "items.2": ["invalid"],
        "items.3.user_id": ["not_yours"],
        "items.4.metadata": ["null_characters_not_allowed"],
    }
    assert not MemoryItem.all_objects.exists()


def test_ids_that_cannot_be_and_rows_too_large_are_told(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Taken by anybody, given twice, above what a document holds."""
    make_item(id="bobs", user_id="bob")
    answer = post(
        ada,
        {"item_type": "m", "id": "twice"},
        {"item_type": "m", "id": "twice"},
        {"item_type": "m", "id": "bobs"},
        {"item_type": "m", "text_content": "x" * 1_048_577},
    )
    assert answer.status_code == 400
    assert codes(answer) == {
        "items.1.id": ["repeated"],
        "items.2.id": ["taken"],
        "items.3.text_content": ["too_large"],
    }
    assert MemoryItem.all_objects.count() == 1


def test_there_is_a_limit_and_it_is_told(ada: APIClient, settings: Any) -> None:
    """`MEMORY["BULK_LIMIT"]`; an empty list is an error too."""
    settings.MEMORY = {**settings.MEMORY, "BULK_LIMIT": 3}
    assert post(ada, *[{"item_type": "m"}] * 3).status_code == 201
    assert codes(post(ada, *[{"item_type": "m"}] * 4)) == {"items": ["too_many"]}
    assert codes(post(ada)) == {"items": ["empty"]}
    assert codes(ada.post(BULK, {"items": {}}, format="json")) == {"items": ["not_a_list"]}
    assert codes(ada.post(BULK, [], format="json")) == {"body": ["invalid"]}
    assert codes(ada.post(BULK, {}, format="json")) == {"items": ["required"]}


@pytest.mark.parametrize("rows", [50, 500])
def test_queries_do_not_grow_with_rows(
    ada: APIClient, rows: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    """500 rows of one session take a few statements more than 50: SQLite binds 999 values in each."""
    items = [{"item_type": "m", "id": f"{n}", "session_id": "s"} for n in range(rows)]
    with django_assert_max_num_queries(16, using="memory"):
        assert post(ada, *items).status_code == 201


def test_an_id_taken_meanwhile_is_a_conflict(ada: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """409, and nothing is written: another request was between our look and our write."""
    from memory.querysets import MemoryItemQuerySet

    def lose(self: Any, objs: Any, *args: Any, **kwargs: Any) -> Any:
        raise IntegrityError("UNIQUE constraint failed")

    monkeypatch.setattr(MemoryItemQuerySet, "bulk_create", lose)
    answer = post(ada, {"item_type": "m"})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "conflict"

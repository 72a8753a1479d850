"""Bulk creation of memory items: all or none."""

from __future__ import annotations

import json
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


def test_items_are_created_in_order(ada: APIClient) -> None:
    """Ids may be given or generated; owner and session are set as by single requests."""
    new = {"item_type": "m"}
    response = post(ada, {**new, "id": "b", "session_id": "s"}, new, {**new, "id": "a"})
    assert response.status_code == 201
    made = response.json()
    assert made["created"] == 3
    assert (made["ids"][0], made["ids"][2]) == ("b", "a")
    assert MemoryItem.objects.filter(pk__in=made["ids"], user_id="ada").count() == 3
    assert UserSession.objects.filter(pk="ada:s").exists()


def test_all_invalid_rows_are_reported_and_nothing_is_written(
    ada: APIClient, make_item: Callable[..., MemoryItem]
) -> None:
    """Errors name the row and the field."""
    response = post(
        ada,
        {"item_type": "m"},
        {"item_type": 5, "colour": "red"},
        "text",
        {"item_type": "m", "user_id": "bob"},
        {"item_type": "m", "metadata": json.loads('{"a":' * 21 + "1" + "}" * 21)},
    )
    assert response.status_code == 400
    assert codes(response) == {
        "items.1.item_type": ["invalid"],
        "items.1.colour": ["unknown"],
        "items.2": ["invalid"],
        "items.3.user_id": ["not_yours"],
        "items.4.metadata": ["invalid_json"],
    }
    assert not MemoryItem.all_objects.exists()


def test_existing_ids_repeated_ids_and_large_rows_are_rejected(
    ada: APIClient, make_item: Callable[..., MemoryItem]
) -> None:
    """Ids of any user, ids given twice, and rows above the document limit."""
    make_item(id="bobs", user_id="bob")
    response = post(
        ada,
        {"item_type": "m", "id": "twice"},
        {"item_type": "m", "id": "twice"},
        {"item_type": "m", "id": "bobs"},
        {"item_type": "m", "text_content": "x" * 1_048_577},
    )
    assert response.status_code == 400
    assert codes(response) == {
        "items.1.id": ["repeated"],
        "items.2.id": ["taken"],
        "items.3.text_content": ["too_large"],
    }
    assert MemoryItem.all_objects.count() == 1


def test_number_of_items_is_limited(ada: APIClient, settings: Any) -> None:
    """`MEMORY["BULK_LIMIT"]` is enforced; an empty list is an error."""
    settings.MEMORY = {**settings.MEMORY, "BULK_LIMIT": 3}
    assert post(ada, *[{"item_type": "m"}] * 3).status_code == 201
    assert codes(post(ada, *[{"item_type": "m"}] * 4)) == {"items": ["too_many"]}
    assert codes(post(ada)) == {"items": ["empty"]}
    assert codes(ada.post(BULK, {"items": {}}, format="json")) == {"items": ["not_a_list"]}
    assert codes(ada.post(BULK, [], format="json")) == {"body": ["invalid"]}
    assert codes(ada.post(BULK, {}, format="json")) == {"items": ["required"]}


@pytest.mark.parametrize("rows", [50, 500])
def test_number_of_queries_is_bounded(
    ada: APIClient, rows: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    """500 rows take a few statements more than 50, since SQLite binds at most 999 values."""
    items = [{"item_type": "m", "id": f"{n}", "session_id": "s"} for n in range(rows)]
    with django_assert_max_num_queries(16, using="memory"):
        assert post(ada, *items).status_code == 201


def test_concurrent_insert_of_an_id_is_a_conflict(ada: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the id is inserted between check and write, the status is 409 and nothing is written."""
    from memory.querysets import MemoryItemQuerySet

    def raise_integrity_error(self: Any, objs: Any, *args: Any, **kwargs: Any) -> Any:
        raise IntegrityError("UNIQUE constraint failed")

    monkeypatch.setattr(MemoryItemQuerySet, "bulk_create", raise_integrity_error)
    response = post(ada, {"item_type": "m"})
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "conflict"

"""Every filter and order of the lists is served: by an index of the manifest, or over a bounded read.

On Firestore `require_indexes` refuses queries that production would refuse. The parameters are those of the filtersets
and viewsets, so new ones are tested too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from rest_framework.test import APIClient

from memory.api import filters, pagination, viewsets
from memory.backends.firestore.errors import MissingIndex
from memory.models import AgentData, MemoryItem, UserSession

pytestmark = pytest.mark.django_db(databases=["default", "memory"])
# A transaction reads the collections that it has written to in its own way, which needs fewer indexes.
committed = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LISTS = (viewsets.MemoryItemViewSet, viewsets.AgentDataViewSet, viewsets.UserSessionViewSet)
VALUES: Mapping[type[Any], str] = {
    filters.MomentFilter: "now",
    filters.MomentOrAllFilter: "now",
    filters.TimestampFilter: "2026-03-01T12:00:00Z",
    filters.ScalarFilter: '"blue"',
    filters.TextFilter: "ada",
}


def parameters(filterset: type[Any]) -> dict[str, str]:
    """A value for each filter."""
    return {name: VALUES[type(one)] for name, one in filterset.base_filters.items()}


def chosen(values: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """No filter, each, each pair, and all together. `metadata_value` needs `metadata_key`."""
    names = sorted(values)
    for some in [(), *combinations(names, 1), *combinations(names, 2), tuple(names)]:
        with_key = {*some, "metadata_key"} if "metadata_value" in some else set(some)
        yield {name: values[name] for name in sorted(with_key)}


@pytest.fixture
def stored() -> None:
    """Three records of each model, all of which pass all filters but those of time."""
    for number in range(3):
        at = NOON + timedelta(minutes=number - 1)
        values: dict[str, Any] = {"metadata": {"ada": "blue"}, "timestamp": at}
        MemoryItem.objects.create(user_id="ada", session_id="ada", item_type="ada", persona_active="ada", **values)
        AgentData.objects.create(agent_id="ada", data_type="ada", **values)
        # Two of another principal, whom an operator's lists have.
        for user, session in (("ada", f"ada-{number}"), (f"eve-{number}", "ada")):
            UserSession.objects.create(
                id=UserSession.make_id(user, session), user_id=user, session_id=session, last_activity=at
            )
    UserSession.objects.update(metadata={"ada": "blue"})


@committed
@pytest.mark.parametrize("view", LISTS)
@pytest.mark.parametrize("principal", ["ada", "operator"])
def test_every_filter_in_every_order(view: Any, principal: str, stored: None, request: pytest.FixtureRequest) -> None:
    """Each answers 200, first pages and pages behind a cursor."""
    client: APIClient = request.getfixturevalue(principal)
    failed = []
    for query in chosen(parameters(view.filterset_class)):
        for ordering in view.orderings:
            asked: dict[str, Any] = {**query, "ordering": ordering, "limit": 1}
            response = client.get(f"/api/{view.collection}/", asked)
            following = client.get(response.json()["next"]) if response.json().get("next") else response
            if (response.status_code, following.status_code) != (200, 200):
                failed.append((asked, following.json()))
    assert failed == []


@committed
def test_every_filter_of_a_search(ada: APIClient, stored: None) -> None:
    """A filter that no index serves together with words and vectors is evaluated over the user's items."""
    values = parameters(filters.MemoryItemFilter)
    for query in chosen(values):
        response = ada.get("/api/memory-items/search/", {**query, "q": "what colour"})
        assert response.status_code == 200, (query, response.json())


def test_a_search_by_metadata_finds_what_passes(ada: APIClient) -> None:
    """With the order of other searches, and nothing of others."""
    for number, colour in enumerate(("blue", "red", "blue")):
        MemoryItem.objects.create(
            id=f"i{number}",
            user_id="ada",
            item_type="m",
            text_content=f"the boat in harbour {number}",
            metadata={"c": colour},
        )
    MemoryItem.objects.create(user_id="bob", item_type="m", text_content="the boat", metadata={"c": "blue"})
    found = ada.get("/api/memory-items/search/", {"q": "boat", "metadata_key": "c", "metadata_value": '"blue"'})
    assert sorted(item["id"] for item in found.json()["results"]) == ["i0", "i2"]


def test_pages_of_a_metadata_filter_are_complete(ada: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Following `next` finds every record once, however few of the records that are read match."""
    monkeypatch.setattr(pagination, "MOST_SCANNED", 4)
    for number in range(11):
        MemoryItem.objects.create(
            id=f"i{number:02}",
            user_id="ada",
            item_type="m",
            metadata={"rare": number} if number % 5 == 0 else {},
            timestamp=NOON + timedelta(minutes=number),
        )
    pages, url = [], "/api/memory-items/?metadata_key=rare&limit=2"
    while url:
        page = ada.get(url).json()
        pages.append(page)
        url = page["next"]
    found = [item["id"] for page in pages for item in page["results"]]
    assert found == ["i10", "i05", "i00"]
    assert [page["has_more"] for page in pages] == [True] * (len(pages) - 1) + [False]
    back, url = [], pages[-1]["previous"]
    while url:
        page = ada.get(url).json()
        back = [item["id"] for item in page["results"]] + back
        url = page["previous"]
    assert back == [one for one in found if one not in {item["id"] for item in pages[-1]["results"]}]


@committed
def test_a_list_without_its_index_fails(
    ada: APIClient, stored: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So the tests above fail for an index that the manifest lacks."""
    connection = connections["memory"]
    if connection.vendor != "firestore":
        pytest.skip("only Firestore needs an index for each query")
    empty = tmp_path / "empty.json"
    empty.write_text('{"indexes": [], "fieldOverrides": []}')
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict["OPTIONS"], "require_indexes", str(empty))
        connection.close()  # the next one reads the options
        response = ada.get("/api/memory-items/?item_type=ada")
    connection.close()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "missing_index")


@pytest.mark.parametrize(
    ("value", "found"),
    [(None, "abcdefg"), ("5", "ab"), ('"5"', "c"), ("true", "d"), ("1", "e"), ("null", "f"), ("x", "g")],
)
def test_metadata_is_compared_by_type(ada: APIClient, value: str | None, found: str) -> None:
    """A string is not a number, true is not 1, and null is not a missing key."""
    values = {"a": 5, "b": 5.0, "c": "5", "d": True, "e": 1, "f": None, "g": "x"}
    for pk, stored_value in values.items():
        MemoryItem.objects.create(id=pk, user_id="ada", item_type="m", metadata={"k": stored_value})
    MemoryItem.objects.create(id="z", user_id="ada", item_type="m", metadata={"other": 5})
    query = {"metadata_key": "k", **({} if value is None else {"metadata_value": value})}
    page = ada.get("/api/memory-items/", query).json()
    assert sorted(item["id"] for item in page["results"]) == sorted(found)


def test_a_missing_index_is_503_with_its_definition_for_staff(
    make_user: Callable[..., Any],
    client_for: Callable[[Any], APIClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others learn that an index is missing, but not which."""
    definition = {"collectionGroup": "memory_items", "fields": []}

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise MissingIndex("memory_items: secret", definition)

    monkeypatch.setattr(pagination, "page_query", fail)
    for is_staff in (False, True):
        client = client_for(make_user(f"staff {is_staff}", is_staff=is_staff))
        response = client.get("/api/memory-items/")
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (503, "missing_index")
        assert ("memory_items" in response.content.decode()) is is_staff
        assert "secret" not in response.content.decode()

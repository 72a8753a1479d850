"""Search over HTTP: results, access and validation."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone
from rest_framework.test import APIClient

from memory.models import MemoryItem
from memory.search.embedders import EmbedderError
from memory.testing.embedders import DeterministicEmbedder
from tests.api.conftest import codes

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

SEARCH = "/api/memory-items/search/"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Broken(DeterministicEmbedder):
    """An embedder that embeds items and fails for queries."""

    name = "broken"

    def embed_query(self, text: str) -> Any:
        """Raise an error."""
        raise EmbedderError("broken failed (Timeout): try again later.")


@pytest.fixture(autouse=True)
def _small_model(settings: Any) -> None:
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": "memory.testing.embedders.DeterministicEmbedder"}


@pytest.fixture
def said(make_item: Callable[..., MemoryItem]) -> dict[str, MemoryItem]:
    """Items of two users."""
    texts = {
        "train": {"text_content": "I took the night train to Vienna.", "session_id": "trip", "timestamp": NOON},
        "piano": {"text_content": "The piano was tuned on Monday.", "item_type": "fact", "metadata": {"role": "user"}},
        "ferry": {"text_content": "The ferry to Naxos was late.", "session_id": "trip", "embedding": [0.5, 0.25]},
        "bobs": {"text_content": "My night train to Berlin was late.", "user_id": "bob"},
    }
    return {name: make_item(id=name, **values) for name, values in texts.items()}


def search(client: APIClient, **parameters: Any) -> list[str]:
    """Ids of the results, best first."""
    response = client.get(SEARCH, parameters)
    assert response.status_code == 200, response.json()
    return [row["id"] for row in response.json()["results"]]


def test_results_are_ordered_by_score(ada: APIClient, said: dict[str, MemoryItem]) -> None:
    """Results are items without vectors, with a score."""
    rows = ada.get(SEARCH, {"q": "night train"}).json()["results"]
    assert rows[0]["id"] == "train"
    assert rows[0]["text_content"] == "I took the night train to Vienna."
    assert rows[0]["session_id"] == "trip"
    assert rows[0]["timestamp"] == "2026-03-01T12:00:00Z"
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert rows[0]["parts"] is None
    assert not {"embedding", "terms", "text_embedding"} & rows[0].keys()


def test_explain_returns_the_parts_of_the_score(ada: APIClient, said: dict[str, MemoryItem]) -> None:
    """The score is the logistic function of their sum."""
    first = ada.get(SEARCH, {"q": "night train", "explain": "true"}).json()["results"][0]
    assert 1 / (1 + math.exp(-sum(first["parts"].values()))) == pytest.approx(first["score"])
    assert ada.get(SEARCH, {"q": "night train", "explain": "false"}).json()["results"][0]["parts"] is None


def test_search_is_restricted_to_the_owner(
    ada: APIClient, bob: APIClient, operator: APIClient, said: dict[str, MemoryItem]
) -> None:
    """Items of other users are found only with the permission and an explicit `user_id`."""
    assert "bobs" not in search(ada, q="night train Berlin late")
    assert search(ada, q="night train", user_id="bob") == []
    assert search(ada, q="night train", user_id="ada")[0] == "train"
    assert search(bob, q="night train") == ["bobs"]
    assert search(operator, q="night train") == []
    assert search(operator, q="night train", user_id="bob") == ["bobs"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"session_id": "trip"}, {"train", "ferry"}),
        ({"session_id": "none"}, set()),
        ({"item_type": "fact"}, {"piano"}),
        ({"since": "2026-03-01T12:00:01Z"}, {"piano", "ferry"}),
        ({"until": "2026-03-01T12:00:01Z"}, {"train"}),
        ({"metadata_key": "role", "metadata_value": "user"}, {"piano"}),
        ({"session_id": "trip", "until": "2026-03-01T12:00:01Z"}, {"train"}),
    ],
)
def test_search_has_the_filters_of_lists(
    ada: APIClient, said: dict[str, MemoryItem], filters: dict[str, str], expected: set[str]
) -> None:
    """Session, type, time and metadata exclude items whatever their score."""
    assert set(search(ada, q="train piano ferry", **filters)) == expected


def test_expired_items_are_not_found(ada: APIClient, said: dict[str, MemoryItem]) -> None:
    """Expiration takes effect at once."""
    MemoryItem.objects.filter(pk="train").update(expiration=timezone.now() - timedelta(seconds=1))
    assert "train" not in search(ada, q="night train")


def test_limit_of_results(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """10 by default, at most 100."""
    for number in range(12):
        make_item(text_content=f"A lighthouse, number {number}.")
    assert len(search(ada, q="lighthouse")) == 10
    assert len(search(ada, q="lighthouse", limit=3)) == 3
    assert len(search(ada, q="lighthouse", limit=100)) == 12


@pytest.mark.parametrize(
    ("parameters", "errors"),
    [
        ({}, {"q": ["required"]}),
        ({"q": ""}, {"q": ["blank"]}),
        ({"q": " \t"}, {"q": ["blank"]}),
        ({"q": "x" * 10_001}, {"q": ["max_length"]}),
        ({"q": "a\x00b"}, {"q": ["null_characters_not_allowed"]}),
        ({"q": ["one", "two"]}, {"q": ["repeated"]}),
        ({"q": "x", "limit": "0"}, {"limit": ["invalid"]}),
        ({"q": "x", "limit": "101"}, {"limit": ["invalid"]}),
        ({"q": "x", "limit": "1.0"}, {"limit": ["invalid"]}),
        ({"q": "x", "limit": "ten"}, {"limit": ["invalid"]}),
        ({"q": "x", "limit": "9" * 5000}, {"limit": ["invalid"]}),
        ({"q": "x", "explain": "yes"}, {"explain": ["invalid"]}),
        ({"q": "x", "since": "yesterday"}, {"since": ["invalid"]}),
        ({"q": "x", "cursor": "abc"}, {"cursor": ["unknown"]}),
        ({"q": "x", "query": "y"}, {"query": ["unknown"]}),
    ],
)
def test_invalid_parameters_are_rejected(
    ada: APIClient, parameters: dict[str, Any], errors: dict[str, list[str]]
) -> None:
    """Each invalid parameter is named."""
    response = ada.get(SEARCH, parameters)
    assert response.status_code == 400
    assert codes(response) == errors


@pytest.mark.parametrize(
    "query", ["👩‍👩‍👧‍👦🎉", "?!", "the", "\u200b", "京都", "x" * 10_000, "a " * 5_000, "'\" OR 1=1 --"]
)
def test_unusual_queries_are_accepted(ada: APIClient, said: dict[str, MemoryItem], query: str) -> None:
    """Emoji, punctuation, stop words, other scripts and long queries cause no error."""
    search(ada, q=query)


def test_methods_authentication_and_reserved_id(ada: APIClient, said: dict[str, MemoryItem]) -> None:
    """GET only, authenticated only, optional trailing slash; no item can have the id `search`."""
    assert APIClient().get(SEARCH, {"q": "train"}).status_code == 401
    assert ada.post(SEARCH, {}, format="json").status_code == 405
    assert ada.delete(SEARCH).status_code == 405
    assert ada.get(SEARCH.rstrip("/"), {"q": "train"}).status_code == 200
    created = ada.post("/api/memory-items/", {"id": "search", "item_type": "fact"}, format="json")
    assert codes(created) == {"id": ["invalid_id"]}


def test_unavailable_embedder_is_503(
    ada: APIClient, said: dict[str, MemoryItem], caplog: pytest.LogCaptureFixture
) -> None:
    """Semantic results are not silently omitted: the status is 503 with Retry-After."""
    from django.conf import settings

    with override_settings(MEMORY={**settings.MEMORY, "EMBEDDER": f"{__name__}.Broken"}):
        response = ada.get(SEARCH, {"q": "night train"})
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert response.json()["error"]["code"] == "unavailable"
    assert "broken failed" in caplog.text

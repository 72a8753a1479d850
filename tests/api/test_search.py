"""Search over HTTP: what it finds, for whom, and what it refuses."""

from __future__ import annotations

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
    """A model that embeds what is stored and is away when it is asked."""

    name = "broken"

    def embed_query(self, text: str) -> Any:
        """Fails."""
        raise EmbedderError("broken gave no vectors (Timeout): try again later.")


@pytest.fixture(autouse=True)
def _small_model(settings: Any) -> None:
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": "memory.testing.embedders.DeterministicEmbedder"}


@pytest.fixture
def said(make_item: Callable[..., MemoryItem]) -> dict[str, MemoryItem]:
    """Two users' memories."""
    texts = {
        "train": {"text_content": "I took the night train to Vienna.", "session_id": "trip", "timestamp": NOON},
        "piano": {"text_content": "The piano was tuned on Monday.", "item_type": "fact", "metadata": {"role": "user"}},
        "ferry": {"text_content": "The ferry to Naxos was late.", "session_id": "trip", "embedding": [0.5, 0.25]},
        "bobs": {"text_content": "My night train to Berlin was late.", "user_id": "bob"},
    }
    return {name: make_item(id=name, **values) for name, values in texts.items()}


def found(client: APIClient, **parameters: Any) -> list[str]:
    """Ids, best first."""
    answer = client.get(SEARCH, parameters)
    assert answer.status_code == 200, answer.json()
    return [row["id"] for row in answer.json()["results"]]


def test_the_best_comes_first_with_its_score(ada: APIClient, said: dict[str, MemoryItem]) -> None:
    """An item as everywhere, but for its vectors, and how well it answers."""
    rows = ada.get(SEARCH, {"q": "night train"}).json()["results"]
    assert rows[0]["id"] == "train"
    assert rows[0]["text_content"] == "I took the night train to Vienna."
    assert rows[0]["session_id"] == "trip"
    assert rows[0]["timestamp"] == "2026-03-01T12:00:00Z"
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert rows[0]["parts"] is None
    assert not {"embedding", "terms", "text_embedding"} & rows[0].keys()


def test_parts_are_told_on_request(ada: APIClient, said: dict[str, MemoryItem]) -> None:
    """They add up to the score."""
    first = ada.get(SEARCH, {"q": "night train", "explain": "true"}).json()["results"][0]
    assert first["parts"]["lexical"] > 0
    assert sum(first["parts"].values()) == pytest.approx(first["score"])
    assert ada.get(SEARCH, {"q": "night train", "explain": "false"}).json()["results"][0]["parts"] is None


def test_a_memory_is_its_owners(
    ada: APIClient, bob: APIClient, operator: APIClient, said: dict[str, MemoryItem]
) -> None:
    """Nobody finds another's items, asked for by name or not; who may act for others names whose they are."""
    assert "bobs" not in found(ada, q="night train Berlin late")
    assert found(ada, q="night train", user_id="bob") == []
    assert found(ada, q="night train", user_id="ada")[0] == "train"
    assert found(bob, q="night train") == ["bobs"]
    assert found(operator, q="night train") == []
    assert found(operator, q="night train", user_id="bob") == ["bobs"]


@pytest.mark.parametrize(
    ("narrowed", "expected"),
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
def test_a_search_is_narrowed_as_a_list_is(
    ada: APIClient, said: dict[str, MemoryItem], narrowed: dict[str, str], expected: set[str]
) -> None:
    """By session, type, time and metadata; what does not pass is not found, however well it answers."""
    assert set(found(ada, q="train piano ferry", **narrowed)) == expected


def test_what_has_expired_is_not_found(ada: APIClient, said: dict[str, MemoryItem]) -> None:
    """From the moment on."""
    MemoryItem.objects.filter(pk="train").update(expiration=timezone.now() - timedelta(seconds=1))
    assert "train" not in found(ada, q="night train")


def test_results_are_ten_unless_told_otherwise(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """At most a hundred."""
    for number in range(12):
        make_item(text_content=f"A lighthouse, number {number}.")
    assert len(found(ada, q="lighthouse")) == 10
    assert len(found(ada, q="lighthouse", limit=3)) == 3
    assert len(found(ada, q="lighthouse", limit=100)) == 12


@pytest.mark.parametrize(
    ("parameters", "wrong"),
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
def test_what_makes_no_sense_is_refused(
    ada: APIClient, parameters: dict[str, Any], wrong: dict[str, list[str]]
) -> None:
    """Each parameter that is wrong is named."""
    answer = ada.get(SEARCH, parameters)
    assert answer.status_code == 400
    assert codes(answer) == wrong


@pytest.mark.parametrize(
    "question", ["👩‍👩‍👧‍👦🎉", "?!", "the", "\u200b", "京都", "x" * 10_000, "a " * 5_000, "'\" OR 1=1 --"]
)
def test_odd_questions_have_an_answer(ada: APIClient, said: dict[str, MemoryItem], question: str) -> None:
    """Emoji, punctuation, small words, other scripts, long ones: results or none, never an error."""
    found(ada, q=question)


def test_methods_and_credentials(ada: APIClient, said: dict[str, MemoryItem]) -> None:
    """Read only, for those who are known; the slash is optional, and no item is called so."""
    assert APIClient().get(SEARCH, {"q": "train"}).status_code == 401
    assert ada.post(SEARCH, {}, format="json").status_code == 405
    assert ada.delete(SEARCH).status_code == 405
    assert ada.get(SEARCH.rstrip("/"), {"q": "train"}).status_code == 200
    created = ada.post("/api/memory-items/", {"id": "search", "item_type": "fact"}, format="json")
    assert codes(created) == {"id": ["invalid_id"]}


def test_a_model_that_is_away_is_told(
    ada: APIClient, said: dict[str, MemoryItem], caplog: pytest.LogCaptureFixture
) -> None:
    """503, to be tried again: what could be found by meaning is not passed over in silence."""
    from django.conf import settings

    with override_settings(MEMORY={**settings.MEMORY, "EMBEDDER": f"{__name__}.Broken"}):
        answer = ada.get(SEARCH, {"q": "night train"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.json()["error"]["code"] == "unavailable"
    assert "broken gave no vectors" in caplog.text

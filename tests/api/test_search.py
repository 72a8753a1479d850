"""Search over HTTP: results, access and validation."""

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
from memory.search.segment_cache import cache
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
    """The order is that of their sums."""
    first, second = ada.get(SEARCH, {"q": "night train", "explain": "true"}).json()["results"][:2]
    assert sum(first["parts"].values()) > sum(second["parts"].values())
    assert 0 < second["score"] < first["score"] < 1
    assert ada.get(SEARCH, {"q": "night train", "explain": "false"}).json()["results"][0]["parts"] is None


def test_a_question_in_the_first_person_is_of_its_asker(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """By GET and by POST."""
    for speaker in ("Bo", "Cy"):
        make_item(id=speaker, text_content=f"My train was late, said {speaker}", metadata={"speaker": speaker})
    asked: dict[str, Any] = {"asker": "Bo", "explain": True}
    one = ada.get(SEARCH, {"q": "When was my train late?", **asked, "explain": "true"}).json()["results"]
    question = {"questions": ["When was my train late?"], **asked}
    [many] = ada.post(SEARCH, question, format="json").json()["searches"]
    for rows in (one, many["results"]):
        assert {row["id"] for row in rows if row["parts"].get("user_first", 0) > 0} == {"Bo"}


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
        ({"q": "x", "hidden": "yes"}, {"hidden": ["invalid"]}),
        ({"q": "x", "min_score": "1.01"}, {"min_score": ["invalid"]}),
        ({"q": "x", "min_score": "-0.1"}, {"min_score": ["invalid"]}),
        ({"q": "x", "min_score": "nan"}, {"min_score": ["invalid"]}),
        ({"q": "x", "min_score": "half"}, {"min_score": ["invalid"]}),
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


def test_results_below_the_least_score_are_left_out(ada: APIClient, said: dict[str, MemoryItem]) -> None:
    """And `nothing_found` says whether any result has the score of an answer."""
    every = ada.get(SEARCH, {"q": "night train Vienna"}).json()
    assert not every["nothing_found"]
    best = every["results"][0]["score"]
    assert search(ada, q="night train Vienna", min_score=f"{best:.17g}") == ["train"]
    strict = ada.get(SEARCH, {"q": "night train Vienna", "min_score": "1"}).json()
    assert strict == {"results": [], "nothing_found": True, "waiting": 0}


def test_hidden_empty_and_repeated_items(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Hidden items are found if asked for, those without text never, and a repeated text once, with a count."""
    make_item(id="hidden", text_content="A lighthouse on a cliff.", metadata={"hidden": True})
    make_item(id="shown", text_content="A lighthouse by the sea.", metadata={"hidden": False})
    make_item(id="empty", text_content="", session_id="s")
    make_item(id="none", text_content=None, session_id="s")
    for number in range(3):
        make_item(id=f"same{number}", text_content="A lighthouse in the fog.", item_type="ab"[number % 2])
    found = ada.get(SEARCH, {"q": "lighthouse"}).json()["results"]
    assert {row["count"] for row in found if row["id"].startswith("same")} == {3}
    assert len(found) == 2
    assert set(search(ada, q="lighthouse", hidden="true")) == {"hidden", *(row["id"] for row in found)}
    (one,) = ada.get(SEARCH, {"q": "lighthouse", "item_type": "b"}).json()["results"]
    assert one["count"] == 1


def ask(client: APIClient, *questions: str, **body: Any) -> Any:
    """The response to several questions."""
    return client.post(SEARCH, {"questions": list(questions), **body}, format="json")


def test_several_questions_are_answered_as_one_each(ada: APIClient, said: dict[str, MemoryItem]) -> None:
    """In their order, with the options and filters of a search by GET."""
    response = ask(ada, "night train", "Who tuned the piano?", "night train", limit=2, explain=True)
    assert response.status_code == 200, response.json()
    searches = response.json()["searches"]
    assert [one["q"] for one in searches] == ["night train", "Who tuned the piano?", "night train"]
    for one in searches:
        alone = ada.get(SEARCH, {"q": one["q"], "limit": 2, "explain": "true"}).json()
        assert {"q": one["q"], **alone} == one
    assert searches[1]["results"][0]["id"] == "piano"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"session_id": "trip"}, {"train", "ferry"}),
        ({"item_type": "fact"}, {"piano"}),
        ({"since": "2026-03-01T12:00:01Z"}, {"piano", "ferry"}),
        ({"until": "2026-03-01T13:00:01+01:00"}, {"train"}),
        ({"metadata_key": "role", "metadata_value": "user"}, {"piano"}),
        ({"metadata_key": "role", "metadata_value": True}, set()),
        ({"min_score": 1}, set()),
    ],
)
def test_questions_have_the_filters_of_lists(
    ada: APIClient, said: dict[str, MemoryItem], filters: dict[str, Any], expected: set[str]
) -> None:
    """A value of metadata is JSON."""
    (found,) = ask(ada, "train piano ferry", **filters).json()["searches"]
    assert {row["id"] for row in found["results"]} == expected


def test_questions_are_restricted_to_the_owner(
    ada: APIClient, bob: APIClient, operator: APIClient, said: dict[str, MemoryItem]
) -> None:
    """As a search by GET."""

    def found(client: APIClient, **body: Any) -> list[str]:
        (one,) = ask(client, "night train Berlin", **body).json()["searches"]
        return [row["id"] for row in one["results"]]

    assert "bobs" not in found(ada)
    assert found(ada, user_id="bob") == []
    assert found(bob) == ["bobs"]
    assert found(operator) == []
    assert found(operator, user_id="bob") == ["bobs"]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"questions": ["required"]}),
        ({"questions": []}, {"questions": ["min_length"]}),
        ({"questions": ["x"] * 11}, {"questions": ["max_length"]}),
        ({"questions": "x"}, {"questions": ["not_a_list"]}),
        ({"questions": ["x", " "]}, {"questions.1": ["blank"]}),
        ({"questions": ["x" * 10_001]}, {"questions.0": ["max_length"]}),
        ({"questions": ["a\x00b"]}, {"questions.0": ["null_characters_not_allowed"]}),
        ({"questions": [5]}, {"questions.0": ["invalid"]}),
        ({"questions": ["x"], "limit": "5"}, {"limit": ["invalid"]}),
        ({"questions": ["x"], "limit": 101}, {"limit": ["max_value"]}),
        ({"questions": ["x"], "min_score": 1.5}, {"min_score": ["max_value"]}),
        ({"questions": ["x"], "min_score": True}, {"min_score": ["invalid"]}),
        ({"questions": ["x"], "hidden": "true"}, {"hidden": ["invalid"]}),
        ({"questions": ["x"], "since": "yesterday"}, {"since": ["invalid"]}),
        ({"questions": ["x"], "metadata_value": 5}, {"metadata_key": ["required"]}),
        ({"questions": ["x"], "metadata_key": "a", "metadata_value": [1]}, {"metadata_value": ["invalid"]}),
        ({"questions": ["x"], "metadata_key": "k" * 701}, {"metadata_key": ["too_long"]}),
        ({"questions": ["x"], "q": "y"}, {"q": ["unknown"]}),
    ],
)
def test_invalid_questions_are_rejected(ada: APIClient, body: dict[str, Any], errors: dict[str, list[str]]) -> None:
    """Each invalid field is named."""
    response = ada.post(SEARCH, body, format="json")
    assert response.status_code == 400
    assert codes(response) == errors


def test_questions_have_no_query_parameters(ada: APIClient) -> None:
    """A parameter without effect is an error."""
    assert codes(ada.post(f"{SEARCH}?q=x", {"questions": ["x"]}, format="json")) == {"q": ["unknown"]}


@pytest.mark.parametrize(
    "query", ["👩‍👩‍👧‍👦🎉", "?!", "the", "\u200b", "京都", "x" * 10_000, "a " * 5_000, "'\" OR 1=1 --"]
)
def test_unusual_queries_are_accepted(ada: APIClient, said: dict[str, MemoryItem], query: str) -> None:
    """Emoji, punctuation, stop words, other scripts and long queries cause no error."""
    search(ada, q=query)


def test_methods_authentication_and_reserved_id(ada: APIClient, said: dict[str, MemoryItem]) -> None:
    """GET and POST only, authenticated only, optional trailing slash; no item can have the id `search`."""
    assert APIClient().get(SEARCH, {"q": "train"}).status_code == 401
    assert APIClient().post(SEARCH, {"questions": ["train"]}, format="json").status_code == 401
    assert ada.put(SEARCH, {}, format="json").status_code == 405
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


def test_items_that_wait_for_the_index_are_counted(
    ada: APIClient, said: dict[str, MemoryItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For one question and for several: the results may be incomplete."""
    assert ada.get(SEARCH, {"q": "night train"}).json()["waiting"] == 0
    for name in ("MOST_READ", "MOST_CHOSEN"):
        monkeypatch.setattr(f"memory.search.unindexed.{name}", 0)
    cache.clear()
    assert ada.get(SEARCH, {"q": "night train"}).json()["waiting"] == 3
    several = ada.post(SEARCH, {"questions": ["night train", "piano"]}, format="json").json()["searches"]
    assert [one["waiting"] for one in several] == [3, 3]

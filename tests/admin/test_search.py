"""The search box of memory items: users, order and error messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin import ModelAdmin
from django.contrib.messages import get_messages
from django.db import NotSupportedError, connections
from django.test import Client

from memory.admin import search
from memory.models import MemoryItem
from memory.search.embedders import EmbedderError
from memory.testing.embedders import DeterministicEmbedder

from .conftest import Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Unavailable(DeterministicEmbedder):
    """An embedder that embeds items and fails for queries."""

    def embed_query(self, text: str) -> Any:
        """Raise an error."""
        raise EmbedderError("embedder failed (Timeout): try again later.")


@pytest.fixture(autouse=True)
def _small_model(settings: Any) -> None:
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": "memory.testing.embedders.DeterministicEmbedder"}


@pytest.fixture
def stored(make_item: Callable[..., MemoryItem]) -> None:
    """Items of three users; the best match is an old item."""
    texts = ("The night train to Vienna was on time.", "A train of thought.", "The piano was tuned.")
    for number, text in enumerate(texts):
        make_item(
            id=f"a{number}",
            text_content=text,
            item_type=["message", "fact"][number % 2],
            session_id="trip",
            timestamp=NOON + timedelta(days=number),
        )
    make_item(id="b", user_id="bob", text_content="The night train to Berlin was late.", timestamp=NOON)
    make_item(id="c", user_id="carl de vries", text_content="No night train for me.", timestamp=NOON)


def ids(client: Client, url: str, **query: str) -> list[str]:
    """Ids of the list in order."""
    response = client.get(url, query)
    assert response.status_code == 200, response
    return [item.pk for item in response.context["cl"].result_list]


@pytest.mark.parametrize(
    ("search_text", "selected_user", "expected"),
    [
        ("user:ada what did she paint?", None, search.MemoryQuery("ada", "what did she paint?")),
        ('user:"carl de vries" a train', None, search.MemoryQuery("carl de vries", "a train")),
        (" user:ada", None, search.MemoryQuery("ada", "")),
        ("user:ada:x night", "ada", search.MemoryQuery("ada:x", "night")),
        ("night train", "ada", search.MemoryQuery("ada", "night train")),
        ("night train", None, None),
        ("the user:ada", None, None),
        ("user:", None, None),
        ('user:"" x', None, search.MemoryQuery('""', "x")),
        ("user:ada min_score:0.3 night", None, search.MemoryQuery("ada", "night", min_score=0.3)),
        ("hidden:yes  min_score:1 a train", "ada", search.MemoryQuery("ada", "a train", min_score=1.0, hidden=True)),
        ("min_score:2 night", "ada", search.MemoryQuery("ada", "min_score:2 night")),
        ("asker:Bo asker my train", "ada", search.MemoryQuery("ada", "asker my train", asker="Bo")),
        ('asker:"Bo Li" hidden:yes x', "ada", search.MemoryQuery("ada", "x", hidden=True, asker="Bo Li")),
        ("hidden:yesterday", "ada", search.MemoryQuery("ada", "hidden:yesterday")),
    ],
)
def test_parse_query(search_text: str, selected_user: str | None, expected: search.MemoryQuery | None) -> None:
    """The user is that of the prefix or of the filter; without either, the result is None."""
    assert search.parse_query(search_text, selected_user) == expected


@pytest.mark.parametrize(
    "query",
    [{"q": "user:ada trains at night"}, {"q": "trains at night", "user_id": "ada"}],
    ids=["named", "selected_user"],
)
def test_search_of_one_user_is_ranked(superuser: Client, url: Url, stored: None, query: dict[str, str]) -> None:
    """Inflected words match; the best result is first although it is old, and its score is shown."""
    found = ids(superuser, url("memoryitem"), **query)
    assert found[:2] == ["a0", "a1"]
    assert not {"b", "c"} & set(found)
    response = superuser.get(url("memoryitem"), query)
    page = response.content.decode()
    best = response.context["cl"].result_list[0]
    assert f">{best.score:.2f}</span>" in page
    assert all(f"{name} {part:.2f}" in page for name, part in best.score_parts.items())


def test_search_of_all_users_matches_words(superuser: Client, url: Url, stored: None) -> None:
    """All words must match exactly; results are ordered by time, without scores."""
    assert ids(superuser, url("memoryitem"), q="night train") == ["c", "b", "a0"]
    assert ids(superuser, url("memoryitem"), q="trains at night") == []
    assert "column-score" not in superuser.get(url("memoryitem"), {"q": "night"}).content.decode()


def test_search_is_combined_with_filters(superuser: Client, url: Url, stored: None) -> None:
    """Type, session and time apply; a prefix with another user than the filter finds nothing."""
    items = url("memoryitem")
    assert ids(superuser, items, q="user:ada train", item_type="fact") == ["a1"]
    assert ids(superuser, items, q="user:ada train", session_id="none") == []
    assert ids(superuser, items, q="user:ada train", timestamp__gte="2026-03-02 00:00:00+00:00")[0] == "a1"
    assert ids(superuser, items, q="user:ada train", user_id="bob") == []
    assert ids(superuser, items, q="user:nobody train") == []
    assert ids(superuser, items, q='user:"carl de vries" trains') == ["c"]


def test_prefix_without_query_lists_all_items(superuser: Client, url: Url, stored: None) -> None:
    """All items of the user, newest first."""
    assert ids(superuser, url("memoryitem"), q="user:ada") == ["a2", "a1", "a0"]


def test_results_can_be_ordered_by_column(superuser: Client, url: Url, stored: None) -> None:
    """The results and their scores stay the same."""
    by_score = ids(superuser, url("memoryitem"), q="user:ada train")
    by_time = ids(superuser, url("memoryitem"), q="user:ada train", o="-1")
    assert by_time == sorted(by_score, reverse=True)
    assert by_time != by_score
    assert "column-score" in superuser.get(url("memoryitem"), {"q": "user:ada train", "o": "-1"}).content.decode()


def test_actions_apply_to_the_results(superuser: Client, url: Url, stored: None) -> None:
    """An export of all results has exactly these."""
    query = "?q=user:ada+trains&item_type=fact"
    data = {"action": "export_jsonl", "select_across": "1", "_selected_action": ["a1"]}
    exported = superuser.post(url("memoryitem") + query, data)
    lines = b"".join(exported.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 1
    assert "A train of thought." in lines[0]


def test_date_hierarchy_has_the_dates_of_the_results(superuser: Client, url: Url, stored: None) -> None:
    """Days without results are not offered."""
    page = superuser.get(url("memoryitem"), {"q": "user:ada train", "item_type": "message"}).content.decode()
    assert "timestamp__day=1" in page
    assert "timestamp__day=2&" not in page.replace("&amp;", "&")


def test_nothing_found_is_said(superuser: Client, url: Url, stored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no result has the score of an answer; weaker ones are listed, unless they are left out."""
    assert "Nothing found" not in superuser.get(url("memoryitem"), {"q": "user:ada night train"}).content.decode()
    monkeypatch.setattr("memory.search.MIN_SCORE", 1.0)
    assert "The nearest are listed." in superuser.get(url("memoryitem"), {"q": "user:ada night"}).content.decode()
    assert ids(superuser, url("memoryitem"), q="user:ada min_score:1 night train") == []
    assert "Nothing found" in superuser.get(url("memoryitem"), {"q": "user:ada min_score:1 night"}).content.decode()


def test_hidden_and_repeated_items(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Hidden items are found only if the query asks for them; a repeated text is one result, with its number."""
    make_item(id="h", text_content="The night train was late.", metadata={"hidden": True})
    for number in range(3):
        make_item(id=f"s{number}", text_content="The night train was early.")
    assert len(ids(superuser, url("memoryitem"), q="user:ada night train")) == 1
    assert "x3</span>" in superuser.get(url("memoryitem"), {"q": "user:ada night train"}).content.decode()
    assert "h" in ids(superuser, url("memoryitem"), q="user:ada hidden:yes night train")


@pytest.mark.parametrize("query", ["👩‍👩‍👧‍👦", "?!", "x" * 10_001, "京都", "%", "'--"])
def test_unusual_queries_cause_no_error(superuser: Client, url: Url, stored: None, query: str) -> None:
    """A query that is too long shows a message."""
    response = superuser.get(url("memoryitem"), {"q": f"user:ada {query}"})
    assert response.status_code == 200
    shown = [str(message) for message in get_messages(response.wsgi_request)]
    assert bool(shown) == (len(query) > 10_000)


def test_unavailable_embedder_shows_a_message(superuser: Client, url: Url, stored: None, settings: Any) -> None:
    """Keywords are searched nevertheless."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{__name__}.Unavailable"}
    response = superuser.get(url("memoryitem"), {"q": "user:ada night train"})
    assert [item.pk for item in response.context["cl"].result_list] == ["a0"]
    assert "embedder failed" in response.content.decode()


@pytest.fixture
def small_read_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit the mirror to three documents; make the keyword search fail on SQLite, which has no limit."""
    connection = connections["memory"]
    if connection.vendor == "firestore":
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "mirror_limit", 3)
        return
    search_in_words = ModelAdmin.get_search_results

    def refuse(self: Any, request: Any, queryset: Any, search_term: str) -> Any:
        if search_term:
            raise NotSupportedError("too broad")
        return search_in_words(self, request, queryset, search_term)

    monkeypatch.setattr(ModelAdmin, "get_search_results", refuse)


@pytest.mark.django_db(
    databases=["default", "memory"], transaction=True
)  # uncommitted rows do not count towards the limit
def test_search_above_the_read_limit_shows_a_message(
    superuser: Client, url: Url, stored: None, small_read_limit: None
) -> None:
    """The message suggests a filter; one user's memory can still be searched."""
    response = superuser.get(url("memoryitem"), {"q": "night"}, follow=True)
    assert response.redirect_chain == [(url("memoryitem"), 302)]
    assert "Filter by user" in response.content.decode()
    assert ids(superuser, url("memoryitem"), q="user:ada night")[0] == "a0"


def test_sort_arrow_is_that_of_the_order(superuser: Client, url: Url, stored: None) -> None:
    """Results by score mark no column as sorted; a selected column and a keyword search do."""
    by_score = superuser.get(url("memoryitem"), {"q": "user:ada train"}).content.decode()
    assert "sorted" not in by_score.partition("<tbody>")[0]
    assert "sorted ascending" in superuser.get(url("memoryitem"), {"q": "user:ada train", "o": "1"}).content.decode()
    assert "sorted descending" in superuser.get(url("memoryitem"), {"q": "night train"}).content.decode()

"""The search box of memory items: whose memory, in which order, and what it says where it cannot."""

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


class Away(DeterministicEmbedder):
    """A model that embeds what is stored and is away when it is asked."""

    def embed_query(self, text: str) -> Any:
        """Fails."""
        raise EmbedderError("away gave no vectors (Timeout): try again later.")


@pytest.fixture(autouse=True)
def _small_model(settings: Any) -> None:
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": "memory.testing.embedders.DeterministicEmbedder"}


@pytest.fixture
def said(make_item: Callable[..., MemoryItem]) -> None:
    """Two users' memories, the better answer being the older one."""
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
    """What the list shows, in its order."""
    response = client.get(url, query)
    assert response.status_code == 200, response
    return [item.pk for item in response.context["cl"].result_list]


@pytest.mark.parametrize(
    ("typed", "chosen", "expected"),
    [
        ("user:ada what did she paint?", None, search.Asked("ada", "what did she paint?")),
        ('user:"carl de vries" a train', None, search.Asked("carl de vries", "a train")),
        (" user:ada", None, search.Asked("ada", "")),
        ("user:ada:x night", "ada", search.Asked("ada:x", "night")),
        ("night train", "ada", search.Asked("ada", "night train")),
        ("night train", None, None),
        ("the user:ada", None, None),
        ("user:", None, None),
        ('user:"" x', None, search.Asked('""', "x")),
    ],
)
def test_whose_memory_is_asked(typed: str, chosen: str | None, expected: search.Asked | None) -> None:
    """That of the name before the question, or of the filter; nobody's where neither is."""
    assert search.asked(typed, chosen) == expected


@pytest.mark.parametrize(
    "query", [{"q": "user:ada trains at night"}, {"q": "trains at night", "user_id": "ada"}], ids=["named", "chosen"]
)
def test_one_memory_is_searched_by_meaning(boss: Client, url: Url, said: None, query: dict[str, str]) -> None:
    """Words in another form are found; the best is first, though it is the oldest, and its score is shown."""
    found = ids(boss, url("memoryitem"), **query)
    assert found[:2] == ["a0", "a1"]
    assert not {"b", "c"} & set(found)
    response = boss.get(url("memoryitem"), query)
    page = response.content.decode()
    best = response.context["cl"].result_list[0]
    assert f">{best.score:.2f}</span>" in page
    assert f"lexical {best.score_parts['lexical']:.2f}" in page


def test_all_memories_are_searched_by_words(boss: Client, url: Url, said: None) -> None:
    """Every word must be found, as it is; newest first, without scores."""
    assert ids(boss, url("memoryitem"), q="night train") == ["c", "b", "a0"]
    assert ids(boss, url("memoryitem"), q="trains at night") == []
    assert "column-score" not in boss.get(url("memoryitem"), {"q": "night"}).content.decode()


def test_a_search_is_narrowed_by_the_filters(boss: Client, url: Url, said: None) -> None:
    """Type, session, time; a name beside another user's filter finds nothing."""
    items = url("memoryitem")
    assert ids(boss, items, q="user:ada train", item_type="fact") == ["a1"]
    assert ids(boss, items, q="user:ada train", session_id="none") == []
    assert ids(boss, items, q="user:ada train", timestamp__gte="2026-03-02 00:00:00+00:00")[0] == "a1"
    assert ids(boss, items, q="user:ada train", user_id="bob") == []
    assert ids(boss, items, q="user:nobody train") == []
    assert ids(boss, items, q='user:"carl de vries" trains') == ["c"]


def test_a_name_alone_lists_its_memory(boss: Client, url: Url, said: None) -> None:
    """All of it, newest first."""
    assert ids(boss, url("memoryitem"), q="user:ada") == ["a2", "a1", "a0"]


def test_a_column_can_give_the_order(boss: Client, url: Url, said: None) -> None:
    """What was found stays the same, with its scores."""
    by_score = ids(boss, url("memoryitem"), q="user:ada train")
    by_time = ids(boss, url("memoryitem"), q="user:ada train", o="-1")
    assert by_time == sorted(by_score, reverse=True)
    assert by_time != by_score
    assert "column-score" in boss.get(url("memoryitem"), {"q": "user:ada train", "o": "-1"}).content.decode()


def test_actions_take_what_was_found(boss: Client, url: Url, said: None) -> None:
    """An export of all that a search shows has that and nothing else."""
    query = "?q=user:ada+trains&item_type=fact"
    data = {"action": "export_jsonl", "select_across": "1", "_selected_action": ["a1"]}
    exported = boss.post(url("memoryitem") + query, data)
    lines = b"".join(exported.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 1
    assert "A train of thought." in lines[0]


def test_days_above_are_those_of_what_was_found(boss: Client, url: Url, said: None) -> None:
    """The bar of dates offers no day that has nothing."""
    page = boss.get(url("memoryitem"), {"q": "user:ada train", "item_type": "message"}).content.decode()
    assert "timestamp__day=1" in page
    assert "timestamp__day=2&" not in page.replace("&amp;", "&")


@pytest.mark.parametrize("question", ["👩‍👩‍👧‍👦", "?!", "x" * 10_001, "京都", "%", "'--"])
def test_odd_questions_have_a_page(boss: Client, url: Url, said: None, question: str) -> None:
    """Too long is said, not a fault."""
    response = boss.get(url("memoryitem"), {"q": f"user:ada {question}"})
    assert response.status_code == 200
    told = [str(message) for message in get_messages(response.wsgi_request)]
    assert bool(told) == (len(question) > 10_000)


def test_a_model_that_is_away_is_told(boss: Client, url: Url, said: None, settings: Any) -> None:
    """The words are searched all the same."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{__name__}.Away"}
    response = boss.get(url("memoryitem"), {"q": "user:ada night train"})
    assert [item.pk for item in response.context["cl"].result_list] == ["a0"]
    assert "away gave no vectors" in response.content.decode()


@pytest.fixture
def reads_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Firestore's mirror holds three rows; SQLite, which reads all, is made to refuse what was typed."""
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


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)  # what is not committed costs no read
def test_too_much_to_search_in_is_told(boss: Client, url: Url, said: None, reads_little: None) -> None:
    """Not a fault, but a sentence that says what to do instead; one memory can be searched all the same."""
    response = boss.get(url("memoryitem"), {"q": "night"}, follow=True)
    assert response.redirect_chain == [(url("memoryitem"), 302)]
    assert "narrow it by a user" in response.content.decode()
    assert ids(boss, url("memoryitem"), q="user:ada night")[0] == "a0"

"""The search page: reasons, matches, neighbours, and feedback that `memory_evaluate` reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from memory.admin.search_page import marked, matcher
from memory.models import MemoryItem, SearchLabel
from memory.search.feedback import labelled_data
from memory.search.labelled import read_conversations
from memory.search.segment_cache import cache

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

SEARCH = "/admin/memory/memoryitem/search/"
FEEDBACK = f"{SEARCH}feedback/"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEXTS = (
    "We planned the holidays.",
    "The night train to Vienna was on time.",
    "It was <b>snowing</b>.",
    "I paint the trains of Vienna.",
)
QUESTION = "When did the night train arrive?"
VIEWER = ("view_memoryitem", "view_usersession")


@pytest.fixture
def stored(make_item: Callable[..., MemoryItem]) -> None:
    """A session of one person, and an item of another."""
    for number, text in enumerate(TEXTS):
        make_item(
            id=f"a{number}", session_id="trip", text_content=text, timestamp=NOON + timedelta(minutes=number),
            metadata={"role": ["user", "assistant"][number % 2]},
        )  # fmt: skip
    make_item(id="b", user_id="bob", session_id="trip", text_content="The night train zeppelin.", timestamp=NOON)


def found(client: Client, **query: str) -> list[Any]:
    """The results on the page."""
    response = client.get(SEARCH, query)
    assert response.status_code == 200
    return list(response.context["results"])


def test_results_have_reasons_and_neighbours(superuser: Client, stored: None) -> None:
    """The best first, with the parts of its score, marked matches, and the turns before and after it in its session."""
    results = found(superuser, user="ada", q=QUESTION)
    best = results[0]
    assert best.item.pk == "a1"
    assert [one.score for one in results] == sorted((one.score for one in results), reverse=True)
    assert {level.value.label: level.value.text for level in best.parts} == {
        name: f"{value:+.2f}" for name, value in best.item.score_parts.items()
    }
    assert max(level.percent for level in best.parts) == 100
    assert [text for text, matches in best.pieces if matches] == ["night", "train"]
    assert "".join(text for text, _ in best.pieces) == TEXTS[1]
    assert [(turn.place, turn.text) for turn in best.neighbours] == [("before", TEXTS[0]), ("after", TEXTS[2])]
    page = superuser.get(SEARCH, {"user": "ada", "q": QUESTION}).content.decode()
    assert "<mark>night</mark> <mark>train</mark>" in page
    assert "&lt;b&gt;snowing&lt;/b&gt;" in page
    assert "zeppelin" not in page


def test_what_is_not_valid_says_so(superuser: Client, make_item: Callable[..., MemoryItem]) -> None:
    """After what is."""
    make_item(id="old", text_content="Ada lives in Ghent.")
    make_item(id="new", text_content="Ada lives in Lyon.", supersedes=["old"])
    assert [one.item.pk for one in found(superuser, user="ada", q="Where does Ada live?")] == ["new", "old"]
    page = superuser.get(SEARCH, {"user": "ada", "q": "Where does Ada live?"}).content.decode()
    assert page.count("not valid now") == 1


def test_the_number_of_queries_is_bounded(superuser: Client, make_item: Callable[..., MemoryItem]) -> None:
    """Of twenty results: the search, two neighbours of each, the labels."""
    MemoryItem.objects.bulk_create(
        MemoryItem(user_id="ada", session_id=f"s{number % 9}", item_type="message",
                   text_content=f"night train {number}",
                   timestamp=NOON + timedelta(minutes=number))
        for number in range(60)
    )  # fmt: skip
    with CaptureQueriesContext(connections["memory"]) as captured:
        assert len(found(superuser, user="ada", q=QUESTION)) == 20
    assert len(captured) <= 60


def test_nothing_found(superuser: Client, stored: None) -> None:
    """The page says so if no result has the least score of an answer; weaker ones can be left out."""
    page = superuser.get(SEARCH, {"user": "nobody", "q": QUESTION}).content.decode()
    assert "Nothing found" in page
    assert (
        "Nothing found" not in superuser.get(SEARCH, {"user": "ada", "q": "night train Vienna time"}).content.decode()
    )
    assert len(found(superuser, user="ada", q=QUESTION, min_score="1")) == 0


def test_the_asker_is_a_field(superuser: Client, make_item: Callable[..., MemoryItem]) -> None:
    """By default the person asks."""
    for speaker in ("Bo", "Cy"):
        make_item(id=speaker, text_content=f"My train was late, said {speaker}", metadata={"speaker": speaker})
    query = {"user": "ada", "q": "When was my train late?"}
    scores = [{one.item.pk: one.score for one in found(superuser, **query, asker=asker)} for asker in ("Bo", "Cy", "")]
    assert scores[0]["Bo"] > scores[1]["Bo"]
    assert scores[0]["Cy"] < scores[1]["Cy"]
    page = superuser.get(SEARCH, {**query, "asker": "Bo"}).content.decode()
    assert page.count('<input type="hidden" name="asker" value="Bo">') == 3


def test_items_that_wait_for_the_index_are_counted(
    superuser: Client, url: Any, stored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page and the list say so if items were not searched in full."""
    words = "for the search index and"
    pages = ((SEARCH, {"user": "ada", "q": QUESTION}), (url("memoryitem"), {"q": f"user:ada {QUESTION}"}))
    assert not any(words in superuser.get(path, query).content.decode() for path, query in pages)
    for name in ("MOST_READ", "MOST_CHOSEN"):
        monkeypatch.setattr(f"memory.search.unindexed.{name}", 0)
    cache.clear()
    assert all(words in superuser.get(path, query).content.decode() for path, query in pages)


@pytest.mark.parametrize("query", [{"q": "x"}, {"user": "ada"}, {"user": "ada", "q": "x", "min_score": "2"},
                                   {"user": "ada", "q": "x" * 10_001}])  # fmt: skip
def test_incomplete_questions_are_explained(superuser: Client, query: dict[str, str]) -> None:
    """A person and a question are needed."""
    response = superuser.get(SEARCH, query)
    assert response.status_code == 200
    assert "Give a person and a question" in response.content.decode()
    assert "results" not in response.context


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        ("which trains", "A train, trained: TRAIN!", ["train", "trained", "TRAIN"]),
        ("was war mit dem Zug", "Der Zug kam. Züge fahren", ["Zug", "Züge"]),
        ("京都", "昨日は京都に行きました", ["京都"]),
        ("the king of a night", "the house of a king", ["king"]),
        ("x", "", []),
        ("İstanbul", "in İSTANBUL again", ["İSTANBUL"]),
    ],
)
def test_marks(question: str, text: str, expected: list[str]) -> None:
    """Inflected words are marked whole, stop words not, of text without spaces only what matches."""
    language = {"was": "german"}.get(question[:3])
    pieces = marked(text, matcher(question, language))
    assert "".join(piece for piece, _ in pieces) == text
    if question != "İstanbul":
        assert [piece for piece, matches in pieces if matches] == expected


def give(client: Client, label: str, item: str = "", question: str = QUESTION) -> Any:
    """Press a button."""
    return client.post(FEEDBACK, {"user": "ada", "q": question, "label": label, "item": item, "place": "1"})


def test_feedback_is_stored_and_shown(superuser: Client, stored: None) -> None:
    """The last answer counts; "nothing" and "yes" replace each other; the page shows what was given."""
    response = give(superuser, "yes", "a1")
    assert response.status_code == 302
    assert response["Location"].endswith("#item-1")
    give(superuser, "no", "a3")
    give(superuser, "no", "a1")
    give(superuser, "yes", "a1")
    rows = {row.item_id: (row.answers, row.labelled_by) for row in SearchLabel.objects.all()}
    assert rows == {"a1": (True, "superuser"), "a3": (False, "superuser")}
    labels = {one.item.pk: one.label for one in found(superuser, user="ada", q=QUESTION)}
    assert (labels["a1"], labels["a3"], labels["a2"]) == ("yes", "no", "")
    give(superuser, "nothing")
    assert {row.item_id for row in SearchLabel.objects.all()} == {"", "a3"}
    give(superuser, "yes", "a2")
    assert {row.item_id for row in SearchLabel.objects.all()} == {"a2", "a3"}
    page = superuser.get("/admin/memory/searchlabel/").content.decode()
    assert "does not answer" in page
    assert QUESTION in page


@pytest.mark.parametrize("data", [{"label": "maybe", "item": "a1"}, {"label": "yes", "item": "b"}, {"label": "yes"},
                                  {"label": "yes", "item": "a1", "q": ""}])  # fmt: skip
def test_invalid_feedback_is_refused(superuser: Client, stored: None, data: dict[str, str]) -> None:
    """Of items of others, of no label, of no question."""
    response = superuser.post(FEEDBACK, {"user": "ada", "q": QUESTION, **data})
    assert response.status_code == 400
    assert not SearchLabel.objects.exists()


def test_permissions(staff: Callable[..., Client], stored: None) -> None:
    """Searching needs both view permissions, feedback also that to add it."""
    assert staff("view_memoryitem").get(SEARCH).status_code == 403
    viewer = staff(*VIEWER)
    assert "Does it answer" not in viewer.get(SEARCH, {"user": "ada", "q": QUESTION}).content.decode()
    assert give(viewer, "yes", "a1").status_code == 403
    assert give(staff("add_searchlabel"), "yes", "a1").status_code == 403
    assert give(staff(*VIEWER, "add_searchlabel"), "yes", "a1").status_code == 302


def test_feedback_is_evaluated(superuser: Client, stored: None) -> None:
    """`memory_evaluate --feedback` measures the questions; unanswerable ones are refused or not."""
    with pytest.raises(CommandError, match="Nobody has answered"):
        call_command("memory_evaluate", "--feedback", "--embedder", "none", stdout=StringIO(), stderr=StringIO())
    give(superuser, "yes", "a1")
    give(superuser, "no", "a3")
    give(superuser, "nothing", question="Who painted the ceiling?")
    give(superuser, "no", "a3", question="Where is the piano?")  # does not say what answers it
    data = labelled_data("memory")
    [conversation] = read_conversations(json.dumps(data))
    assert [passage.text for passage in conversation.passages] == list(TEXTS)
    assert {(label.question, label.evidence) for label in conversation.labels} == {
        (QUESTION, frozenset({"a1"})),
        ("Who painted the ceiling?", frozenset()),
    }
    out = StringIO()
    call_command("memory_evaluate", "--feedback", "--json", "--embedder", "none", stdout=out, stderr=StringIO())
    report = json.loads(out.getvalue())
    assert report["size"]["questions"] == 2
    assert report["all"]["recall@5"] == 1.0
    for arguments in ([], ["file.json", "--feedback"]):
        with pytest.raises(CommandError, match="FILE or --feedback"):
            call_command("memory_evaluate", *arguments)


def test_feedback_is_downloaded(superuser: Client, staff: Callable[..., Client], stored: None) -> None:
    """As a file for `memory_evaluate`, with the texts of the items: only for those who may read them."""
    give(superuser, "yes", "a1")
    chosen = {"action": "download_labelled", "_selected_action": [row.pk for row in SearchLabel.objects.all()]}
    response = superuser.post("/admin/memory/searchlabel/", chosen)
    assert read_conversations(response.content.decode())[0].labels[0].evidence == {"a1"}
    refused = staff("view_searchlabel").post("/admin/memory/searchlabel/", chosen)
    assert TEXTS[1] not in refused.content.decode()

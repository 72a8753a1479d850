"""Candidates within their budget, their order, and the evaluation of both."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.search.candidates import budget, gather
from memory.search.in_memory import InMemorySource
from memory.search.passages import Passage, Pool, ask, naming
from memory.search.ranking import ASKING, OF_SEVERAL, PARTS, Weights, rank
from memory.search.terms import terms
from memory.testing.embedders import DeterministicEmbedder

START = datetime(2024, 5, 1, tzinfo=UTC)
EMBEDDER = DeterministicEmbedder()
TALK = [
    ("Ada", "Shall we go to the lake on Sunday with the children?"),
    ("Bo", "What did you do with your brushes?"),
    ("Ada", "A sunset over the harbour, and it took the whole week."),
    ("Bo", "The harbour? I heard that the ferry was late again."),
]


def passages(talk: list[tuple[str, str]], session: str = "s") -> list[Passage]:
    return [
        Passage(f"{session}-{n}", session, who, START + timedelta(minutes=n), text, tuple(terms(text)))
        for n, (who, text) in enumerate(talk)
    ]


def order(text: str, weights: Weights, talk: list[tuple[str, str]] = TALK) -> list[str]:
    question = ask(text, "english", EMBEDDER)
    gathered = gather(InMemorySource(passages(talk), EMBEDDER), question, 10, weights)
    return [one.passage.id for one in rank(gathered.question, gathered.pool, weights)]


@pytest.mark.parametrize(
    ("part", "text", "first"),
    [
        ("lexical", "Was the ferry late?", "s-3"),
        ("related", "Was the ferry late?", "s-3"),
        ("vector", "the late ferry", "s-3"),
        ("speaker", "What does Bo say of the harbour?", "s-3"),
        ("answers", "When was the ferry at the harbour?", "s-2"),
        ("substance", "the ferry at the harbour", "s-2"),
    ],
)
def test_each_part_can_decide_alone(part: str, text: str, first: str) -> None:
    """With all other parts off, it ranks its passage first."""
    assert order(text, Weights().only(part))[0] == first


def test_neighbours_find_an_answer_that_shares_no_word() -> None:
    """The turn after a question with the words is found."""
    talk = [("Bo", "Which instrument does your sister play?"), ("Ada", "The oboe."), ("Bo", "Fine weather.")]
    question = ask("sister's instrument", "english")
    pool = gather(InMemorySource(passages(talk)), question, 10).pool
    ranked = {one.passage.id: one.score for one in rank(question, pool, Weights().only("neighbours"))}
    assert ranked["s-1"] > ranked["s-2"] > 0


def test_answers_to_the_asker_rank_first() -> None:
    """Of similar passages, the one whose preceding turn is a question; none if no preceding turn is known."""
    talk = [("Ada", "It was late."), ("Bo", "Was the ferry late?"), ("Ada", "It was late."), ("Bo", "It was late.")]
    question = ask("late", "english")
    pool = gather(InMemorySource(passages(talk)), question, 10).pool
    parts = {one.passage.id: one.parts["reply"] for one in rank(question, pool, Weights(reply=0.5))}
    assert parts == {"s-0": 0.0, "s-1": 0.0, "s-2": 0.5, "s-3": 0.0}
    assert not any(one.parts["reply"] for one in rank(question, replace(pool, following={})))


def test_a_mistaken_speaker_does_not_hide_the_turn() -> None:
    """A question may name the wrong one of two speakers: the words of a text weigh more than its speaker."""
    sold = passages([("Ada", "I sold the boat to my neighbour on Sunday.")], session="a")
    other = passages([("Bo", "I bought a coat for my brother on Friday.")], session="b")
    question = naming(ask("How did Bo sell the boat?", "english", EMBEDDER), {"Ada", "Bo"})
    pool = gather(InMemorySource([*sold, *other], EMBEDDER), question, 10).pool
    first, second = rank(question, pool)
    assert (first.passage.speaker, second.passage.speaker) == ("Ada", "Bo")
    assert first.parts["speaker"] < second.parts["speaker"]


def test_a_vector_includes_previous_turns() -> None:
    """A turn that shares nothing with the question is similar to it if the turn before is."""
    talk = [("Bo", "Which instrument does your sister play"), ("Ada", "The oboe."), ("Bo", "Fine weather today.")]
    other = passages([("Ada", "The oboe.")], session="t")
    question = ask("which instrument does your sister play", "english", EMBEDDER)
    pool = gather(InMemorySource([*passages(talk), *other], EMBEDDER), question, 10).pool
    near = {key: passage.similarity for key, passage in pool.passages.items()}
    assert near["s-1"] is not None
    assert near["t-0"] is not None
    assert near["s-0"] > near["s-1"] > near["t-0"]


def test_what_is_found_comes_from_several_sessions() -> None:
    """Of equal passages, one of each session precedes a second one; the parts still add up to the score."""
    here = passages([("Ada", "The ferry was late."), ("Bo", "The ferry was late.")], session="s")
    there = passages([("Ada", "The ferry was late.")], session="t")
    question = ask("ferry", "english")
    pool = gather(InMemorySource([*here, *there]), question, 10).pool
    ranked = rank(question, pool, Weights().only("lexical", "variety"))
    assert [one.passage.session for one in ranked] == ["s", "t", "s"]
    assert [one.parts["variety"] < 0 for one in ranked] == [False, False, True]
    assert [one.score for one in ranked] == [pytest.approx(sum(one.parts.values())) for one in ranked]


def test_a_named_month_prefers_its_turns() -> None:
    """Two passages with the same words, one in each month."""
    may, june = (
        replace(passages([("Ada", "The ferry was late.")], session=name)[0], time=START.replace(month=month))
        for name, month in (("may", 5), ("june", 6))
    )
    question = ask("Was the ferry late in May 2024?", "english")
    first, second = rank(question, gather(InMemorySource([may, june]), question, 10).pool)
    assert (first.passage.id, second.passage.id) == ("may-0", "june-0")
    assert first.parts["dates"] > second.parts["dates"] == 0.0


@pytest.mark.parametrize(
    ("text", "asks"),
    [("Was it late?", True), ('"Was it late?" ', True), ("Late? Yes.", False), ("?", True), ("", False), ("!!", False)],
)
def test_what_ends_with_a_question_says_less(text: str, asks: bool) -> None:
    """Any number of signs may follow; an empty text is no question."""
    one = Passage("p", "s", "Ada", START, text, tuple(terms(text)))
    question = ask("ferry", "english")
    parts = rank(question, Pool({"p": one}, {}, {}, 1), Weights(substance=1.0))[0].parts
    distinct = len(set(one.terms) - question.stops)
    assert parts["substance"] == pytest.approx(math.log1p(distinct) - (ASKING if asks else 0.0))


def test_words_about_the_other_speaker_count_less() -> None:
    """Praise of the other person has the words of the question, but is no answer."""
    talk = [("Ada", "The boat race went well."), ("Bo", "You went well, your boat race!")]
    question = ask("How did the boat race go?", "english")
    pool = gather(InMemorySource(passages(talk)), question, 10).pool
    answer, praise = rank(question, pool, Weights().only("substance"))
    assert (answer.passage.speaker, praise.passage.speaker) == ("Ada", "Bo")


def test_several_things_are_found_far_apart() -> None:
    """Words and neighbours weigh less in a question for several things: other mentions have other words."""
    talk = passages([("Bo", "The boats are late."), ("Ada", "Not mine.")])
    scores = {}
    for text in ("Which boats has Bo bought?", "Which boat was bought by Bo?"):
        question = ask(text, "english")
        pool = gather(InMemorySource(talk), question, 10).pool
        scores[text] = [
            sum(one.parts.values()) for one in rank(question, pool, Weights().only("lexical", "neighbours"))
        ]
    several, one = scores.values()
    assert several == pytest.approx([OF_SEVERAL * score for score in one])


def test_an_unknown_part_is_refused() -> None:
    """A typing error would switch all parts off."""
    with pytest.raises(ValueError, match="times"):
        Weights().only("times")
    with pytest.raises(ValueError, match="times"):
        Weights().without("times")


def test_long_texts_take_no_longer_than_their_length() -> None:
    """Long runs of signs do not slow a search down."""
    one = Passage("p", "s", "Ada", START, "?!" * 25_000 + "a", ("a",))
    began = time.process_time()
    rank(ask("When did who say how many?", "english"), Pool({"p": one}, {}, {}, 1))
    assert time.process_time() - began < 1.0


def test_recency_prefers_the_newer_only_when_asked() -> None:
    """Two passages with the same words."""
    talk = [("Ada", "The ferry was late."), ("Ada", "The ferry was late.")]
    question = ask("ferry", "english", EMBEDDER)
    pool = gather(InMemorySource(passages(talk), EMBEDDER), question, 10).pool
    newer, older = rank(question, pool, Weights(recency=1.0))
    assert (newer.passage.id, older.passage.id) == ("s-1", "s-0")
    assert newer.parts["recency"] > older.parts["recency"]


def test_parts_add_up() -> None:
    """A score is the sum of its parts; a disabled part is omitted."""
    question = naming(ask("What did Ada paint at the harbour?", "english", EMBEDDER), {"Ada", "Bo"})
    pool = gather(InMemorySource(passages(TALK), EMBEDDER), question, 10).pool
    for one in rank(question, pool, Weights(session=0.0)):
        assert one.score == pytest.approx(sum(one.parts.values()))
        assert set(one.parts) == set(PARTS) - {"session", "recency"}


RANKED = """
from tests.search.test_search import TALK, passages
from memory.search.passages import Pool, ask
from memory.search.ranking import OF_SEVERAL, rank
some = {one.id: one for one in passages(TALK)}
often = {term: 37 * number for number, term in enumerate(sorted({term for one in some.values() for term in one.terms}))}
words = " ".join(one.text for one in some.values())
print([one.score.hex() for one in rank(ask(words, "english"), Pool(some, {}, often, 5_000))])
"""


def test_scores_are_the_same_in_every_process() -> None:
    """To the last bit, so that equal scores stay equal, whatever the order of sets in a process."""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", RANKED],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "DJANGO_SETTINGS_MODULE": "settings"},
            cwd=Path(__file__).parent.parent.parent,
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(outputs) == 1


VOCABULARY = ["sunset", "harbour", "ferry", "oboe", "lake", "brush", "garden", "letter", "train", "bread"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=6), max_size=400),
    st.lists(st.sampled_from([*VOCABULARY, "unknown", "🎉", "\x00"]), max_size=12),
    st.integers(1, 20),
)
def test_the_budget_holds(texts: list[list[str]], asked: list[str], limit: int) -> None:
    """For any texts and questions: 15 reads per result, 2 rounds, and the same order each time."""
    said = passages([("Ada", " ".join(text)) for text in texts])
    question = ask(" ".join(asked), "english", EMBEDDER)
    gathered = gather(InMemorySource(said, EMBEDDER), question, limit)
    assert gathered.reads <= budget(limit) == 15 * max(limit, 10)
    assert gathered.rounds <= 2
    assert set(gathered.pool.passages) <= {passage.id for passage in said}
    once, again = (rank(question, gathered.pool) for _ in range(2))
    assert once == again
    assert len(once) == len(gathered.pool.passages)


@pytest.mark.parametrize("text", ["", " ", "\x00", "🎉", "?" * 10_000, "word " * 50_000])
def test_strange_questions_are_answered(text: str) -> None:
    """With results or none; never with an error."""
    assert set(order(text, Weights())) <= {"s-0", "s-1", "s-2", "s-3"}


def labelled(**changes: Any) -> dict[str, Any]:
    turns = [
        {"id": one.id, "session": one.session, "speaker": one.speaker, "time": one.time.isoformat(), "text": one.text}
        for one in passages(TALK)
    ]
    questions = [
        {"question": "Was the ferry late?", "evidence": ["s-3"], "category": "plain/single"},
        {"question": "Where is the harbour?", "evidence": ["s-2"], "category": "oblique/single"},
    ]
    return {"conversations": [{"id": "c", "turns": turns, "questions": questions, **changes}]}


def test_the_command_measures_each_part(tmp_path: Path) -> None:
    """As JSON and as text, for all questions and for each kind; without an embedder, too."""
    file = tmp_path / "set.json"
    file.write_text(json.dumps(labelled()))
    machine, people = io.StringIO(), io.StringIO()
    call_command("memory_evaluate", str(file), "--json", "--embedder", "none", stdout=machine)
    table = json.loads(machine.getvalue())
    assert {"all", "only lexical", "only vector", "without neighbours"} <= table.keys()
    assert table["all"]["recall@5"] == table["all"]["any@10"] == table["all"]["reach"] == 1.0
    assert table["all"]["reads"] <= 150
    assert table["kinds"].keys() == {"plain", "oblique"}
    assert table["kinds"]["plain"].keys() == table.keys() - {"kinds", "categories", "size"}
    assert table["size"] == {"conversations": 1, "turns": 4, "questions": 2, "left_out": 0}
    assert table["categories"].keys() == {"plain/single", "oblique/single"}
    assert table["categories"]["plain/single"]["questions"] == 1
    assert table["kinds"]["plain"]["only lexical"]["recall@5"] == 1.0
    path = "memory.testing.embedders.DeterministicEmbedder"
    call_command("memory_evaluate", str(file), "--embedder", path, stdout=people)
    headings = [line.split()[0] for line in people.getvalue().splitlines() if "recall@10" in line]
    assert headings == ["questions", "oblique", "plain", "by"]


def test_the_command_reports_errors(tmp_path: Path) -> None:
    """A missing file, no questions, an invalid embedder."""
    file = tmp_path / "set.json"
    with pytest.raises(CommandError, match=r"set\.json"):
        call_command("memory_evaluate", str(file))
    file.write_text(json.dumps(labelled(questions=[])))
    with pytest.raises(CommandError, match="no questions with evidence"):
        call_command("memory_evaluate", str(file), "--embedder", "none")
    with pytest.raises(CommandError, match="embedder"):
        call_command("memory_evaluate", str(file), "--embedder", "builtins.dict")

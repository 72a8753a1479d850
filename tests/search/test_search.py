"""The order that a corpus is ranked in, and the evaluation of it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.search.evaluation import LEAST_SCORES, corpus_of
from memory.search.passages import Passage
from memory.search.relevance import asked, rank
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
PROGRAM = """
from tests.search.test_search import order
print(order("Was the ferry late at the harbour?"))
"""
VOCABULARY = ["sunset", "harbour", "ferry", "oboe", "lake", "brush", "garden", "letter", "train", "bread"]


def passages(talk: list[tuple[str, str]], session: str = "s") -> list[Passage]:
    return [
        Passage(f"{session}-{n}", session, who, START + timedelta(minutes=n), text, tuple(terms(text)))
        for n, (who, text) in enumerate(talk)
    ]


def order(text: str, talk: list[tuple[str, str]] = TALK, limit: int = 10) -> list[tuple[str, float]]:
    corpus = corpus_of(passages(talk), EMBEDDER)
    return [(corpus.ids[one.place], one.score) for one in rank(asked(text, EMBEDDER), corpus, None, limit)]


def test_scores_are_the_same_in_every_process() -> None:
    """They do not depend on the hash seed, by which sets are ordered."""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "DJANGO_SETTINGS_MODULE": "settings", "APP_ENV": "test"},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(2)
    }
    assert len(outputs) == 1


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=6), max_size=100),
    st.lists(st.sampled_from([*VOCABULARY, "unknown", "🎉", "\x00"]), max_size=12),
    st.integers(1, 20),
)
def test_any_memory_has_an_order(texts: list[list[str]], question: list[str], limit: int) -> None:
    """Best first, each text once, with scores from 0 to 1, and the same each time."""
    talk = [("Ada", " ".join(text)) for text in texts]
    found = order(" ".join(question), talk, limit)
    assert len(found) <= limit
    assert len({dict(zip([f"s-{n}" for n in range(len(talk))], talk, strict=True))[pk] for pk, _ in found}) == len(
        found
    )
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert all(0 <= score <= 1 for _, score in found)
    assert found == order(" ".join(question), talk, limit)


@pytest.mark.parametrize("text", ["", " ", "\x00", "🎉", "?" * 10_000, "word " * 2_000])
def test_strange_questions_are_answered(text: str) -> None:
    """With results or none; never with an error."""
    assert {pk for pk, _ in order(text)} <= {"s-0", "s-1", "s-2", "s-3"}


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


def test_the_command_measures_recall(tmp_path: Path) -> None:
    """As JSON and as text, for all questions, each kind and each category; without an embedder, too."""
    file = tmp_path / "set.json"
    file.write_text(json.dumps(labelled()))
    machine, people = io.StringIO(), io.StringIO()
    call_command("memory_evaluate", str(file), "--json", "--embedder", "none", stdout=machine)
    table = json.loads(machine.getvalue())
    assert table["all"]["recall@5"] == table["all"]["any@10"] == 1.0
    assert table["kinds"].keys() == {"plain", "oblique"}
    assert table["size"] == {"conversations": 1, "turns": 4, "questions": 2, "left_out": 0}
    assert table["categories"].keys() == {"plain/single", "oblique/single"}
    assert table["categories"]["plain/single"]["questions"] == 1
    assert table["least_scores"].keys() == {str(one) for one in LEAST_SCORES}
    lost = [figures["lost"] for figures in table["least_scores"].values()]
    assert lost == sorted(lost)
    path = "memory.testing.embedders.DeterministicEmbedder"
    call_command("memory_evaluate", str(file), "--embedder", path, stdout=people)
    headings = [line.split()[0] for line in people.getvalue().splitlines() if "recall@10" in line]
    assert headings == ["questions", "oblique", "plain", "by"]


@pytest.mark.django_db(databases=["default", "memory"])
def test_the_command_says_that_there_is_no_feedback() -> None:
    """And where it is given."""
    with pytest.raises(CommandError, match="search page"):
        call_command("memory_evaluate", "--feedback")


def test_the_command_reports_errors(tmp_path: Path) -> None:
    """A missing file, no questions, an invalid embedder."""
    file = tmp_path / "set.json"
    with pytest.raises(CommandError, match=r"set\.json: No such file or directory\."):
        call_command("memory_evaluate", str(file))
    file.write_text(json.dumps(labelled(questions=[])))
    with pytest.raises(CommandError, match="no questions with evidence"):
        call_command("memory_evaluate", str(file), "--embedder", "none")
    with pytest.raises(CommandError, match="embedder"):
        call_command("memory_evaluate", str(file), "--embedder", "builtins.dict")

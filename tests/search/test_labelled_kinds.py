"""The labelled memories of `tests/search/data/kinds/`: whole, readable, and two halves of each kind."""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from memory.search.labelled import read_conversations

FOLDER = Path(__file__).parent / "data" / "kinds"
FILES = sorted(FOLDER.glob("*.json"))
KINDS = ("arabic", "assistant", "chinese", "facts", "german", "japanese", "mixed", "spanish", "support", "tools")
MOST_EVIDENCE = 5


def conversations(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["conversations"]


def test_each_kind_has_two_halves() -> None:
    assert [path.stem for path in FILES] == [f"{kind}_{half}" for kind in KINDS for half in ("heldout", "tuning")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_halves_of_a_kind_share_nothing(kind: str) -> None:
    def texts(half: str) -> set[str]:
        return {turn["text"] for one in conversations(FOLDER / f"{kind}_{half}.json") for turn in one["turns"]}

    # Very short replies may be the same by chance.
    assert not [text for text in texts("tuning") & texts("heldout") if len(text) > 20]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_whole(path: Path) -> None:
    kind, questions = path.stem.split("_")[0], []
    for one in conversations(path):
        ids = [turn["id"] for turn in one["turns"]]
        times = [datetime.fromisoformat(turn["time"]) for turn in one["turns"]]
        assert len(set(ids)) == len(ids)
        assert times == sorted(times)
        assert all(turn["text"].strip() and turn["speaker"] and turn["role"] for turn in one["turns"])
        for question in one["questions"]:
            assert set(question["evidence"]) <= set(ids), question
            assert len(question["evidence"]) <= MOST_EVIDENCE
            assert question["category"].startswith(f"{kind}/"), question
            assert (question["category"] == f"{kind}/unanswerable") == (not question["evidence"]), question
        questions += one["questions"]
    assert len(questions) >= 100
    unanswerable = Counter(question["category"] for question in questions)[f"{kind}/unanswerable"]
    assert 0.08 <= unanswerable / len(questions) <= 0.16


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_memory_evaluate_reads_a_file(path: Path) -> None:
    read = read_conversations(path.read_text(encoding="utf-8"))
    labels = [label for one in read for label in one.labels]
    assert len(labels) == sum(len(one["questions"]) for one in conversations(path))
    assert {label.category.rpartition("/")[2] for label in labels if not label.evidence} == {"unanswerable"}

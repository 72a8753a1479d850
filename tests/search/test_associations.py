"""Associations: words that an answer may have instead of the question's."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from memory.search import associations as module
from memory.search.associations import associations, read
from memory.search.passages import Passage, Pool, ask
from memory.search.ranking import Weights, rank
from memory.search.terms import LANGUAGES, terms

TABLES = sorted(Path(module.__file__).parent.glob("*.txt"))


def first(question: str, *texts: str) -> str:
    """The first result by related words alone, without an embedder."""
    passages = {
        text: Passage(text, "s", "Ada", datetime(2024, 5, 1, tzinfo=UTC), text, tuple(terms(text))) for text in texts
    }
    ranked = rank(ask(question, "english"), Pool(passages, {}, {}, len(texts)), Weights().only("related"))
    return ranked[0].passage.text


def test_a_table_maps_terms_to_terms() -> None:
    """Both sides are stemmed; a repeated key extends its list; the words of one line share their list."""
    table = read(["hobby, pastimes: Pottery knitting", "hobbies: choirs"], "english")
    assert table == {
        "hobbi": frozenset({"potteri", "knit", "choir"}),
        "pastim": frozenset({"potteri", "knit"}),
    }


def test_a_line_without_a_colon_is_reported() -> None:
    """A line without a colon raises an error instead of becoming a word."""
    with pytest.raises(ValueError, match="No colon in the table of associations: 'hobby pottery'"):
        read(["hobby pottery"], "english")


def test_languages_without_a_table_associate_nothing() -> None:
    """Their words are compared by vectors and as written."""
    assert associations("finnish") == {}


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_the_tables_are_in_order(table: Path) -> None:
    """Of a language that stems; lines in their order, each with words that it does not repeat."""
    assert table.stem in LANGUAGES
    lines = table.read_text("utf-8").splitlines()
    assert lines == sorted(lines)
    for line in lines:
        words, answers = line.split(": ")
        assert words.split(", ") == sorted(set(words.split(", "))), line
        assert answers.split(" ") == sorted(set(answers.split(" "))), line
        assert not set(words.split(", ")) & set(answers.split(" ")), line


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which instrument does she play?", "The cello, since I was nine."),
        ("How did he get injured?", "I sprained my ankle on the stairs."),
        ("What pets do they have?", "Two kittens and a parrot, would you believe it."),
    ],
)
def test_an_answer_is_recognised_by_its_words(question: str, answer: str) -> None:
    """The answer is found without an embedder and without a common word."""
    assert first(question, "The ferry was late again.", answer, "It rained over the weekend.") == answer


def test_associations_go_one_way() -> None:
    """A question about a cello does not match every instrument; the word itself ranks before its associations."""
    assert first("Who plays the cello?", "Which instrument?", "My cello is old.") == "My cello is old."
    assert "instrument" not in associations("english").get("cello", ())

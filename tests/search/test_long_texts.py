"""What a search reads and compares is bounded, however long the texts are."""

from __future__ import annotations

import numpy as np
import pytest

from memory.search.entries import BEGINNING, MOST_TERMS, read_text
from memory.search.features import related
from memory.search.features.related import _some_terms


def words(count: int, start: int = 0) -> str:
    """Words that no other text has."""
    return " ".join(f"w{number}x" for number in range(start, start + count))


def test_an_entry_has_the_first_terms_of_a_text() -> None:
    """Repetitions of a term that is kept count; later terms are left out."""
    read = read_text(f"{words(3_000)} w1x w2999x", "english")
    terms = {term for piece in read.pieces for term in piece}
    assert len(terms) == MOST_TERMS
    assert sum(piece["w1x"] for piece in read.pieces) == 2
    assert "w2999x" not in terms


def test_a_text_that_is_read_in_part_is_known_by_its_whole() -> None:
    """The hash is that of the whole text, and nothing is embedded but the beginning."""
    text = words(500)
    part, whole = read_text(text, "english", begins=True), read_text(text, "english")
    assert part.digest == whole.digest
    assert part.texts == (text[:BEGINNING],)
    assert sum(map(len, part.pieces)) < sum(map(len, whole.pieces)) / 4


def test_candidates_keep_their_first_terms_and_those_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two candidates of five terms, of which two each, and the sought term 8, are compared."""
    terms, starts = np.arange(10), np.array([0, 5, 10])
    assert _some_terms(terms, starts, [8])[0] is terms
    monkeypatch.setattr(related, "MOST_WORDS", 4)
    kept, places = _some_terms(terms, starts, [8])
    assert kept.tolist() == [0, 1, 5, 6, 8]
    assert places.tolist() == [0, 2, 5]

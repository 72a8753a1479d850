"""Corpora of entries: what is joined and taken is what was made at once."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from memory.search.corpus import Corpus, quantised
from memory.search.entries import MOST_PIECES, entry_of, pieces_of, read_text
from memory.search.relevance import asked, rank
from memory.testing.embedders import DeterministicEmbedder

EMBEDDER = DeterministicEmbedder()
LONG = "\n\n".join(f"## Step {number}\n\n" + f"Mix the flour number {number} with water. " * 12 for number in range(9))
SAID = [
    ("s1", "Ada", "user", "I painted a sunset over the lake."),
    ("s2", "Ada", "user", LONG),
    ("s1", "Bo", "assistant", "Which colours did you use?"),
    ("s2", "Bo", "assistant", ""),
    ("s1", "Ada", "user", "Orange, and a little violet."),
    ("s1", "Ada", "user", "Orange, and a little violet."),
]


def corpus(places: list[int] | None = None) -> Corpus:
    entries = []
    for place in range(len(SAID)) if places is None else places:
        session, speaker, role, text = SAID[place]
        read = read_text(text)
        vectors = EMBEDDER.embed_documents(list(read.texts)) if read.texts else np.zeros((0, 0), np.float32)
        entries.append(entry_of(read, vectors, id=f"i{place}", time=place, session=session, speaker=speaker, role=role))
    return Corpus.of(entries)


def shown(one: Corpus) -> dict[str, object]:
    """A corpus by its names, whatever their numbers are."""
    values = {field.name: getattr(one, field.name) for field in fields(one)}
    shown = {name: value.tolist() for name, value in values.items() if isinstance(value, np.ndarray)}
    postings = {
        term: sorted(zip(one.posting_pieces[start:end].tolist(), one.posting_counts[start:end].tolist(), strict=True))
        for term, start, end in zip(one.terms, one.posting_starts, one.posting_starts[1:], strict=False)
        if end > start
    }
    for name in ("session", "speaker", "role", "language"):
        shown[name] = [values[f"{name}s"][place] for place in shown[name]]
    return {
        **{name: value for name, value in shown.items() if not name.startswith("posting_")},
        "ids": one.ids,
        "postings": postings,
        "before": one.before.tolist(),
        "after": one.after.tolist(),
    }


def test_joined_corpora_are_the_corpus_of_all_entries() -> None:
    assert shown(Corpus.concat([corpus([0, 1]), corpus([]), corpus([2, 3, 4]), corpus([5])])) == shown(corpus())


@pytest.mark.parametrize("places", [[5, 1, 0], [3], [], [0, 1, 2, 3, 4, 5]])
def test_taken_entries_are_the_corpus_of_these(places: list[int]) -> None:
    assert shown(corpus().take(np.array(places, np.intp))) == shown(corpus(places))


def test_a_mask_takes_entries_in_order() -> None:
    mask = np.array([True, False, False, True, True, False])
    assert shown(corpus().take(mask)) == shown(corpus([0, 3, 4]))


def test_corpora_of_other_dimensions_are_not_joined() -> None:
    read = read_text("One text.")
    other = Corpus.of([entry_of(read, np.ones((1, 3), np.float32), id="x", time=1)])
    with pytest.raises(ValueError, match="several dimensions"):
        Corpus.concat([corpus(), other])


def test_neighbours_are_those_of_the_session() -> None:
    made = corpus()
    assert made.before.tolist() == [-1, -1, 0, 1, 2, 4]
    assert made.after.tolist() == [2, 3, 4, -1, 5, -1]


def test_vectors_keep_their_direction() -> None:
    vectors = EMBEDDER.embed_documents(["one text", "another one", ""])
    bytes_, scales = quantised(vectors)
    assert np.abs(bytes_ * scales[:, None] - vectors).max() <= 0.5 / 127


@pytest.mark.parametrize("text", [LONG, "word " * 100_000, "猫" * 5_000, "a\n" * 4_000])
def test_pieces_have_all_words_and_are_bounded(text: str) -> None:
    pieces = pieces_of(text)
    assert 1 < len(pieces) <= MOST_PIECES
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_piece_of_a_long_text_is_found() -> None:
    found = rank(asked("flour number 7", EMBEDDER), corpus())
    assert found[0].place == 1
    assert 0 <= found[0].score <= 1


def test_each_text_is_found_once() -> None:
    """Equal scores: the newest; the others are named."""
    found = rank(asked("orange violet", EMBEDDER), corpus())
    assert (found[0].place, found[0].same) == (5, (4,))
    assert not {3, 4} & {one.place for one in found}


def test_only_allowed_entries_are_found() -> None:
    allowed = np.array([True, True, True, True, True, False])
    found = rank(asked("orange violet", EMBEDDER), corpus(), allowed, limit=1)
    assert [(one.place, one.same) for one in found] == [(4, ())]


def test_an_empty_corpus_has_no_answers() -> None:
    assert rank(asked("orange", EMBEDDER), Corpus.of([])) == []

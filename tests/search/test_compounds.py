"""German words, and compound words of a memory."""

from __future__ import annotations

import numpy as np
import pytest

from memory.search.asking import asked
from memory.search.cistem import stem
from memory.search.compounds import kin
from memory.search.corpus import Corpus
from memory.search.entries import entry_of, read_text
from memory.search.terms import index_terms
from memory.search.view import View

NO_VECTORS = np.zeros((0, 0), np.float32)


def corpus_of(*texts: str, language: str = "german") -> Corpus:
    return Corpus.of(
        [entry_of(read_text(text, language), NO_VECTORS, id=str(at), time=at) for at, text in enumerate(texts)]
    )


@pytest.mark.parametrize(
    "forms",
    [
        ("kaufen", "kaufte", "gekauft", "kauft"),
        ("gehen", "ging", "gegangen", "geht"),
        ("finden", "fand", "gefunden"),
        ("haus", "häuser", "hauses", "häusern"),
        ("straße", "strassen"),
        ("annika", "annikas"),
    ],
)
def test_forms_of_a_german_word_have_one_stem(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


@pytest.mark.parametrize("word", ["", "a", "ge", "ee", "nnn", "xyz", "tttttt", "東京"])
def test_odd_words_have_stems(word: str) -> None:
    assert bool(stem(word)) == bool(word)


def test_compounds_are_terms_of_the_memory() -> None:
    corpus = corpus_of("Das Geburtstagsgeschenk liegt im Bücherregal.", "Ein Regal.", "Die Regalwand 2024regal")
    terms = index_terms("Geschenk Regal Bücherregale Wand Tee", "german")
    found = {term: {corpus.terms[place] for place in places} for term, places in kin(terms, corpus).items()}
    # The stemmer removes "ge-" and "-nd".
    assert found == {"schenk": {"burtstagsgeschenk"}, "regal": {"bucherregal", "regalwa"}, "bucherregal": {"regal"}}


def test_a_compound_is_found_by_its_parts() -> None:
    """After the word itself, and only in languages that write compounds as one word."""
    texts = ("Der Hund schläft.", "Im Bücherregal steht Staub.", "Das Regal ist neu.", "Morgen regnet es.")
    german = View(asked("Wo ist das Regal?", None, "german"), corpus_of(*texts))
    assert german.own[2] > german.own[1] > german.own[0] == german.own[3]
    english = corpus_of(*texts, language="english")
    assert 1 not in View(asked("Wo ist das Regal?", None, "english"), english).words.entry


def test_counts_of_a_piece_are_added() -> None:
    corpus = corpus_of("Regal Regal Bücherregal", "Tisch")
    view = View(asked("Regal", None, "german"), corpus)
    assert view.words.entry.tolist() == [0]
    assert view.words.count.tolist() == view.words.piece_count.tolist() == [2.5]

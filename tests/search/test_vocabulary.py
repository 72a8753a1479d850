"""The terms of a corpus without an object for each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.search.vocabulary import Vocabulary

TERMS = st.lists(st.text(st.characters(exclude_characters="\n"), max_size=5), unique=True, max_size=20)


@given(TERMS)
def test_terms_are_found_at_their_places(terms: list[str]) -> None:
    """Also empty ones, lone surrogates, and letters of several bytes."""
    made = Vocabulary.of(terms)
    assert list(made) == terms == [made[place] for place in range(len(made))]
    assert [made.place_of(term) for term in terms] == list(range(len(terms)))
    assert [made.at(int(start)) for start in made.starts] == list(range(len(terms)))
    assert "unknown term" not in made
    assert None not in made


@given(TERMS, TERMS, TERMS)
def test_merged_and_further_terms_are_those_of_one_vocabulary(
    first: list[str], second: list[str], third: list[str]
) -> None:
    """Each term once, in the order of its first occurrence, and each part's terms at their new places."""
    parts = [Vocabulary.of(some) for some in (first, second, third)]
    merged, moved = Vocabulary.merged(parts)
    extended, places = parts[0].with_more(parts[1])
    longer, others = extended.with_more(parts[2])
    every = list(dict.fromkeys([*first, *second, *third]))
    for made in (merged, longer):
        assert list(made) == every
        assert [made.place_of(term) for term in every] == list(range(len(every)))
    for some, where in zip((first, second, third), moved, strict=True):
        assert [merged[place] for place in where.tolist()] == some
    for some, where in ((second, places), (third, others)):
        assert [longer[place] for place in where.tolist()] == some


@given(TERMS, st.data())
def test_some_terms_are_kept(terms: list[str], data: st.DataObject) -> None:
    mask = data.draw(st.lists(st.booleans(), min_size=len(terms), max_size=len(terms)))
    kept = Vocabulary.of(terms).only(np.array(mask, bool))
    wanted = [term for term, is_kept in zip(terms, mask, strict=True) if is_kept]
    assert list(kept) == wanted
    assert [kept.place_of(term) for term in terms] == [wanted.index(term) if term in wanted else None for term in terms]


def test_terms_with_equal_hashes_are_told_apart() -> None:
    """Look-ups compare the term itself."""
    made = Vocabulary.of(["one", "two"])
    alike = Vocabulary(made.text, made.starts, (np.full(2, hash("two")), np.array([0, 1])))
    assert alike.place_of("two") == 1
    assert alike.place_of("three") is None


def test_a_line_end_is_refused() -> None:
    with pytest.raises(ValueError, match="line end"):
        Vocabulary.of(["a\nb"])


def test_a_term_takes_few_bytes() -> None:
    """A million strings of seven letters would take 80 MB in a tuple and a dict."""
    assert Vocabulary.of(f"{number:07d}" for number in range(100_000)).nbytes <= 3_300_000

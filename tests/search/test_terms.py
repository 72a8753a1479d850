"""Words as search compares them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memory.search.terms import LANGUAGES, MAX_QUERY_TERMS, MAX_TERM_CHARACTERS, query_terms, terms


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("She's painting sunsets", "english", ["she", "paint", "sunset"]),
        ("She\u2019s PAINTED a sunset", "english", ["she", "paint", "a", "sunset"]),
        ("He bought and wore them", "english", ["he", "buy", "and", "wear", "them"]),
        ("Moms and their kids", "english", ["mother", "and", "their", "child"]),
        ("bought", "german", ["bough"]),
        ("cafe\u0301", "english", ["café"]),
        ("Die Häuser", "german", ["die", "hau"]),
        ("रूम ४७११", "hindi", ["रूम", "4711"]),
        ("غرفة ٤٧١١", "arabic", ["غرف", "4711"]),
        ("اتاق ۴۷۱۱", "persian", ["اتاق", "4711"]),
        ("部屋４７", "japanese", ["部屋", "47"]),
        ("ห้อง๔๗", "thai", ["ห้อ", "อง", "47"]),
        ("東京タワー", "english", ["東京", "京タ", "タワ", "ワー"]),
        ("ที่นี่", "english", ["ที่นี่"]),
        ("हिन्दी भाषा", "english", ["हिन्दी", "भाषा"]),
        ("I❤東 in 2024", "english", ["i", "東", "in", "2024"]),
        ("🎉\x00 ...", "english", []),
    ],
)
def test_terms(text: str, language: str, expected: list[str]) -> None:
    """Folded and stemmed; forms as their words; scripts without spaces as pairs of letters; signs are no words."""
    assert terms(text, language) == expected


def test_a_question_without_its_small_words() -> None:
    """Stop words are omitted, unless there is nothing else; each term is returned once."""
    assert query_terms("What did she paint, and who painted it?") == ["paint"]
    assert query_terms("Who are you?") == ["who", "are", "you"]


@given(st.text(), st.sampled_from(sorted(LANGUAGES)))
@example("s", "porter")
def test_any_text_has_terms_that_can_be_stored(text: str, language: str) -> None:
    """Never empty, of bounded length, deterministic; a question has at most as many as one query takes."""
    found = terms(text, language)
    assert found == terms(text, language)
    assert all(0 < len(term) <= 2 * MAX_TERM_CHARACTERS for term in found if term.isascii())
    assert all(found)
    asked = query_terms(text, language)
    assert len(asked) == len(set(asked)) <= MAX_QUERY_TERMS
    assert set(asked) <= set(found)

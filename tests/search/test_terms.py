"""Words as search compares them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memory.search.terms import LANGUAGES, MAX_QUERY_TERMS, MAX_TERM_CHARACTERS, index_terms, query_terms, terms


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+44 7700 900123", ["44", "7700", "900123", "447700900123"]),
        ("+447700900123", ["447700900123"]),
        ("(415) 555-0134", ["415", "555", "0134", "4155550134"]),
        ("٠٧٧٠ ٠٩٠ ٠١٢٣", ["0770", "090", "0123", "07700900123"]),  # noqa: RUF001
        ("1,250.00", ["1", "250", "00", "1250"]),
        ("12,345,678", ["12", "345", "678", "12345678"]),
        ("4.7", ["4", "7"]),
        ("19:30 - 20:15", ["19", "30", "20", "15"]),
        (
            "12 34 56 78 90 12 34 56 78 90 12 34",
            ["12", "34", "56", "78", "90", "12", "34", "56", "78", "90", "12", "34"],
        ),
        ("AX-220-B", ["ax", "220", "b"]),
    ],
)
def test_numbers_are_also_indexed_without_separators(text: str, expected: list[str]) -> None:
    """Telephone numbers and thousands are found however their digits are grouped; tables stay as they are."""
    assert index_terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Booked! \U0001f3d6\ufe0f\U0001f389", ["book", "\U0001f3d6", "\U0001f389"]),
        ("\U0001f44d\U0001f3fd", ["\U0001f44d"]),
        ("\U0001f1e9\U0001f1ea \U0001f1eb\U0001f1f7", ["\U0001f1e9\U0001f1ea", "\U0001f1eb\U0001f1f7"]),
    ],
)
def test_emoji_are_terms(text: str, expected: list[str]) -> None:
    """Without modifiers; a flag is one."""
    assert index_terms(text) == expected


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

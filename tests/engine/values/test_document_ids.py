"""Ids of documents: valid whatever the key, never shared, sorted as the keys are."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.backends.firestore.values.document_ids import document_id, document_id_problem, document_key, is_shortened
from memory.backends.firestore.values.types import Kind

ODD = st.text(alphabet="_./\x01\x02\U0010ffffa012~", max_size=10)


@given(ODD, ODD)
def test_text_is_read_back_from_its_id_in_order(one: str, other: str) -> None:
    """Also text that looks like an escape."""
    ids = [document_id(text, Kind.TEXT) for text in (one, other)]
    assert not any(map(document_id_problem, ids))
    assert [document_key(id, Kind.TEXT) for id in ids] == [one, other]
    assert (ids[0] < ids[1]) == (one < other)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\1\U0010ffff"), max_size=20))
def test_valid_ids_are_themselves(text: str) -> None:
    """Unless they hold a character of the escapes."""
    assert (document_id(text, Kind.TEXT) == text) == (document_id_problem(text) is None)


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("", "\x01"),
        (".", ".\x01"),
        ("..", "..\x01"),
        ("\x01a", "\x01\x02\x01a"),
        ("a/b", "a.\U0010ffff1b"),
        ("\U0010ffff", "\U0010ffff0"),
        ("__x__", "__x__\x01"),
        ("__x__\x01", "__x__\x01\x01"),
        ("é" * 751, "é" * 715 + "\U0010ffff2" + hashlib.sha256(("é" * 751).encode()).hexdigest()),
    ],
)
def test_the_escapes(text: str, id: str) -> None:
    """The form is part of the stored data: it does not change."""
    assert document_id(text, Kind.TEXT) == id
    assert document_id_problem(id) is None
    assert is_shortened(id) == (len(text) > 700)


def test_long_keys_have_ids_of_their_own() -> None:
    """Though they begin alike."""
    ids = {document_id("k" * size, Kind.TEXT) for size in range(1_490, 1_600)}
    assert len(ids) == 110
    assert not any(map(document_id_problem, ids))

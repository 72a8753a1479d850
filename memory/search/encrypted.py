"""What search stores of encrypted texts: `MEMORY["ENCRYPTED_SEARCH"]`.

A segment has the terms of texts and vectors of their meaning, from which much of a text can be guessed. By default it
is sealed with the user's key, in the database and in Redis, and items have no vectors of their own.
"""

from __future__ import annotations

from memory.conf import memory_settings
from memory.exceptions import ValidationError
from memory.sealing import protected, seal_bytes

CLEAR, SEALED, NONE = "clear", "sealed", "none"


def are_texts_encrypted() -> bool:
    """Whether the texts of items are encrypted."""
    return "text_content" in protected()


def stores_vectors() -> bool:
    """Whether items have the vectors of their texts, which are in clear."""
    return not are_texts_encrypted() or memory_settings.encrypted_search == CLEAR


def is_searched() -> bool:
    """Whether there is an index."""
    return not are_texts_encrypted() or memory_settings.encrypted_search != NONE


def refuse_without_index() -> None:
    """Raise `ValidationError` if there is no search."""
    if not is_searched():
        raise ValidationError("Texts are encrypted and MEMORY['ENCRYPTED_SEARCH'] is 'none': there is no search.")


def as_stored(data: bytes, user_id: str, using: str) -> bytes:
    """The stored form of a segment."""
    is_sealed = are_texts_encrypted() and memory_settings.encrypted_search == SEALED
    return seal_bytes(data, user_id, using) if is_sealed else data

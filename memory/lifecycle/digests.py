"""Digests of ids, and the values in stored data that may name a person: pure functions."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

DIGEST_BYTES: Final = 16
SALT_BYTES: Final = 16
LONGEST: Final = 6_000
"""Characters of the longest text that can be an id: ids of documents have up to 1,500 bytes, percent-encoded."""


def digest(salt: str, text: str) -> str:
    """22 characters, which are the same for the same text and salt, and reveal neither."""
    made = hmac.digest(bytes.fromhex(salt), text.encode(errors="surrogatepass"), hashlib.sha256)
    return base64.urlsafe_b64encode(made[:DIGEST_BYTES]).decode().rstrip("=")


def texts_in(value: Any) -> Iterator[str]:
    """All texts in a JSON value, keys of maps too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from texts_in(key)
            yield from texts_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts_in(one)


def names_in(text: str) -> Iterator[str]:
    """The ids that a text may have: itself, itself decoded, and the user in the id of a session or in a title."""
    if len(text) > LONGEST:
        return
    yield text
    if "%" in text:
        yield unquote(text)
    user, colon, _ = text.partition(":")
    if colon:
        yield user
        if "%" in user:
            yield unquote(user)

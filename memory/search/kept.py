"""A cache of values that are made from texts, bounded by the characters of the texts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

T = TypeVar("T")

MOST_CHARACTERS = 2_000_000
"""Of all texts of a cache. The terms of a text take about ten times its characters: 20 MB."""


def kept_by_text(make: Callable[[str, str], T]) -> Callable[[str, str], T]:
    """`make(text, language)` with a cache of the texts used last. Thread-safe; a text may be made twice at once."""
    kept: OrderedDict[tuple[str, str], T] = OrderedDict()
    lock = threading.Lock()
    characters = 0

    @wraps(make)
    def made(text: str, language: str = "english") -> T:
        nonlocal characters
        key = (text, language)
        with lock:
            if key in kept:
                kept.move_to_end(key)
                return kept[key]
        value = make(text, language)
        with lock:
            if key not in kept:
                kept[key] = value
                characters += len(text)
            while characters > MOST_CHARACTERS and kept:
                (old, _), _ = kept.popitem(last=False)
                characters -= len(old)
        return value

    return made

"""The import's memory follows its largest value, not the size of its file."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from memory.interchange import load as load_module
from memory.interchange.entries import Context
from memory.interchange.load import Listeners, load
from memory.interchange.store import Written

from .samples import chatgpt_export, langchain

CONTEXT = Context("ada", "notes", datetime(2026, 1, 1, tzinfo=UTC))
MEGABYTE = 1_000_000


class Repeated:
    """A stream of a beginning, a piece many times, and an end, made while it is read."""

    def __init__(self, start: bytes, piece: bytes, times: int, end: bytes) -> None:
        self.parts = iter([start, *[piece] * times, end])
        self.rest = b""

    def read(self, size: int = -1, /) -> bytes:
        while len(self.rest) < size and (part := next(self.parts, None)) is not None:
            self.rest += part
        chunk, self.rest = self.rest[:size], self.rest[size:]
        return chunk


def lines() -> tuple[bytes, bytes, bytes]:
    message = json.dumps(langchain("human", "tide " * 40)).encode()
    return b"", (message + b"\n") * 100, b""


def array() -> tuple[bytes, bytes, bytes]:
    (conversation,) = chatgpt_export(100)
    piece = json.dumps(conversation).encode()
    return b"[" + piece, b"," + piece, b"]"


def peak(parts: tuple[bytes, bytes, bytes], size: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """The most megabytes that Python holds while it reads about `size` bytes, without the database."""
    stored: list[int] = []

    def write(entries: list[Any], update: bool) -> Written:
        stored.append(len(entries))
        return Written()

    monkeypatch.setattr(load_module.store, "write", write)
    start, piece, end = parts
    times = size // len(piece)
    tracemalloc.start()
    try:
        totals = load(Repeated(start, piece, times, end), CONTEXT, Listeners(lambda reject: None))  # type: ignore[arg-type]
        return tracemalloc.get_traced_memory()[1] / MEGABYTE
    finally:
        tracemalloc.stop()
        assert totals.rejected == 0
        assert sum(stored) >= 100 * times


@pytest.mark.parametrize("make", [lines, array])
def test_it_does_not_grow_with_the_file(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of twelve times the size needs hardly more, and less than its size."""
    small = peak(make(), MEGABYTE // 2, monkeypatch)
    large = peak(make(), 6 * MEGABYTE, monkeypatch)
    assert large < min(6, small * 2)

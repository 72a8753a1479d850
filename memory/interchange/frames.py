"""Splits a stream of bytes into JSON values with their positions, without parsing them.

A file is one of
- JSON lines: one value per line;
- an array, whose elements are the values; the rest after its end is read as lines;
- documents: a sequence of objects that span several lines.

Splitting is lexical (strings and brackets), so that an invalid value does not affect the rest of the file. Memory is
bounded by the largest value, not by the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

CHUNK_BYTES = 1 << 16
MAX_VALUE_BYTES = 64 << 20
HEAD_BYTES = 4_096

BOM = b"\xef\xbb\xbf"
BACKSLASH = b"\\"[0]
OPENING, CLOSING = b"[{", b"]}"

BRACE_ALONE = re.compile(rb"\{[ \t]*\r?")
DOCUMENT_START = re.compile(rb"\{[ \t]*\r?\n")
SPACE = re.compile(rb"[ \t\r\n]*+")
SEPARATORS = re.compile(rb"[, \t\r\n]*+")
# A string ends at its quote, or at the end of the line if the quote is missing: JSON strings do not span lines.
STRING_REST = re.compile(rb'[^"\\\n]*+(?:\\.[^"\\\n]*+)*+', re.DOTALL)
TOKEN = re.compile(rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+["\n]|[\[\]{}"]', re.DOTALL)
SCALAR = re.compile(rb'[^\s,\[\]{}"]*+')


class Readable(Protocol):
    """A binary stream."""

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes; empty at the end."""


@dataclass(frozen=True)
class Frame:
    """The bytes of a value and their position: line from 1, offset in bytes, and array index, if any.

    `ordinal` counts top-level values (an array is one). With a `problem`, `raw` may be truncated.
    """

    raw: bytes
    line: int
    offset: int
    ordinal: int
    index: int | None = None
    problem: str | None = None


class _Input:
    """The unconsumed input of a stream, and its position."""

    def __init__(self, stream: Readable) -> None:
        self.stream = stream
        self.data = bytearray()
        self.line = 1
        self.offset = 0

    def more(self) -> bool:
        """Read a chunk; False at the end."""
        chunk = self.stream.read(CHUNK_BYTES)
        self.data += chunk
        return bool(chunk)

    def ensure(self, count: int) -> None:
        """Read until `count` bytes are buffered, or until the end."""
        while len(self.data) < count and self.more():
            pass

    def drop(self, count: int) -> None:
        self.line += self.data.count(b"\n", 0, count)
        self.offset += count
        del self.data[:count]

    def skip(self, ignored: re.Pattern[bytes] = SPACE) -> bool:
        """Drop ignored bytes; False at the end of the input."""
        while True:
            self.drop(_end(ignored, self.data))
            if self.data or not self.more():
                return bool(self.data)


class _Value:
    """Finds the end of the value at the start of the input."""

    def __init__(self) -> None:
        self.depth = 0
        self.in_string = False
        self.at = 0

    def ends_in(self, data: bytearray) -> bool:
        """Continue to the end of the value, then at `at`, or to the end of `data`."""
        if self.in_string and not self._leave_string(data):
            return False
        if not self.depth and self.at:
            return True
        for token in TOKEN.finditer(data, self.at):
            first, self.at = data[token.start()], token.end()
            if first in OPENING:
                self.depth += 1
            elif first in CLOSING:
                self.depth -= 1
            elif self.at - token.start() == 1:  # an opening quote: the string continues after `data`
                self.in_string = True
                return self._leave_string(data)
            if self.depth <= 0:
                return True
        self.at = len(data)
        return False

    def scalar_ends_in(self, data: bytearray) -> bool:
        """Like `ends_in`, for numbers and literals."""
        self.at = _end(SCALAR, data, self.at)
        return self.at < len(data)

    def _leave_string(self, data: bytearray) -> bool:
        self.at = _end(STRING_REST, data, self.at)
        if self.at == len(data) or data[self.at] == BACKSLASH:
            return False
        self.at += 1
        self.in_string = False
        return True


def _end(pattern: re.Pattern[bytes], data: bytearray, start: int = 0) -> int:
    found = pattern.match(data, start)
    return found.end() if found else start


def frames(stream: Readable, limit: int = MAX_VALUE_BYTES) -> Iterator[Frame]:
    """Split a stream into values. Incomplete values and those above `limit` bytes are frames with a `problem`."""
    source = _Input(stream)
    source.ensure(len(BOM))
    if source.data.startswith(BOM):
        source.offset += len(BOM)
        del source.data[: len(BOM)]
    if not source.skip():
        return
    ordinal = 0
    if source.data.startswith(b"["):
        yield from _elements(source, limit)
        ordinal = 1
    elif _starts_document(source):
        yield from _documents(source, limit)
    yield from _lines(source, limit, ordinal)


def _starts_document(source: _Input) -> bool:
    while BRACE_ALONE.fullmatch(source.data) and source.more():
        pass
    return bool(DOCUMENT_START.match(source.data))


def _elements(source: _Input, limit: int) -> Iterator[Frame]:
    line, offset = source.line, source.offset
    source.drop(1)
    index = 0
    while source.skip(SEPARATORS):
        if source.data[0] in CLOSING:
            source.drop(1)
            return
        yield _value(source, limit, ordinal=0, index=index)
        index += 1
    yield Frame(b"", line, offset, 0, None, "The array that starts here is incomplete: the file was cut off.")


def _documents(source: _Input, limit: int) -> Iterator[Frame]:
    ordinal = 0
    while source.skip(SEPARATORS):
        yield _value(source, limit, ordinal, index=None)
        ordinal += 1


def _value(source: _Input, limit: int, ordinal: int, index: int | None) -> Frame:
    line, offset = source.line, source.offset
    value = _Value()
    size, head, problem = 0, b"", None
    ends_in = value.ends_in if source.data[0] in b'[{"' else value.scalar_ends_in
    while not ends_in(source.data):
        if size + len(source.data) > limit:
            head = head or bytes(source.data[:HEAD_BYTES])
            size += value.at
            source.drop(value.at)
            value.at = 0
        if not source.more():
            problem = "This value is incomplete: the file was cut off."
            value.at = len(source.data)
            break
    raw = head or bytes(source.data[: value.at])
    size += value.at
    source.drop(value.at)
    return Frame(raw, line, offset, ordinal, index, problem or _size_problem(size, limit))


def _lines(source: _Input, limit: int, ordinal: int) -> Iterator[Frame]:
    while source.skip():
        line, offset = source.line, source.offset
        size, head, searched = 0, b"", 0
        while (end := source.data.find(b"\n", searched)) < 0:
            searched = len(source.data)
            if size + searched > limit:
                head = head or bytes(source.data[:HEAD_BYTES])
                size += searched
                source.drop(searched)
                searched = 0
            if not source.more():
                end = len(source.data)
                break
        raw = head or bytes(source.data[:end]).rstrip()
        source.drop(end)
        yield Frame(raw, line, offset, ordinal, None, _size_problem(size + end, limit))
        ordinal += 1


def _size_problem(size: int, limit: int) -> str | None:
    return f"This value has {size} bytes; the limit is {limit}." if size > limit else None

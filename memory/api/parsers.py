"""Strict JSON (RFC 8259): UTF-8, no NaN, no repeated keys; limited size, depth and number of values.

Python builds an object of 50 bytes and more for two bytes of `[],`, and the checks after it take microseconds for each
value. So values are counted in the raw bytes, with a few passes of `bytes` methods, before anything is built. They are
counted as the bytes arrive: a body is not read beyond its first excess, nor at all if its declared length is too large.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import IO, Any

from rest_framework.parsers import BaseParser

from ..conf import memory_settings
from .errors import BodyError, printable

# A stored value nests 20 levels; a bulk body adds four around it.
MAX_DEPTH = 32
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
SQUARE = bytes.maketrans(b"{}", b"[]")
OPENING = ord("[")
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Limits:
    """The largest body: in bytes, in all values, and in those that are texts (keys too), lists or objects."""

    bytes: int
    values: int
    objects: int


# A record of 1 MiB holds at most 131,072 numbers, and a bulk of 500 records as many vectors of 2,048 numbers.
RECORD_VALUES, BULK_VALUES, MAX_OBJECTS = 140_000, 1_100_000, 100_000


def record_limits() -> Limits:
    """The limits of a body with one record."""
    return Limits(
        min(memory_settings.max_record_bytes, memory_settings.max_body_bytes), RECORD_VALUES, objects=MAX_OBJECTS
    )


def bulk_limits() -> Limits:
    """The limits of a body with many records."""
    return Limits(memory_settings.max_body_bytes, BULK_VALUES, objects=MAX_OBJECTS)


class RejectedJSONError(ValueError):
    """JSON that Python parses, but that this API rejects."""


class StrictJSONParser(BaseParser):
    """Parses `application/json`; raises `BodyError`."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the parsed body. The limits are those of the view, `body_limits`, by default of one record."""
        context = parser_context or {}
        limits: Limits = getattr(context.get("view"), "body_limits", record_limits)()
        headers = getattr(context.get("request"), "META", {})
        return parse_json(read_counted(stream, limits, declared_length(headers)))


def declared_length(headers: Mapping[str, Any]) -> int:
    """The length of a body by its header in `request.META`; 0 without a valid one."""
    try:
        return int(headers.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def read_counted(stream: IO[bytes], limits: Limits, declared: int = 0) -> bytearray:
    """Read a body; raise `BodyError` as soon as it exceeds a limit, at once if its declared length does.

    The rest of a refused body is not read.
    """
    raw, counts = bytearray(), Counts(limits)
    if declared <= limits.bytes:
        while len(raw) <= limits.bytes and (piece := stream.read(PIECE_BYTES)):
            counts.add(piece)
            raw += piece
    if max(declared, len(raw)) > limits.bytes:
        raise BodyError(f"The body exceeds the limit of {limits.bytes} bytes.", code="body_too_large")
    return raw


def check_counts(raw: bytes, limits: Limits) -> None:
    """Raise `BodyError` for more values or a deeper nesting than the limits allow; invalid JSON may pass."""
    counts = Counts(limits)
    for start in range(0, len(raw), PIECE_BYTES):
        counts.add(raw[start : start + PIECE_BYTES])


class Counts:
    """Counts the values of JSON, and the depth, while its bytes arrive in pieces."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.quotes = self.opened = self.commas = self.depth = 0
        self.is_escaped = False

    def add(self, piece: bytes) -> None:
        """Count the next piece; raise `BodyError` beyond the limits. Invalid JSON may pass."""
        bare = self.without_texts(piece)
        brackets = bare.translate(SQUARE, NOT_BRACKETS)
        self.opened += brackets.count(b"[")
        self.commas += bare.count(b",")
        deepest, self.depth = depths(brackets, self.depth)
        if deepest > MAX_DEPTH:
            raise BodyError(f"The body nests more than {MAX_DEPTH} levels deep.", code="too_deep")
        # A text that is not closed yet may be the last one.
        if self.quotes // 2 + self.opened > self.limits.objects or self.commas + self.opened > self.limits.values:
            raise too_many_values(self.limits)

    def without_texts(self, piece: bytes) -> bytes:
        """The piece without its texts, whose quotes are counted."""
        if self.is_escaped and piece[0] in b'"\\':
            piece = piece[1:]
        self.is_escaped = False
        if b"\\" in piece:
            piece = piece.replace(rb"\\", b"")
            self.is_escaped = piece.endswith(b"\\")
            piece = piece.replace(rb"\"", b"")
        parts = piece.split(b'"')
        is_inside = self.quotes % 2
        self.quotes += len(parts) - 1
        return b"".join(parts[is_inside::2])


def depths(brackets: bytes, before: int) -> tuple[int, int]:
    """The largest depth of `[` and `]`, and that at the end, from the depth before.

    Each pass removes the innermost pairs, so the passes are the depth of what is closed here.
    """
    rest, passes = brackets, 0
    while passes <= MAX_DEPTH and b"[]" in rest:
        rest, passes = rest.replace(b"[]", b""), passes + 1
    end = before + 2 * brackets.count(b"[") - len(brackets)
    most = before + passes + rest.count(b"[")
    if most > MAX_DEPTH:  # it may be less: count one by one
        steps = (1 if bracket == OPENING else -1 for bracket in brackets)
        most = next((depth for depth in accumulate(steps, initial=before) if depth > MAX_DEPTH), MAX_DEPTH)
    return most, end


def has_more_values(value: Any, most: int) -> bool:
    """Whether a parsed value holds more than `most` members of lists and objects, at any depth."""
    count, pending = 0, [value] if isinstance(value, dict | list) else []
    while pending:
        container = pending.pop()
        members = container.values() if isinstance(container, dict) else container
        count += len(container)
        if count > most:
            return True
        pending.extend(member for member in members if isinstance(member, dict | list) and member)
    return False


def too_many_values(limits: Limits) -> BodyError:
    """The error of a body that holds more values than `limits` allow."""
    return BodyError(
        f"The body exceeds the limit of {limits.values} values, of which at most {limits.objects} are texts, keys, "
        "lists or objects.",
        code="too_many_values",
    )


def parse_json(raw: bytes | bytearray) -> Any:
    """Parse `raw`; raise `BodyError` if it is invalid."""
    try:
        return json.loads(
            raw.decode(),
            object_pairs_hook=reject_duplicate_keys,
            parse_constant=reject_constant,
            parse_float=parse_finite,
        )
    except UnicodeDecodeError as error:
        raise BodyError(f"The body is not valid UTF-8 at byte {error.start}.", code="invalid_encoding") from error
    except RecursionError as error:
        raise BodyError("The body is nested too deeply.", code="too_deep") from error
    except ValueError as error:  # malformed, a number with thousands of digits, or RejectedJSONError
        raise BodyError(f"The body is not valid JSON: {error}", code="invalid_json") from error


def reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object; reject repeated keys."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise RejectedJSONError(f"the key {printable(twice)!r} is repeated.")
    return found


def reject_constant(name: str) -> None:
    """Reject NaN and Infinity, which Python accepts."""
    raise RejectedJSONError(f"{name} is not JSON.")


def parse_finite(text: str) -> float:
    """Parse a number; reject it if a double cannot hold it."""
    value = float(text)
    if not math.isfinite(value):
        raise RejectedJSONError(f"the number {printable(text)} is out of range for a double.")
    return value

"""Strict JSON (RFC 8259): UTF-8, no NaN, no repeated keys; limited size, depth and number of values.

Python builds an object of 50 bytes and more for two bytes of `[],`, and the checks after it take microseconds for each
value. So values are counted in the raw bytes, with a few passes of `bytes` methods, before anything is built.
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
        view = (parser_context or {}).get("view")
        limits: Limits = getattr(view, "body_limits", record_limits)()
        raw = read_bounded(stream, limits.bytes)
        check_counts(raw, limits)
        return parse_json(raw)


def read_bounded(stream: IO[bytes], limit: int) -> bytes:
    """Read the stream; raise `BodyError` if it holds more than `limit` bytes."""
    raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise BodyError(f"The body exceeds the limit of {limit} bytes.", code="body_too_large")
    return raw


def check_counts(raw: bytes, limits: Limits) -> None:
    """Raise `BodyError` for more values or a deeper nesting than the limits allow; invalid JSON may pass."""
    if b"\\" in raw:
        raw = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    texts = raw.count(b'"') // 2
    if texts > limits.objects:
        raise too_many_values(limits)
    bare = b"".join(raw.split(b'"')[::2])
    opened = bare.count(b"[") + bare.count(b"{")
    brackets = bare.translate(None, NOT_BRACKETS)[: 2 * limits.objects]
    if any(depth > MAX_DEPTH for depth in accumulate(1 if bracket in b"[{" else -1 for bracket in brackets)):
        raise BodyError(f"The body nests more than {MAX_DEPTH} levels deep.", code="too_deep")
    if texts + opened > limits.objects or bare.count(b",") + opened > limits.values:
        raise too_many_values(limits)


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


def parse_json(raw: bytes) -> Any:
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

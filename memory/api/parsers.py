"""Strict JSON (RFC 8259): UTF-8, no NaN, no repeated keys, limited size and depth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from ..conf import memory_settings
from .errors import BodyError, printable


class RejectedJSONError(ValueError):
    """JSON that Python parses, but that this API rejects."""


class StrictJSONParser(BaseParser):
    """Parses `application/json`; raises `BodyError`."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the parsed body."""
        return parse_json(read_bounded(stream, memory_settings.max_body_bytes))


def read_bounded(stream: IO[bytes], limit: int) -> bytes:
    """Read the stream; raise `BodyError` if it holds more than `limit` bytes."""
    raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise BodyError(f"The body exceeds the limit of {limit} bytes.", code="body_too_large")
    return raw


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

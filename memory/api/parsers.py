"""JSON as RFC 8259 means it: UTF-8, no NaN, no key twice, bounded in size and depth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from ..conf import memory_settings
from .errors import BodyError, shown


class RefusedJSONError(ValueError):
    """Well-formed for Python's parser, but not to be taken."""


class StrictJSONParser(BaseParser):
    """Parses `application/json`; what is wrong is a `BodyError`."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The value that the body holds."""
        return parse_json(read_bounded(stream, memory_settings.max_body_bytes))


def read_bounded(stream: IO[bytes], most: int) -> bytes:
    """All bytes of a stream that has at most `most` of them."""
    raw = stream.read(most + 1)
    if len(raw) > most:
        raise BodyError(f"The body is larger than {most} bytes, the most that is taken.", code="body_too_large")
    return raw


def parse_json(raw: bytes) -> Any:
    """The value in `raw`."""
    try:
        return json.loads(
            raw.decode(), object_pairs_hook=without_duplicates, parse_constant=refuse_constant, parse_float=finite
        )
    except UnicodeDecodeError as error:
        raise BodyError(f"The body is not UTF-8: byte {error.start} is wrong.", code="invalid_encoding") from error
    except RecursionError as error:
        raise BodyError("The body nests too deep.", code="too_deep") from error
    except ValueError as error:  # malformed, a number with thousands of digits, or refused below
        raise BodyError(f"The body is not JSON that can be taken: {error}", code="invalid_json") from error


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, unless it has a key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise RefusedJSONError(f"the key {shown(twice)!r} stands there twice.")
    return found


def refuse_constant(name: str) -> None:
    """NaN and Infinity are Python's, not JSON's."""
    raise RefusedJSONError(f"{name} is not JSON.")


def finite(text: str) -> float:
    """A number that a double can hold."""
    value = float(text)
    if not math.isfinite(value):
        raise RefusedJSONError(f"the number {shown(text)} does not fit a double.")
    return value

"""What the stages hand on: a value's place, an entry to store, a reject to tell; and what all formats need."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

NAMESPACE = uuid.UUID("5a1f4f0e-6a53-5b7e-9d0b-0d2a6f2f7c11")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Numbers from here on are milliseconds: as seconds they would be the year 5138.
LEAST_MILLISECONDS = 100_000_000_000


class UserIdMissingError(Exception):
    """A file that names no user was given without a `user_id`."""


@dataclass(frozen=True)
class Place:
    """Where a value stands: its line from 1, its number in the array from 0, and what is inside of it."""

    line: int
    index: int | None = None
    inside: str | None = None

    def order(self) -> tuple[int, int]:
        """Sorts places as they stand in the file."""
        return self.line, -1 if self.index is None else self.index


@dataclass(frozen=True)
class Value:
    """One JSON value of a file. `ordinal` counts the values at the file's top level."""

    content: Any
    place: Place
    ordinal: int
    raw: bytes


@dataclass(frozen=True)
class Context:
    """What a file does not say itself.

    `session_id` is that of messages whose file names no session, `time` that of messages whose file tells none.
    """

    user_id: str | None
    session_id: str
    time: datetime

    def required_user_id(self) -> str:
        """The id, or `UserIdMissingError`."""
        if self.user_id is None:
            raise UserIdMissingError
        return self.user_id


@dataclass(frozen=True)
class Entry:
    """A record to store: its model and fields. `stated` are those that the file itself gives; `raw` as `Reject`'s."""

    model: str
    values: Mapping[str, Any]
    stated: frozenset[str]
    place: Place
    raw: object


@dataclass(frozen=True)
class Reject:
    """What cannot be stored, where it stands, and why. `raw` is what stands there: bytes, or a JSON value."""

    place: Place
    reason: str
    raw: object

    def to_json_line(self) -> str:
        """The line for the reject file, without its end."""
        raw = self.raw.decode(errors="backslashreplace") if isinstance(self.raw, bytes) else compact(self.raw)
        place = {"line": self.place.line, "element": self.place.index, "inside": self.place.inside}
        return compact({**place, "reason": self.reason, "raw": raw})


@dataclass(frozen=True)
class Empty:
    """A message that says nothing: no text and nothing attached."""

    place: Place


Outcome = Entry | Reject | Empty
Outcomes = Iterator[Outcome]


def derived_id(*parts: object) -> str:
    """An id of 32 hexadecimal digits that is the same for the same parts."""
    return uuid.uuid5(NAMESPACE, json.dumps(parts, ensure_ascii=True)).hex


def time_of(value: object) -> datetime | None:
    """A time from ISO 8601 (UTC where it has no zone) or a number of (milli)seconds since 1970; None from all else."""
    try:
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            seconds = value / 1000 if abs(value) >= LEAST_MILLISECONDS else value
            return EPOCH + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None
    return None


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without those that say nothing: null, empty texts, lists and maps, false."""
    return {
        key: value for key, value in values.items() if value not in (None, "", False) and value != [] and value != {}
    }


def compact(value: object) -> str:
    """A value as JSON on one line; a lone surrogate, which no file takes, stays escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace").decode()

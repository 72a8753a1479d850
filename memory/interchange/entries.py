"""The values passed between the stages, and functions that all formats use."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

NAMESPACE = uuid.UUID("5a1f4f0e-6a53-5b7e-9d0b-0d2a6f2f7c11")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Times of messages outside of these bounds come from a wrong unit or a broken clock.
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
# Units by size: microseconds in each, for numbers below. A number of seconds above 1e11 would be after the year 5138.
UNITS = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0), (1e20, 0.001))
# Numbers as text. Eight digits are a date: 20260131.
NUMBER = re.compile(r"\d{9,20}(\.\d+)?", re.ASCII)


class UserIdMissingError(Exception):
    """The file names no user, and `user_id` was not given."""


@dataclass(frozen=True)
class Place:
    """The position of a value: its line from 1, its array index from 0, and the part inside of it."""

    line: int
    index: int | None = None
    inside: str | None = None

    def order(self) -> tuple[int, int]:
        """The sort key of positions in a file."""
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
    """Defaults for values that a file does not contain.

    `session_id` and `time` are those of messages without a session and without a time.
    """

    user_id: str | None
    session_id: str
    time: datetime

    def required_user_id(self) -> str:
        """The user id; raises `UserIdMissingError` if it is missing."""
        if self.user_id is None:
            raise UserIdMissingError
        return self.user_id


@dataclass(frozen=True)
class Turn:
    """An entry's place in its conversation. `order.Order` computes the entry's timestamp from it.

    `thread` identifies the conversation, `position` counts its messages from 0, and `stated` is the time in the file.
    """

    thread: str
    position: int
    stated: object = None


@dataclass(frozen=True)
class Entry:
    """A record to store: its model and fields. `stated` are the fields given by the file; for `raw` see `Reject`.

    `repairs` are fields that the import itself computes. In an existing record it completes `metadata` and corrects
    `timestamp` without `--update`.
    """

    model: str
    values: Mapping[str, Any]
    stated: frozenset[str]
    place: Place
    raw: object
    turn: Turn | None = None
    repairs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reject:
    """A value that cannot be stored, with its position and the reason. `raw` is the value: bytes or JSON."""

    place: Place
    reason: str
    raw: object

    def to_json_line(self, file: str | None = None, member: str | None = None) -> str:
        """The line for the reject file, without a newline. `member` is the name inside of a zip file."""
        raw = self.raw.decode(errors="backslashreplace") if isinstance(self.raw, bytes) else compact(self.raw)
        place = {
            "file": file,
            "member": member,
            "line": self.place.line,
            "element": self.place.index,
            "inside": self.place.inside,
        }
        return compact({**place, "reason": self.reason, "raw": raw})


@dataclass(frozen=True)
class Empty:
    """A message without text and attachments."""

    place: Place


@dataclass(frozen=True)
class Removal:
    """A message that removes an earlier one from its conversation: the item with this id."""

    id: str
    place: Place


Outcome = Entry | Reject | Empty | Removal
Outcomes = Iterator[Outcome]


def derived_id(*parts: object) -> str:
    """A deterministic id of 32 hexadecimal digits."""
    return uuid.uuid5(NAMESPACE, json.dumps(parts, ensure_ascii=True)).hex


def time_of(value: object) -> datetime | None:
    """The time of a message between 1970 and 2200; None for other values.

    Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970, as JSON numbers or as text. Other text is
    ISO 8601 (UTC by default) or RFC 5322.
    """
    try:
        if isinstance(value, str):
            time = _number_time(float(value)) if NUMBER.fullmatch(value) else _text_time(value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            time = _number_time(value)
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return time if time is not None and EPOCH < time < LATEST else None


def iso_time(text: str) -> datetime | None:
    """Parse ISO 8601 (UTC by default) of any year; None for other text."""
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text_time(text: str) -> datetime | None:
    if (time := iso_time(text.removesuffix(" UTC"))) is not None:
        return time
    parsed = parsedate_to_datetime(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)


def _number_time(number: float) -> datetime | None:
    scale = next((scale for limit, scale in UNITS if number < limit), None)
    return None if scale is None else EPOCH + timedelta(microseconds=round(number * scale))


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without null and empty strings, lists and maps."""
    return {key: value for key, value in values.items() if value is not None and value not in ("", [], {})}


def has_content(value: object, *ignored: str) -> bool:
    """Whether a value, or one inside of it at any depth, is not null, false, zero or empty.

    `ignored` are keys of the outermost map.
    """
    pending = [inner for key, inner in value.items() if key not in ignored] if isinstance(value, dict) else [value]
    while pending:
        inner = pending.pop()
        if isinstance(inner, dict | list):
            pending.extend(inner.values() if isinstance(inner, dict) else inner)
        elif inner:
            return True
    return False


def merged(fields: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of a file's `fields` and of the import's `own` keys, without empty values.

    Fields whose name is an own key with another value are in the map `fields`, or `fields_` if that is an own key too.
    """
    fields, own = given(fields), given(own)
    # As JSON, since 0, 0.0 and False are equal in Python.
    taken = {name: value for name, value in fields.items() if name in own and compact(own[name]) != compact(value)}
    place = "fields"
    while place in own:
        place += "_"
    if taken and place in fields:
        taken[place] = fields[place]
    return {**fields, **own, **given({place: taken})}


def compact(value: object) -> str:
    """Compact JSON on one line. Lone surrogates, which UTF-8 cannot encode, stay escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace").decode()

"""Reads labelled conversations for `memory_evaluate`: turns, questions, and the turns that answer them.

A file has `{"conversations": [{"id", "turns": [{"id", "session", "speaker", "time", "text"}], "questions":
[{"question", "evidence": [turn ids], "category"}]}]}`; one conversation is one user's memory, a time is ISO 8601. A
category may be `kind/category`: kinds are measured apart too.

Files come from many sources, so the reader is lenient: ids may be numbers, sessions and speakers may be missing, times
may be Unix seconds or in formats of people and mail. A missing time is that of the turn before; equal times keep the
order of the file. Unreadable times and questions that cannot be measured are reported and skipped. Anything else raises
`EvaluationError`, which names the place.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from .passages import Passage

# The last part of the category of questions that nothing answers.
UNANSWERABLE = "unanswerable"
# The time of turns before the first one with a time.
START = datetime(2000, 1, 1, tzinfo=UTC)
# The session of turns without one: they are one conversation.
ONE_SESSION = "conversation"
NAMES_SHOWN = 3
# Beside ISO 8601 and RFC 5322, in English.
TIMES = (
    "%I:%M %p on %d %B, %Y",
    "%d %B, %Y",
    "%d %B %Y",
    "%B %d, %Y",
    "%B %d, %Y %I:%M %p",
    "%d %B %Y %H:%M",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d (%a) %H:%M",
)
BETWEEN_NAMES = re.compile(r"[;,\s]+")


class EvaluationError(ValueError):
    """The file has no valid labelled conversations; the message names the place."""


@dataclass(frozen=True)
class Label:
    """A question, and the ids of the turns that answer it; none for an unanswerable question.

    `asker` is the speaker who asks; empty if the file has none.
    """

    question: str
    evidence: frozenset[str]
    category: str
    asker: str = ""

    @property
    def kind(self) -> str:
        """The category without its last part; empty for a category of one part."""
        return self.category.rpartition("/")[0]


@dataclass(frozen=True)
class Conversation:
    """One user's memory and the questions about it. `left_out` lists what is not measured, with its place."""

    id: str
    passages: tuple[Passage, ...]
    labels: tuple[Label, ...]
    left_out: tuple[str, ...] = ()


def read_conversations(text: str, language: str = "english") -> list[Conversation]:
    """The conversations of a file's text. Raises `EvaluationError`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"The file is not JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("conversations"), list) or not data["conversations"]:
        raise EvaluationError('The file has no list "conversations" with at least one.')
    return [
        _conversation(value, f"conversations[{number}]", language) for number, value in enumerate(data["conversations"])
    ]


def _conversation(data: Any, place: str, language: str) -> Conversation:
    if not isinstance(data, dict):
        raise EvaluationError(f"{place} must be an object.")
    identity = _name(data, "id", place, default=place)
    passages, left_out = _passages(_list(data, "turns", place), f"{place}.turns", language)
    known = {passage.id for passage in passages}
    labels = []
    for number, value in enumerate(_list(data, "questions", place)):
        where = f"{place}.questions[{number}]"
        label, problem = _label(value, known, where)
        labels += [label] if label else []
        left_out += [f"{where} {problem}"] if problem else []
    return Conversation(identity, passages, tuple(labels), tuple(left_out))


def _passages(turns: Sequence[Any], place: str, language: str) -> tuple[tuple[Passage, ...], list[str]]:
    """The turns in the order of the file, and the invalid times. Turns of equal times are a microsecond apart."""
    found: dict[str, Passage] = {}
    problems = []
    equal: Counter[datetime] = Counter()
    said = START
    for number, turn in enumerate(turns):
        where = f"{place}[{number}]"
        if not isinstance(turn, dict):
            raise EvaluationError(f"{where} must be an object.")
        identity = _name(turn, "id", where)
        if identity in found:
            raise EvaluationError(f"{where}.id is {identity!r}, which an earlier turn has: ids must be unique.")
        given = turn.get("time")
        moment = _time(given)
        if moment is None and given not in (None, ""):
            problems.append(f"{where}.time is {given!r}, which is not a time: the time of the turn before it is used.")
        said = moment or said
        time = said + timedelta(microseconds=equal[said])
        equal[said] += 1
        text = _name(turn, "text", where, default="")
        session = _name(turn, "session", where, default="") or ONE_SESSION
        speaker = _name(turn, "speaker", where, default="")
        role = _name(turn, "role", where, default="")
        found[identity] = Passage(identity, session, speaker, time, text, role)
    return tuple(found.values()), problems


def _time(given: Any) -> datetime | None:
    """The time of a turn, in UTC if it has no zone; None for an invalid time."""
    ways: list[Callable[[Any], datetime]] = []
    if isinstance(given, int | float) and not isinstance(given, bool):
        ways = [partial(datetime.fromtimestamp, tz=UTC)]
    elif isinstance(given, str):
        ways = [datetime.fromisoformat, parsedate_to_datetime, *(partial(_by_format, form) for form in TIMES)]
    for way in ways:
        try:
            moment = way(given)
        except (TypeError, ValueError, OverflowError, OSError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _by_format(form: str, said: str) -> datetime:
    return datetime.strptime(" ".join(said.split()), form).replace(tzinfo=UTC)


def _label(data: Any, known: set[str], place: str) -> tuple[Label | None, str]:
    """A question, if it can be measured, and what cannot be measured."""
    if not isinstance(data, dict):
        raise EvaluationError(f"{place} must be an object.")
    question, category = _name(data, "question", place), _name(data, "category", place, default="")
    evidence = _evidence(data.get("evidence"), known, place)
    asker = _name(data, "asker", place, default="")
    unknown = [identity for identity in evidence if identity not in known]
    problem = f"names no turn by {_shown(unknown)}; the rest of its evidence counts." if unknown else ""
    if not question.strip():
        return None, "asks nothing."
    if not evidence and category.endswith(UNANSWERABLE):
        return Label(question, frozenset(), category, asker), ""
    if len(unknown) == len(evidence):
        return None, f"has evidence that is not a turn: {_shown(unknown)}." if unknown else "has no evidence."
    return Label(question, frozenset(evidence) & known, category, asker), problem


def _evidence(value: Any, known: set[str], place: str) -> list[str]:
    """Ids of turns: a list, one id, or nothing; a string that is not an id may contain several."""
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(_is_name(identity) for identity in ids):
        raise EvaluationError(f"{place}.evidence is {value!r}; it must be a list of ids of turns.")
    names = [str(identity) for identity in ids]
    return [part for name in names for part in ([name] if name in known else BETWEEN_NAMES.split(name)) if part]


def _shown(names: Iterable[str]) -> str:
    every = [repr(name) for name in names]
    return ", ".join(every[:NAMES_SHOWN]) + (", ..." if len(every) > NAMES_SHOWN else "")


def _name(data: Mapping[str, Any], name: str, place: str, default: str | None = None) -> str:
    """A string, or a number as a string, or the default."""
    value = data.get(name)
    if value is None and default is not None:
        return default
    if not _is_name(value):
        raise EvaluationError(f"{place}.{name} must be a string.")
    return str(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _list(data: Mapping[str, Any], name: str, place: str) -> list[Any]:
    if not isinstance(value := data.get(name), list):
        raise EvaluationError(f"{place}.{name} must be a list.")
    return value

"""Demonstration data: conversations of four people over a few weeks, one file per person.

Lines of a file:

    user NAME, persona NAME          the user, and the persona of the assistant
    = 38d 07:42 | ID | TITLE         a session starts or continues: days ago and time in UTC, or `95m`, minutes ago
    > text, < text                   a message of the user, of the assistant
    * text, + text                   a fact, an event; with `{expires 60d}` at the end it expires
    @ AGENT | TYPE | JSON            agent data
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from memory.interchange.entries import derived_id

FOLDER = Path(__file__).parent
LINE = re.compile(r"(?P<mark>user|persona|[=><*+@]) (?P<text>.+)")
START = re.compile(r"(?P<days>\d+)d (?P<hour>\d\d):(?P<minute>\d\d)|(?P<minutes>\d+)m")
EXPIRES = re.compile(r" \{expires (\d+)d\}$")

ROLES: Mapping[str, str] = {">": "user", "<": "assistant"}
TYPES: Mapping[str, str] = {"*": "fact", "+": "event"}
# The pause in seconds before a message, and characters per second.
PACE: Mapping[str, tuple[float, float]] = {">": (9.0, 6.0), "<": (1.5, 90.0)}
AT_ONCE = (0.4, 1000.0)


@dataclass
class _Reader:
    """The state set by the lines read so far."""

    now: datetime
    user: str = ""
    persona: str = ""
    session: str = ""
    time: datetime = field(init=False)
    count: int = 0

    def __post_init__(self) -> None:
        self.time = self.now


def records(now: datetime) -> Iterator[dict[str, Any]]:
    """The records in the format of memory_export. `now` (UTC) is the time of loading, after all records."""
    for path in sorted(FOLDER.glob("*.txt")):
        yield from read(path.read_text(encoding="utf-8").splitlines(), now, path.name)


def read(lines: Iterable[str], now: datetime, name: str) -> Iterator[dict[str, Any]]:
    """The records of one file. Raises `ValueError` for invalid lines."""
    reader = _Reader(now)
    sessions: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = LINE.fullmatch(line)
        if not found:
            raise ValueError(f"{name}, line {number}: {line!r} does not start with a known mark.")
        mark, text = found.group("mark", "text")
        if mark in ("user", "persona"):
            setattr(reader, mark, text)
        elif mark == "=":
            _start_session(reader, text, sessions)
        else:
            record = _record(reader, mark, text)
            if record["model"] == "MemoryItem":
                sessions[reader.session]["last_activity"] = record["timestamp"]
            yield record
    yield from sessions.values()


def _start_session(reader: _Reader, text: str, sessions: dict[str, dict[str, Any]]) -> None:
    start, reader.session, title = text.split(" | ")
    reader.time = _start(start, reader.now)
    sessions.setdefault(
        reader.session,
        {
            "model": "UserSession",
            "user_id": reader.user,
            "session_id": reader.session,
            "started_at": reader.time.isoformat(),
            "metadata": {"title": title},
        },
    )


def _start(text: str, now: datetime) -> datetime:
    found = START.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a valid time.")
    if found["minutes"]:
        return now - timedelta(minutes=int(found["minutes"]))
    day = now.replace(hour=int(found["hour"]), minute=int(found["minute"]), second=0, microsecond=0)
    return day - timedelta(days=int(found["days"]))


def _record(reader: _Reader, mark: str, text: str) -> dict[str, Any]:
    pause, speed = PACE.get(mark, AT_ONCE)
    reader.time += timedelta(seconds=pause + len(text) / speed)
    reader.count += 1
    common = {
        "id": derived_id("demonstration", reader.user, reader.count),
        "timestamp": reader.time.isoformat(),
    }
    return {**common, **(_agent_data(text) if mark == "@" else _item(reader, mark, text))}


def _agent_data(text: str) -> dict[str, Any]:
    agent, data_type, content = text.split(" | ", 2)
    return {"model": "AgentData", "agent_id": agent, "data_type": data_type, "content": json.loads(content)}


def _item(reader: _Reader, mark: str, text: str) -> dict[str, Any]:
    expires = EXPIRES.search(text)
    end = reader.time + timedelta(days=int(expires[1])) if expires else None
    return {
        "model": "MemoryItem",
        "user_id": reader.user,
        "session_id": reader.session,
        "item_type": TYPES.get(mark, "message"),
        "persona_active": reader.persona if mark == "<" else None,
        "text_content": EXPIRES.sub("", text),
        "metadata": {"role": ROLES[mark]} if mark in ROLES else {"source": "conversation"},
        "expiration": end.isoformat() if end else None,
    }

"""The export of a person: JSON lines, which `memory_import` reads back, and a page of HTML to read."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from ..interchange.export import CHUNK_SIZE, json_lines, records_of
from ..models import AgentCheckpoint, AgentData, MemoryItem, MemoryVersion, SearchLabel, UserSession
from ..models.versions import values_of
from .deleting import pages_of_values
from .digests import SALT_BYTES, digest
from .naming import Person, data_names

ITEM_FIELDS: Final = (
    *("metadata", "source", "derived_from", "supersedes", "superseded_by", "valid_from", "valid_to"),
    *("importance", "persona_active", "expiration"),
)
"""What the page shows of an item besides its text, unless it is empty."""
STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }
article { border-top: 1px solid #ccc; padding: .5rem 0 }
p, pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .25rem 0 }
small { color: #555 }
"""


def lines(user_id: str) -> Iterator[str]:
    """Sessions, items and agent data of a person as JSON lines, expired ones too, each with a newline."""
    return (f"{line}\n" for line in json_lines(("UserSession", "MemoryItem", "AgentData"), [user_id], True))


def page(user_id: str) -> Iterator[str]:
    """A page of HTML with what is stored of a person, in parts. It loads nothing from elsewhere."""
    name = format_html("<bdi>{}</bdi>", user_id)
    yield format_html(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{}</title><style>{}</style></head>\n'
        "<body><h1>What is stored of {}</h1>\n<p>{}</p>\n",
        user_id,
        mark_safe(STYLE),  # noqa: S308  (a constant)
        name,
        f"Exported {timezone.now():%Y-%m-%d %H:%M} UTC. Times are in UTC.",
    )
    for title, records, show in _sections(user_id):
        yield from _section(title, records, show)
    checkpoints = AgentCheckpoint.objects.filter(user_id=user_id).count()
    yield format_html("<h2>States of agents</h2>\n<p>{} checkpoints, in a form of the framework.</p>\n", checkpoints)
    yield "</body></html>\n"


def _sections(user_id: str) -> Iterator[tuple[str, Iterable[Any], Callable[[Any], SafeString]]]:
    """The titles of the parts, their records, and how one is shown."""
    yield "Sessions", _read(records_of(UserSession, (user_id,))), _session
    yield "Items", _read(records_of(MemoryItem, (user_id,))), _item
    yield "Earlier versions of items", _read(MemoryVersion.objects.filter(user_id=user_id).order_by()), _version
    yield "Agent data", _read(records_of(AgentData, (user_id,))), _data
    yield "Data of other agents that names the person", data_of_others(user_id), _data
    yield "Feedback on searches", _read(SearchLabel.objects.filter(user_id=user_id).order_by()), _label


def _read(records: QuerySet[Any]) -> Iterator[Any]:
    return records.iterator(chunk_size=CHUNK_SIZE)


def data_of_others(user_id: str) -> Iterator[AgentData]:
    """The data of other agents that an erasure deletes, because it names the person. All of it is read."""
    salt = secrets.token_hex(SALT_BYTES)
    who, rows = Person(salt, digest(salt, user_id), {}), AgentData.all_objects.all()
    for page in pages_of_values(rows, ("agent_id", "content", "metadata")):
        found = [key for key, values in page if values["agent_id"] != user_id and data_names(values, who)]
        yield from rows.filter(pk__in=found).order_by("pk") if found else ()


def _section(title: str, records: Iterable[Any], show: Callable[[Any], SafeString]) -> Iterator[str]:
    yield format_html("<h2>{}</h2>\n", title)
    count = 0
    for count, record in enumerate(records, 1):  # noqa: B007
        yield show(record)
    yield format_html("<p><small>{} in all.</small></p>\n", count)


def _session(row: UserSession) -> SafeString:
    times = f"{row.started_at:%Y-%m-%d %H:%M} to {row.last_activity:%Y-%m-%d %H:%M}"
    return _article(row.session_id, times, "", row.metadata)


def _item(row: MemoryItem) -> SafeString:
    about = f"{row.timestamp:%Y-%m-%d %H:%M:%S}, session {row.session_id or '(none)'}, {row.id}"
    values = {name: value for name in ITEM_FIELDS if (value := getattr(row, name)) not in (None, [], {})}
    return _article(row.item_type, about, row.text_content or "", values)


def _data(row: AgentData) -> SafeString:
    about = f"{row.timestamp:%Y-%m-%d %H:%M:%S}, agent {row.agent_id}, {row.id}"
    return _article(row.data_type, about, "", {"content": row.content, "metadata": row.metadata})


def _version(row: MemoryVersion) -> SafeString:
    return _article("Replaced", f"{row.replaced_at:%Y-%m-%d %H:%M:%S}, {row.item_id}", "", values_of(row))


def _label(row: SearchLabel) -> SafeString:
    answer = f"{'answers' if row.answers else 'does not answer'}: {row.item_id or '(nothing)'}"
    return _article(row.question, f"{row.labelled_at:%Y-%m-%d %H:%M}", answer, {})


def _article(title: str, about: str, text: str, values: Any) -> SafeString:
    shown = json.dumps(values, ensure_ascii=False, indent=1, default=str) if values else ""
    return format_html(
        '<article><strong dir="auto">{}</strong> <small>{}</small><p dir="auto">{}</p>{}</article>\n',
        title,
        about,
        text,
        format_html("<pre>{}</pre>", shown) if shown else "",
    )

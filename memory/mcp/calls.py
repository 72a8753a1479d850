"""What the tools do: functions of a caller and of arguments that the tool's schema has validated.

Times are RFC 3339, in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import IntegrityError, connections

from memory import history
from memory.api.errors import naming
from memory.api.pagination import PAGE_BYTES, up_to
from memory.backends.firestore.values.sizes import ByteBudget
from memory.batches import batches
from memory.conf import memory_settings
from memory.contention import in_transaction, write_transaction
from memory.models import MemoryItem, UserSession
from memory.querysets import context_of
from memory.querysets.contexts import RECALLED, TOKENS, TURNS
from memory.stores.changes import validated_changes
from memory.stores.deletion import forget_items
from memory.stores.filters import parse
from memory.stores.firestore import live_records, sessions_after
from memory.stores.updating import update_item

from .schemas import moment

READ, WRITE, FORGET = "read", "write", "forget"
IDS_AT_ONCE: Final = 10
"""Items that `get` reads at once, since each may have 4 MB in memory."""
KNOWN: Final = ("supersedes", "importance", "source", "valid_from", "valid_to")
"""Arguments that say what is known of an item besides its text, by the names of its fields."""


class ToolError(Exception):
    """A call that cannot be answered; the message is for the model."""


@dataclass(frozen=True)
class Caller:
    """On whose memory tools work, and what the credentials allow."""

    owner: str
    scopes: frozenset[str] = frozenset({READ, WRITE, FORGET})


@dataclass(frozen=True)
class Answer:
    """The structured result of a tool, and its text if that is not the JSON of the result."""

    content: Mapping[str, Any]
    text: str = ""


def shown(item: MemoryItem) -> dict[str, Any]:
    """An item for a model: without vectors, and with its score if it was found by a search."""
    found = {
        "id": item.pk,
        "session_id": item.session_id,
        "time": stamp(item.timestamp),
        "type": item.item_type,
        "speaker": memory_settings.speaker(item),
        "text": item.text_content,
        "metadata": item.metadata,
        "expires": None if item.expiration is None else stamp(item.expiration),
    }
    known = {
        "importance": item.importance,
        "source": item.source,
        "valid_from": None if item.valid_from is None else stamp(item.valid_from),
        "valid_to": None if item.valid_to is None else stamp(item.valid_to),
        "superseded_by": item.superseded_by,
    }
    found |= {name: value for name, value in known.items() if value is not None}
    score = getattr(item, "score", None)
    return found if score is None else {**found, "score": round(score, 4), "valid": item.is_valid()}


def stamp(time: datetime) -> str:
    """A time in UTC."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def items_of(items: Sequence[Any]) -> Answer:
    """The answer with items; as many as fit a page."""
    return Answer({"items": [shown(item) for item in up_to(items, len(items) or 1).records]})


def known_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `KNOWN` that are given."""
    return {name: moment(given[name]) if name.startswith("valid") else given[name] for name in KNOWN if name in given}


def add(caller: Caller, given: Mapping[str, Any]) -> Answer:
    """Store an item."""
    named = {"role": given.get("role"), "name": given.get("speaker")}
    metadata = {**given.get("metadata", {}), **{name: value for name, value in named.items() if value is not None}}
    known = known_of(given)
    values: dict[str, Any] = {"time": "timestamp", "expires": "expiration"}
    times = {field: moment(given[name]) for name, field in values.items() if name in given}
    identity = {"id": given["id"]} if "id" in given else {}
    item = MemoryItem(
        user_id=caller.owner,
        session_id=given.get("session_id"),
        item_type=given.get("type", "message"),
        text_content=given["text"],
        metadata=metadata,
        **known,
        **times,
        **identity,
    )
    using = memory_settings.database
    # A savepoint inside of a transaction of the project: an id that is taken must not break it.
    inside = write_transaction(using) if in_transaction(connections[using]) else nullcontext()
    try:
        with naming([item.pk]), inside:
            item.save(using=using, force_insert=True)
    except IntegrityError as error:
        raise ToolError("There is an item with this id already. Nothing was stored.") from error
    return Answer({"id": item.pk, "time": stamp(item.timestamp)})


def search(caller: Caller, given: Mapping[str, Any]) -> Answer:
    """Search."""
    items = MemoryItem.objects.all()
    if "since" in given or "until" in given:
        items = items.between(*(moment(given[name]) if name in given else None for name in ("since", "until")))
    found = items.search(
        given["question"],
        user_id=caller.owner,
        session_id=given.get("session_id"),
        item_type=given.get("type"),
        limit=int(given.get("limit", 10)),
        min_score=float(given.get("min_score", 0)),
        asker=given.get("asker", ""),
    )
    return items_of(found)


def recent(caller: Caller, given: Mapping[str, Any]) -> Answer:
    """The newest items, oldest first."""
    limit = int(given.get("limit", TURNS))
    items = history.recent(caller.owner, given.get("session_id"), limit, most_bytes=PAGE_BYTES)
    return Answer({"items": [shown(item) for item in up_to(items, limit).records[::-1]]})


def get(caller: Caller, given: Mapping[str, Any]) -> Answer:
    """Items by id; those of others are not there."""
    ids = list(dict.fromkeys(given["ids"]))
    own: dict[str, MemoryItem] = {}
    read: set[str] = set()
    budget = ByteBudget(PAGE_BYTES)
    for some in batches(ids, IDS_AT_ONCE):
        if budget.is_spent:
            break
        found = live_records(memory_settings.database, list(some))
        mine = (found[pk] for pk in some if pk in found and found[pk].user_id == caller.owner)
        own |= {item.pk: item for item in budget.take(mine)}
        read.update(pk for pk in some if pk in own or pk not in found or found[pk].user_id != caller.owner)
    answer = items_of([own[pk] for pk in ids if pk in own])
    told = {item["id"] for item in answer.content["items"]}
    left_out = [pk for pk in ids if pk not in told and (pk in own or pk not in read)]
    missing = [pk for pk in ids if pk in read and pk not in own]
    return Answer({**answer.content, "missing": missing, "left_out": left_out})


def update(caller: Caller, given: Mapping[str, Any]) -> Answer:
    """Change an item."""
    fields = {"text": "text_content", "type": "item_type", "metadata": "metadata", "expires": "expiration"}
    changes = {field: given[name] for name, field in fields.items() if name in given} | known_of(given)
    if not changes:
        raise ToolError(f"Pass at least one of: {', '.join((*fields, *KNOWN))}.")
    if "expiration" in changes:
        changes["expiration"] = moment(changes["expiration"])
    merges = "metadata" in changes
    item = update_item(
        memory_settings.database, given["id"], validated_changes(changes, merges), merges, owner=caller.owner
    )
    if item is None:
        raise not_found()
    return Answer({"item": shown(item)})


def not_found() -> ToolError:
    """The same for an item of somebody else and for one that does not exist."""
    return ToolError("There is no item with this id.")


def forget(caller: Caller, given: Mapping[str, Any]) -> Answer:
    """Delete items."""
    if "id" in given:
        if len(given) > 1:
            raise ToolError("Pass an id alone, or what the items have in common.")
        one = MemoryItem.objects.filter(pk=given["id"], user_id=caller.owner)
        return Answer({"forgotten": one.delete()[1].get(MemoryItem._meta.label, 0)})
    if not given:
        raise ToolError("Pass an id, a session_id, a type or a time: nothing is forgotten without one of them.")
    filters: dict[str, Any] = {"item_type": given["type"]} if "type" in given else {}
    if "before" in given:
        filters["timestamp__lt"] = moment(given["before"])
    gone = forget_items(memory_settings.database, caller.owner, given.get("session_id"), parse(filters))
    return Answer({"forgotten": gone})


def sessions(caller: Caller, given: Mapping[str, Any]) -> Answer:
    """List conversations."""
    limit = int(given.get("limit", 20))
    rows, cursor = sessions_page(caller, limit, given.get("cursor"))
    return Answer({"sessions": [shown_session(row) for row in rows], "next_cursor": cursor})


def sessions_page(caller: Caller, limit: int, cursor: str | None) -> tuple[list[UserSession], str | None]:
    """A page of the caller's sessions, and the cursor of the next one. Raises `ToolError` for an invalid cursor."""
    before = None if cursor is None else session_at(caller, cursor)
    rows = sessions_after(memory_settings.database, caller.owner, limit + 1, before)
    return rows[:limit], (cursor_of(rows[limit - 1]) if len(rows) > limit else None)


def cursor_of(row: UserSession) -> str:
    """Where the next page begins: the time and the id of the last session."""
    return json.dumps([stamp(row.last_activity), row.session_id])


def session_at(caller: Caller, cursor: str) -> UserSession:
    """The session, as far as the order of the list needs it, that a cursor names."""
    try:
        time, session_id = json.loads(cursor)
        found = moment(time)
    except (ValueError, TypeError, AttributeError):
        found = None
    if found is None or not isinstance(session_id, str) or not session_id:
        raise ToolError("The cursor is invalid.")
    return UserSession(id=UserSession.make_id(caller.owner, session_id), last_activity=found)


def shown_session(row: UserSession) -> dict[str, Any]:
    """A session for a model."""
    times = {"started": stamp(row.started_at), "last_activity": stamp(row.last_activity)}
    return {"session_id": row.session_id, **times, "metadata": row.metadata}


def context(caller: Caller, given: Mapping[str, Any]) -> Answer:
    """Make a context."""
    turns = history.recent(caller.owner, given.get("session_id"), int(given.get("turns", TURNS)), most_bytes=PAGE_BYTES)
    found = MemoryItem.objects.search(
        given["question"], user_id=caller.owner, limit=RECALLED, min_score=float(given.get("min_score", 0))
    )
    made = context_of(turns, up_to(found, RECALLED).records, int(given.get("tokens", TOKENS)))
    ids = {"recent": [item.pk for item in made.recent], "recalled": [item.pk for item in made.recalled]}
    content = {"text": made.text, "tokens": made.tokens, **ids, "cut": len(made.cut), "summary": made.summary}
    return Answer(content, made.text or "The memory is empty.")

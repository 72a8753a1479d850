"""The tools: what a model may do with one user's memory. Each is a row of `TOOLS`, and a function of `callers.Caller`.

Arguments were validated by the tool's schema. Times are RFC 3339, in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import IntegrityError, connections

from memory import history
from memory.api.fields import prohibits_nul
from memory.api.pagination import PAGE_BYTES, up_to
from memory.backends.firestore.values.batching import batches
from memory.backends.firestore.values.sizes import ByteBudget
from memory.conf import memory_settings
from memory.contention import in_transaction, write_transaction
from memory.models import MemoryItem, UserSession
from memory.querysets import context_of
from memory.querysets.contexts import MOST_TOKENS, RECALLED, TOKENS, TURNS
from memory.search import MIN_SCORE
from memory.stores.changes import validated_changes
from memory.stores.deletion import forget_items
from memory.stores.filters import parse
from memory.stores.firestore import live_records, sessions_after
from memory.stores.updating import update_item
from memory.text_index import MOST_CHARACTERS, MOST_RESULTS

from .schemas import Schema, moment, obj

READ, WRITE, FORGET = "read", "write", "forget"
MOST_IDS: Final = 100
IDS_AT_ONCE: Final = 10
"""Items that `get` reads at once, since each may have 4 MB in memory."""
MOST_RECENT: Final = 200
MOST_SESSIONS: Final = 100
LONGEST_NAME: Final = 255


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


@dataclass(frozen=True)
class Tool:
    """A tool: its schemas, the scope that it needs, and whether it changes or destroys stored data."""

    title: str
    description: str
    scope: str
    arguments: Schema
    result: Schema
    run: Callable[[Caller, Mapping[str, Any]], Answer]
    destructive: bool = False
    idempotent: bool = True

    def described(self, name: str) -> dict[str, Any]:
        """The tool in a list."""
        return {
            "name": name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.arguments,
            "outputSchema": self.result,
            "annotations": {
                "title": self.title,
                "readOnlyHint": self.scope == READ,
                "destructiveHint": self.destructive,
                "idempotentHint": self.idempotent,
                "openWorldHint": False,
            },
        }


def text(description: str, longest: int = LONGEST_NAME, **more: Any) -> Schema:
    """The schema of a text that is not empty."""
    return {"type": "string", "minLength": 1, "maxLength": longest, "description": description, **more}


def number(description: str, default: int, most: int) -> Schema:
    """The schema of a count."""
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default, "description": description}


def a_time(description: str) -> Schema:
    """The schema of a time."""
    return text(f"{description} RFC 3339 with a time zone.", 40, format="date-time")


ID = text("The id of an item.", 1_500)
SESSION = text("The id of a conversation.")
TEXT = text("What was said, or what is to be remembered.", 1_000_000)
METADATA: Schema = {"type": "object", "description": "Any further data, by key."}
QUESTION = text("A question, or keywords, in the language of the memory.", MOST_CHARACTERS)
SCORE: Schema = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "default": 0,
    "description": f"Leave out items with a lower score, such as {MIN_SCORE}.",
}
EXPIRES = a_time("When the item is forgotten by itself.")

STRING: Schema = {"type": "string"}
ITEM: Schema = {
    "type": "object",
    "properties": {
        "id": STRING,
        "session_id": {"type": ["string", "null"]},
        "time": STRING,
        "type": STRING,
        "speaker": STRING,
        "text": {"type": ["string", "null"]},
        "metadata": {"type": "object"},
        "expires": {"type": ["string", "null"]},
        "score": {"type": "number"},
        "valid": {"type": "boolean"},
        "importance": {"type": "number"},
        "source": STRING,
        "valid_from": STRING,
        "valid_to": STRING,
        "superseded_by": STRING,
    },
    "required": ["id", "session_id", "time", "type", "speaker", "text", "metadata", "expires"],
}
ITEMS: Schema = {"type": "object", "properties": {"items": {"type": "array", "items": ITEM}}, "required": ["items"]}


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


KNOWN: Mapping[str, Schema] = {
    "supersedes": {
        "type": "array",
        "items": ID,
        "maxItems": MOST_IDS,
        "description": "Ids of items that this one corrects or replaces: they are not valid any more.",
    },
    "importance": {"type": "number", "minimum": 0, "maximum": 1, "description": "How important it is."},
    "source": text("Where it comes from: a document, a tool, a person."),
    "valid_from": a_time("From when on it is true."),
    "valid_to": a_time("Until when it is true."),
}
"""What is known of an item besides its text."""


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
        with inside:
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


def result(**properties: Schema) -> Schema:
    """The schema of a result with these properties, all of which it has."""
    return {"type": "object", "properties": properties, "required": list(properties)}


IDS: Schema = {"type": "array", "items": STRING}
COUNT: Schema = {"type": "integer"}

TOOLS: Mapping[str, Tool] = {
    "add": Tool(
        "Remember",
        "Store something in the memory: a message, a fact, an event. It is found again by `search` and `context`.",
        WRITE,
        obj(
            {
                "text": TEXT,
                "session_id": SESSION,
                "type": text("What it is: message (the default), fact, event, ..."),
                "role": text("The role of the speaker: user, assistant, system or tool."),
                "speaker": text("The name of the speaker."),
                "time": a_time("When it was said; by default now."),
                "expires": EXPIRES,
                "metadata": METADATA,
                **KNOWN,
                "id": text("An id of your own; by default one is made.", 1_500),
            },
            ["text"],
        ),
        result(id=STRING, time=STRING),
        add,
        idempotent=False,
    ),
    "search": Tool(
        "Search the memory",
        "Find what the memory has on a question, by words and by meaning, best first, each with a score from 0 to 1.",
        READ,
        obj(
            {
                "question": QUESTION,
                "session_id": SESSION,
                "type": text("Only items of this type."),
                "since": a_time("At or after this time."),
                "until": a_time("Before this time."),
                "limit": number("How many items at most.", 10, MOST_RESULTS),
                "min_score": SCORE,
                "asker": text("The speaker who says 'I' in the question, if it is not the user."),
            },
            ["question"],
        ),
        ITEMS,
        search,
    ),
    "recent": Tool(
        "Read recent turns",
        "The newest items of a conversation, or of all, in the order in which they were said.",
        READ,
        obj({"session_id": SESSION, "limit": number("How many items at most.", TURNS, MOST_RECENT)}),
        ITEMS,
        recent,
    ),
    "get": Tool(
        "Read items",
        "Items by their ids.",
        READ,
        obj({"ids": {"type": "array", "items": ID, "minItems": 1, "maxItems": MOST_IDS}}, ["ids"]),
        result(items=ITEMS["properties"]["items"], missing=IDS, left_out=IDS),
        get,
    ),
    "update": Tool(
        "Correct an item",
        "Replace the text or type of an item, change keys of its metadata (null removes one), or what is known of it.",
        WRITE,
        obj(
            {
                "id": ID,
                "text": TEXT,
                "type": text("The new type."),
                "metadata": {**METADATA, "description": "Keys to add or replace, at every level; null removes a key."},
                "expires": EXPIRES,
                **KNOWN,
            },
            ["id"],
        ),
        result(item=ITEM),
        update,
        destructive=True,
    ),
    "forget": Tool(
        "Forget",
        "Delete an item by its id, a whole conversation by its session_id, or the items of a type or before a time.",
        FORGET,
        obj(
            {
                "id": ID,
                "session_id": SESSION,
                "type": text("Items of this type."),
                "before": a_time("Items from before this time."),
            }
        ),
        result(forgotten=COUNT),
        forget,
        destructive=True,
    ),
    "sessions": Tool(
        "List conversations",
        "Conversations by their last activity, newest first.",
        READ,
        obj(
            {
                "limit": number("How many conversations at most.", 20, MOST_SESSIONS),
                "cursor": text("The `next_cursor` of the page before.", 1_000),
            }
        ),
        result(
            sessions={
                "type": "array",
                "items": result(session_id=STRING, started=STRING, last_activity=STRING, metadata={"type": "object"}),
            },
            next_cursor={"type": ["string", "null"]},
        ),
        sessions,
    ),
    "context": Tool(
        "Read the context of a question",
        "Recent turns and what the memory has on a question, as text within a budget of tokens.",
        READ,
        obj(
            {
                "question": QUESTION,
                "session_id": SESSION,
                "tokens": number("The most tokens of the text.", TOKENS, MOST_TOKENS),
                "turns": number("How many recent turns are considered.", TURNS, MOST_RECENT),
                "min_score": SCORE,
            },
            ["question"],
        ),
        result(text=STRING, tokens=COUNT, recent=IDS, recalled=IDS, cut=COUNT, summary=STRING),
        context,
    ),
}
"""The tools by name. All of them work on the caller's own memory."""


def nul_problem(given: Any) -> str:
    """The problem of a null character in any text, on a database that has none."""
    return "Null characters cannot be stored here." if prohibits_nul() and "\\u0000" in json.dumps(given) else ""

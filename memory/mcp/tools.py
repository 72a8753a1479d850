"""The tools: what a model may do with one user's memory. Each is a row of `TOOLS`, and a function of `calls`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from memory.api.fields import prohibits_nul
from memory.querysets.contexts import MOST_TOKENS, TOKENS, TURNS
from memory.search import MIN_SCORE
from memory.text_index import MOST_CHARACTERS, MOST_RESULTS

from . import calls
from .calls import FORGET, READ, WRITE, Answer, Caller
from .schemas import Schema, a_time, number, obj, result, text

MOST_IDS: Final = 100
MOST_RECENT: Final = 200
MOST_SESSIONS: Final = 100


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
"""What is known of an item besides its text: the arguments `calls.KNOWN`."""

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
        calls.add,
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
        calls.search,
    ),
    "recent": Tool(
        "Read recent turns",
        "The newest items of a conversation, or of all, in the order in which they were said.",
        READ,
        obj({"session_id": SESSION, "limit": number("How many items at most.", TURNS, MOST_RECENT)}),
        ITEMS,
        calls.recent,
    ),
    "get": Tool(
        "Read items",
        "Items by their ids.",
        READ,
        obj({"ids": {"type": "array", "items": ID, "minItems": 1, "maxItems": MOST_IDS}}, ["ids"]),
        result(items=ITEMS["properties"]["items"], missing=IDS, left_out=IDS),
        calls.get,
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
        calls.update,
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
        calls.forget,
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
        calls.sessions,
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
        calls.context,
    ),
}
"""The tools by name. All of them work on the caller's own memory."""


def nul_problem(given: Any) -> str:
    """The problem of a null character in any text, on a database that has none."""
    return "Null characters cannot be stored here." if prohibits_nul() and "\\u0000" in json.dumps(given) else ""

"""What OpenAPI tells of each operation, in one table: summary, description, bodies, examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import serializers

ITEM = {
    "id": "0f8e6c1b2a3d4e5f8a7b6c5d4e3f2a1b",
    "user_id": "ada",
    "session_id": "chat-1",
    "timestamp": "2026-01-31T12:00:00Z",
    "item_type": "message",
    "persona_active": "travel-guide",
    "text_content": "I prefer trains to planes.",
    "embedding": None,
    "metadata": {"role": "user", "topic": "travel"},
    "expiration": None,
}
FOUND = {
    **{name: value for name, value in ITEM.items() if name != "embedding"},
    "score": 1.62,
    "parts": {"lexical": 0.25, "neighbours": 0.71, "vector": 0.31, "substance": 0.35},
}
AGENT_DATA = {
    "id": "5d4e3f2a1b0f8e6c1b2a3d4e5f8a7b6c",
    "agent_id": "ada",
    "timestamp": "2026-01-31T12:00:05Z",
    "data_type": "plan",
    "content": {"steps": ["look up trains", "compare prices"]},
    "metadata": {"model": "planner-2"},
    "expiration": None,
}
SESSION = {
    "id": "ada:chat-1",
    "user_id": "ada",
    "session_id": "chat-1",
    "started_at": "2026-01-31T12:00:00Z",
    "last_activity": "2026-01-31T12:07:30Z",
    "metadata": {"title": "A journey by train"},
}


def chosen(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Some fields of an example."""
    return {name: record[name] for name in names}


NEW_ITEM = chosen(ITEM, "session_id", "item_type", "text_content", "metadata")
NEW_AGENT_DATA = chosen(AGENT_DATA, "data_type", "content", "metadata")
NEW_SESSION = chosen(SESSION, "session_id", "metadata")


@dataclass(frozen=True)
class Operation:
    """One operation; a body that is None is the view's own serializer, `status` that of success."""

    summary: str
    description: str = ""
    request: Any = None
    response: Any = None
    status: int = 200
    sent: Any = None
    answered: Any = None
    # Statuses of errors beside those that every operation has.
    errors: tuple[int, ...] = ()


def crud(
    one: str,
    many: str,
    record: Mapping[str, Any],
    new: Mapping[str, Any],
    change: Any,
    errors: tuple[int, ...] = (404,),
) -> dict[str, Operation]:
    """The six operations that all records have, by action; `errors` are of those with an id."""
    return {
        "list": Operation(f"List {many}", f"The live {many} that you may see, filtered, in pages.", answered=record),
        "create": Operation(
            f"Create {one}",
            "The record is yours, unless you may act for others and name one. An id that is taken is an error.",
            status=201,
            sent=new,
            answered=record,
        ),
        "retrieve": Operation(f"Retrieve {one}", answered=record, errors=errors),
        "update": Operation(
            f"Replace {one}", "Every field is needed, but for the id.", sent=record, answered=record, errors=errors
        ),
        "partial_update": Operation(
            f"Change {one}", "Fields that are left out stay.", sent=change, answered=record, errors=errors
        ),
        "destroy": Operation(f"Delete {one}", status=204, errors=errors),
    }


OPERATIONS: Mapping[str, Mapping[str, Operation]] = {
    "memory-items": {
        **crud("a memory item", "memory items", ITEM, NEW_ITEM, {"text_content": "I prefer night trains."}, (404, 405)),
        "bulk": Operation(
            "Create many memory items",
            "All or none: one row that is wrong, and nothing is written. Errors name their row: `items.3.item_type`.",
            response=serializers.CreatedSerializer,
            status=201,
            sent={"items": [NEW_ITEM, {**NEW_ITEM, "id": "my-own-id", "text_content": "And I travel light."}]},
            answered={"created": 2, "ids": [ITEM["id"], "my-own-id"]},
            errors=(409,),
        ),
        "check_duplicate": Operation(
            "Tell whether a memory item is there already",
            "A duplicate is a live item of the same user and type with exactly the same text.",
            response=serializers.DuplicateSerializer,
            sent=chosen(ITEM, "item_type", "text_content"),
            answered={"duplicate": True, "id": ITEM["id"]},
        ),
        "search": Operation(
            "Search memory items",
            "What one user's memory has to say, by words and by meaning, best first. It is your memory, unless you may "
            "act for others and name one.",
            response=serializers.FoundSerializer,
            answered={"results": [FOUND]},
            errors=(405,),
        ),
    },
    "agent-data": crud("agent data", "agent data", AGENT_DATA, NEW_AGENT_DATA, {"metadata": {"model": "planner-3"}}),
    "sessions": {
        **crud("a session", "sessions", SESSION, NEW_SESSION, {"metadata": {"title": "By night train"}}),
        "destroy": Operation("Delete a session", "With its conversation: every item in it.", status=204, errors=(404,)),
        "history": Operation(
            "Read a conversation",
            "The session's live items, newest first, in pages.",
            answered=ITEM,
            errors=(404,),
        ),
    },
}

ERRORS: Mapping[int, str] = {
    400: "The request is wrong: see `fields`.",
    401: "There are no credentials, or wrong ones.",
    403: "A session's request has no CSRF token.",
    404: "There is no such record among those that you may see.",
    405: "No id: `bulk`, `check-duplicate` and `search` are paths of the API.",
    406: "The Accept header asks for something other than JSON.",
    409: "Another request wrote one of these records meanwhile; nothing was written.",
    411: "The body's length is not told.",
    415: "The body is not `application/json`.",
    429: "Too many requests: wait as long as `Retry-After` says.",
    500: "A fault of the service.",
    503: "Storage, or the model of a search, does not answer: try again after `Retry-After`.",
}
EVERYWHERE = (400, 401, 406, 429, 500, 503)
# Of methods that write, and of those that have a body.
WRITING = (403, 411)
WITH_BODY = (415,)

ERROR_EXAMPLE = {
    "error": {
        "code": "invalid",
        "message": "Wrong in this request: item_type.",
        "fields": {"item_type": [{"code": "required", "message": "This field is required."}]},
    }
}

"""The OpenAPI description of each operation: summary, description, bodies, examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import serializers

ITEM: dict[str, Any] = {
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
    "supersedes": [],
    "superseded_by": None,
    "valid_from": None,
    "valid_to": None,
    "source": None,
    "derived_from": [],
    "importance": None,
}
SEARCH_RESULT = {
    **{name: value for name, value in ITEM.items() if name != "embedding"},
    "score": 0.81,
    "valid": True,
    "count": 1,
    "parts": {"z:short": 0.52, "z:own": 0.21, "user": 0.72},
}
CONTEXT_TEXT = "From memory:\n[2026-01-31 12:00] user: I prefer trains to planes."
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
ERASURE = {
    "user_id": "ada",
    "state": "finished",
    "erased": {"memory_items": 2, "user_sessions": 1},
    "go_on_at": None,
    "refused_until": "2026-02-01T12:00:00Z",
    "receipt": {"payload": '{"counts": {"memory_items": 2, "user_sessions": 1}, ...}', "signature": "pJ2s...Ag=="},
    "cost": {
        "owned": {"memory_items": 2, "user_sessions": 1},
        "looked_through": {"memory_idempotency_keys": 4},
        "reads": 29,
        "writes": 6,
        "deletes": 3,
        "price": 0.0000144,
    },
}
ERASING = (
    "Needs the permission `memory.erase_person`, for your own memory, too. A token that is limited to an owner may "
    "name that owner only."
)


def pick(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The named fields of an example."""
    return {name: record[name] for name in names}


NEW_ITEM = pick(ITEM, "session_id", "item_type", "text_content", "metadata")
NEW_AGENT_DATA = pick(AGENT_DATA, "data_type", "content", "metadata")
NEW_SESSION = pick(SESSION, "session_id", "metadata")


@dataclass(frozen=True)
class Operation:
    """One operation. A body of None means the view's serializer; `status` is the success status."""

    summary: str
    description: str = ""
    request: Any = None
    response: Any = None
    status: int = 200
    request_example: Any = None
    response_example: Any = None
    # Error statuses in addition to the common ones.
    errors: tuple[int, ...] = ()


def crud(
    one: str,
    many: str,
    record: Mapping[str, Any],
    new: Mapping[str, Any],
    change: Any,
    errors: tuple[int, ...] = (404,),
) -> dict[str, Operation]:
    """The six CRUD operations by action; `errors` are the statuses of those with an id in the path."""
    return {
        "list": Operation(
            f"List {many}",
            f"Lists {many} that you can read and that have not expired, with filters and pagination.",
            response_example=record,
        ),
        "create": Operation(
            f"Create {one}",
            "You are the owner, unless you may act for others and name another. An existing id is an error.",
            status=201,
            request_example=new,
            response_example=record,
        ),
        "retrieve": Operation(f"Retrieve {one}", response_example=record, errors=errors),
        "update": Operation(
            f"Replace {one}",
            "All fields are required, except for the id.",
            request_example=record,
            response_example=record,
            errors=errors,
        ),
        "partial_update": Operation(
            f"Update {one}",
            "Omitted fields keep their values.",
            request_example=change,
            response_example=record,
            errors=errors,
        ),
        "destroy": Operation(f"Delete {one}", status=204, errors=errors),
    }


def bulk(
    many: str, record: Mapping[str, Any], new: Mapping[str, Any], bodies: tuple[Any, Any], read: Any
) -> dict[str, Operation]:
    """The four bulk operations by action."""
    ids = [record["id"], "my-own-id"]
    rows = {"items": [new, {**new, "id": ids[1]}]}
    return {
        "bulk": Operation(
            f"Create many {many}",
            "Creates all records or none. Errors name the row: `items.3.metadata`.",
            request=bodies[0],
            response=serializers.CreatedSerializer,
            status=201,
            request_example=rows,
            response_example={"created": 2, "ids": ids},
            errors=(409, 413),
        ),
        "bulk_upsert": Operation(
            f"Create or replace many {many}",
            "Writes all records or none. A record whose id exists is replaced: omitted fields get their defaults. "
            "An id of a record that you cannot write is an error.",
            request=bodies[1],
            response=serializers.UpsertedSerializer,
            request_example=rows,
            response_example={
                "created": 1,
                "updated": 1,
                "results": [{"id": ids[0], "status": "created"}, {"id": ids[1], "status": "updated"}],
            },
            errors=(409, 413),
        ),
        "bulk_get": Operation(
            f"Retrieve many {many}",
            "A result for each id, in the order of the request. The records of a response have at most 8 MiB; those "
            "after that are `omitted`.",
            request=serializers.IdsSerializer,
            response=read,
            request_example={"ids": ids},
            response_example={
                "results": [
                    {"id": ids[0], "status": "found", "etag": '"0f8e6c1b2a3d4e5f8a7b6c5d4e3f2a1b"', "item": record},
                    {"id": ids[1], "status": "not_found", "etag": None, "item": None},
                ]
            },
        ),
        "bulk_delete": Operation(
            f"Delete many {many}",
            "Deletes those of the records that you can write, in one transaction.",
            request=serializers.IdsSerializer,
            response=serializers.DeletedSerializer,
            request_example={"ids": ids},
            response_example={
                "deleted": 1,
                "results": [{"id": ids[0], "status": "deleted"}, {"id": ids[1], "status": "not_found"}],
            },
            errors=(409, 413),
        ),
    }


OPERATIONS: Mapping[str, Mapping[str, Operation]] = {
    "memory-items": {
        **crud("a memory item", "memory items", ITEM, NEW_ITEM, {"text_content": "I prefer night trains."}, (404, 405)),
        **bulk(
            "memory items",
            ITEM,
            NEW_ITEM,
            (serializers.MemoryItemBulkSerializer, serializers.MemoryItemUpsertSerializer),
            serializers.MemoryItemsReadSerializer,
        ),
        "check_duplicate": Operation(
            "Check for a duplicate memory item",
            "A duplicate is an item with the same user, type and text that has not expired.",
            response=serializers.DuplicateSerializer,
            request_example=pick(ITEM, "item_type", "text_content"),
            response_example={"duplicate": True, "id": ITEM["id"]},
        ),
        "context": Operation(
            "Make a context for a language model",
            "Recent turns of a session and what one user's memory has on a question, without doubles, dated and "
            "attributed, in order, and cut to a budget of tokens. The question is in the body, not in logs of URLs.",
            response=serializers.ContextSerializer,
            request_example={"question": "Does she prefer trains?", "session_id": "chat-1", "tokens": 500},
            response_example={
                "text": CONTEXT_TEXT,
                "tokens": 34,
                "recent": [],
                "recalled": [{name: value for name, value in ITEM.items() if name != "embedding"}],
                "summary": "",
                "cut": 0,
                "is_truncated": False,
            },
        ),
        "search": Operation(
            "Search memory items",
            "Full-text and semantic search in one user's memory, best match first: in yours, unless you may "
            "act for others and name another user.",
            response=serializers.FoundSerializer,
            response_example={"results": [SEARCH_RESULT], "nothing_found": False, "waiting": 0},
            errors=(405,),
        ),
        "search_many": Operation(
            "Search memory items for several questions",
            "As the search by GET, for up to 10 questions, each with results of its own. The questions are in the "
            "body, so no log of URLs has them.",
            request=serializers.QuestionsSerializer,
            response=serializers.AnswersSerializer,
            request_example={"questions": ["Does she prefer trains?", "Where does she live?"], "min_score": 0.2},
            response_example={
                "searches": [
                    {"q": "Does she prefer trains?", "results": [SEARCH_RESULT], "nothing_found": False, "waiting": 0},
                    {"q": "Where does she live?", "results": [], "nothing_found": True, "waiting": 0},
                ]
            },
        ),
    },
    "agent-data": {
        **crud(
            "agent data", "agent data", AGENT_DATA, NEW_AGENT_DATA, {"metadata": {"model": "planner-3"}}, (404, 405)
        ),
        **bulk(
            "agent data",
            AGENT_DATA,
            NEW_AGENT_DATA,
            (serializers.AgentDataBulkSerializer, serializers.AgentDataUpsertSerializer),
            serializers.AgentDataManyReadSerializer,
        ),
    },
    "sessions": {
        **crud("a session", "sessions", SESSION, NEW_SESSION, {"metadata": {"title": "By night train"}}),
        "destroy": Operation("Delete a session", "Deletes the session and all its items.", status=204, errors=(404,)),
        "history": Operation(
            "List a session's items",
            "The session's items that have not expired, newest first, with pagination.",
            response_example=ITEM,
            errors=(404,),
        ),
    },
    "people": {
        "erasure": Operation(
            "Retrieve the cost and the state of an erasure",
            "What erasing this person would cost now, how far an erasure is that was begun, and its receipt until "
            f"`refused_until`. Changes nothing. {ERASING}",
            response_example=ERASURE | {"state": "none", "erased": {}, "refused_until": None, "receipt": None},
            errors=(403, 404),
        ),
        "erase": Operation(
            "Erase a person",
            "Erases everything of this person, up to 5,000 records in one request, and refuses writes of the person. "
            "Send it again until `state` is `finished`, after `go_on_at` if there is one: writes that were under way "
            "when the erasure began must have ended. A request that is repeated goes on; use a new Idempotency-Key for "
            f"each step. {ERASING}",
            request=serializers.ErasureQuerySerializer,
            request_example={"keep_hours": 24, "scan": True},
            response_example=ERASURE,
            errors=(404,),
        ),
    },
}

ERRORS: Mapping[int, str] = {
    400: "Invalid request; see `fields`.",
    401: "Missing or invalid credentials.",
    403: "A missing permission or scope, or a missing or invalid CSRF token (session authentication).",
    404: "The record does not exist, or you cannot read it.",
    304: "The client has the record already: `If-None-Match` names its tag.",
    405: "Method not allowed: `bulk`, `check-duplicate`, `context` and `search` are paths, not ids.",
    406: "The Accept header does not allow JSON.",
    409: "A concurrent request wrote one of these records, or has the same Idempotency-Key. Nothing was written.",
    411: "Missing Content-Length.",
    412: "The record is not the one that `If-Match` names. Nothing was written.",
    413: "The records together exceed the limit of one commit. Nothing was written.",
    415: "The body is not `application/json`.",
    422: "The Idempotency-Key was used for another request. Nothing was written.",
    429: "Too many requests. Try again after `Retry-After` seconds.",
    500: "Internal server error, or `outcome_unknown`: read the record before you repeat the write.",
    503: "Contention, or storage or the embedding model is unavailable. Try again after `Retry-After` seconds.",
}
EVERYWHERE = (400, 401, 406, 429, 500, 503)
# Statuses of methods that write, and of methods with a body.
WRITING = (403, 411)
WITH_BODY = (415,)
# Statuses of operations that accept an Idempotency-Key.
WITH_KEY = (409, 422)
# Statuses of operations that accept conditions.
CONDITIONAL = (412,)

ERROR_EXAMPLE = {
    "error": {
        "code": "invalid",
        "message": "Invalid values: item_type.",
        "fields": {"item_type": [{"code": "required", "message": "This field is required."}]},
        "request_id": "5f0c1e7ab2d94c5f8e21d7f0a3b4c5d6",
    }
}

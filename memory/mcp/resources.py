"""The resources: conversations of the caller, as `memory://sessions/{session_id}`."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, unquote

from django.utils import timezone

from memory import history, limits
from memory.api.pagination import PAGE_BYTES
from memory.conf import memory_settings
from memory.context import Line, rendered
from memory.models import UserSession

from .calls import Caller, ToolError, sessions_page
from .protocol import INVALID_PARAMS, NOT_FOUND_BEFORE_2026, Message, ProtocolError
from .tools import MOST_RECENT

PREFIX: Final = "memory://sessions/"
MIME_TYPE: Final = "text/plain"
AT_ONCE: Final = 50


def templates() -> list[dict[str, Any]]:
    """The templates of addresses."""
    return [
        {
            "uriTemplate": f"{PREFIX}{{session_id}}",
            "name": "conversation",
            "title": "Conversation",
            "description": f"The newest {MOST_RECENT} items of a conversation, oldest first, with time and speaker.",
            "mimeType": MIME_TYPE,
        }
    ]


def listed(message: Message, caller: Caller) -> dict[str, Any]:
    """A page of conversations, by their last activity."""
    cursor = message.params.get("cursor")
    if cursor is not None and not isinstance(cursor, str):
        raise ProtocolError(INVALID_PARAMS, "The cursor must be a string.")
    try:
        rows, following = sessions_page(caller, AT_ONCE, cursor)
    except ToolError as error:
        raise ProtocolError(INVALID_PARAMS, str(error)) from error
    found = {"resources": [_described(row) for row in rows]}
    return found if following is None else {**found, "nextCursor": following}


def _described(row: UserSession) -> dict[str, Any]:
    title = row.metadata.get("title")
    return {
        "uri": f"{PREFIX}{quote(row.session_id, safe='')}",
        "name": row.session_id,
        **({"title": title} if isinstance(title, str) and title else {}),
        "mimeType": MIME_TYPE,
        "annotations": {"lastModified": row.last_activity.isoformat()},
    }


def contents(message: Message, caller: Caller) -> dict[str, Any]:
    """The items of a conversation."""
    uri = message.params.get("uri")
    if not isinstance(uri, str):
        raise ProtocolError(INVALID_PARAMS, "uri must be a string.")
    session_id = session_in(uri)
    if not _exists(caller, session_id):
        code = INVALID_PARAMS if message.is_modern else NOT_FOUND_BEFORE_2026
        raise ProtocolError(code, "Resource not found.", {"uri": uri})
    items = history.recent(caller.owner, session_id, MOST_RECENT, most_bytes=PAGE_BYTES)
    lines = [
        Line(item.pk, timezone.localtime(item.timestamp), memory_settings.speaker(item), item.text_content or "")
        for item in reversed(items)
    ]
    text = "\n".join(rendered(line) for line in lines)
    return {"contents": [{"uri": uri, "mimeType": MIME_TYPE, "text": text}]}


def session_in(uri: object) -> str:
    """The id of the session that a URI names; empty if it names none."""
    is_ours = isinstance(uri, str) and uri.startswith(PREFIX)
    return unquote(str(uri).removeprefix(PREFIX), errors="replace") if is_ours else ""


def _exists(caller: Caller, session_id: str) -> bool:
    pk = UserSession.make_id(caller.owner, session_id)
    if not session_id or limits.document_id_problem(pk) or "\0" in session_id:
        return False
    return history.session(caller.owner, session_id) is not None

"""The methods of the protocol: a message of a caller, and the result. The same for HTTP and stdio."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rest_framework import exceptions
from rest_framework.views import set_rollback

from memory.api.errors import OutcomeUnknown, error_body, translate
from memory.extras import MissingExtra
from memory.lifecycle import audit

from . import protocol, resources, tools
from .calls import FORGET, READ, WRITE, Answer, Caller, ToolError
from .protocol import INVALID_PARAMS, METHOD_NOT_FOUND, Message, ProtocolError
from .schemas import problems
from .tools import TOOLS

logger = logging.getLogger(__name__)

INSTRUCTIONS: Final = (
    "A memory of one user: conversations, facts and events. Call `context` before you answer, `add` for what is worth "
    "remembering, `search` for a question, and `forget` only if the user asks for it."
)
CAPABILITIES: Final[Mapping[str, Any]] = {"tools": {}, "resources": {}}
ACTIONS: Final[Mapping[str, str]] = {READ: audit.READ, WRITE: audit.WRITE, FORGET: audit.ERASE}
"""Actions of the audit trail by the scope of a tool."""
RESOURCES: Final = frozenset({"resources/list", "resources/read"})
"""Methods besides calls of tools that show what is stored."""
UNKNOWN: Final = "The storage did not confirm this call, so it may have been applied. Look before you repeat it."
IDS: Final = "With `get` you see whether these are stored: {}."
LISTS_FOR_MS: Final = 300_000
"""How long a client may keep the list of tools, in milliseconds; stored data may not be kept."""


class InsufficientScopeError(ProtocolError):
    """The caller's token lacks a scope."""

    def __init__(self, scope: str) -> None:
        super().__init__(protocol.REFUSED, f"The token needs the scope {scope!r}.", {"scope": scope}, status=403)
        self.scope = scope


@dataclass(frozen=True)
class Method:
    """A method, whether a revision without or with a handshake has it, and the time for which a result may be kept."""

    run: Callable[[Message, Caller], Mapping[str, Any]]
    modern: bool = True
    handshake: bool = True
    cached_ms: int | None = None
    scope: str = ""


def answer(message: Message, caller: Caller) -> dict[str, Any] | None:
    """The response to a message; None for a notification. Raises `ProtocolError`."""
    if message.id is None:
        return None
    method = METHODS.get(message.method)
    if method is None or not (method.modern if message.is_modern else method.handshake):
        raise ProtocolError(METHOD_NOT_FOUND, "There is no such method.")
    try:
        if method.scope and method.scope not in caller.scopes:
            raise InsufficientScopeError(method.scope)
        result = method.run(message, caller)
    except ProtocolError:
        record(message, caller, "refused")
        raise
    record(message, caller, "failed" if result.get("isError") else "done", count_in(result))
    if message.is_modern and method.cached_ms is not None:
        result = {**result, "ttlMs": method.cached_ms, "cacheScope": "private"}
    return protocol.response(message, result)


def record(message: Message, caller: Caller, outcome: str, count: int | None = None) -> None:
    """Record a call of a tool, or what a caller reads of resources, in the audit trail."""
    ids: tuple[str, ...]
    if message.method in RESOURCES:
        action, shown = audit.READ, message.method
        session_id = resources.session_in(message.params.get("uri"))
        ids = (session_id,) if session_id else ()
    elif message.method == "tools/call":
        name = message.params.get("name")
        tool = TOOLS.get(name) if isinstance(name, str) else None
        action, shown = (ACTIONS[tool.scope], str(name)) if tool is not None else (audit.READ, "unknown tool")
        ids = tuple(audit.ids_in(message.params.get("arguments")))
    else:
        return
    audit.emit(audit.Record(audit.MCP, action, shown, caller.owner, ids=ids, count=count, outcome=outcome))


def count_in(result: Mapping[str, Any]) -> int | None:
    """The number of items, or of conversations, that a result has; None for a result of another form."""
    content = result.get("structuredContent")
    items = content.get("items") if isinstance(content, Mapping) else result.get("resources")
    return len(items) if isinstance(items, list) else None


def discover(message: Message, caller: Caller) -> Mapping[str, Any]:
    """What the server speaks."""
    versions = list(protocol.VERSIONS)
    return {"supportedVersions": versions, "capabilities": CAPABILITIES, "instructions": INSTRUCTIONS}


def initialize(message: Message, caller: Caller) -> Mapping[str, Any]:
    """The handshake of earlier revisions; nothing is kept of it."""
    return {
        "protocolVersion": protocol.negotiated(message.params.get("protocolVersion")),
        "capabilities": CAPABILITIES,
        "serverInfo": protocol.SERVER,
        "instructions": INSTRUCTIONS,
    }


def list_tools(message: Message, caller: Caller) -> Mapping[str, Any]:
    """The tools that the caller may call; one page."""
    if message.params.get("cursor") is not None:
        raise ProtocolError(INVALID_PARAMS, "The cursor is invalid: the list has one page.")
    return {"tools": [tool.described(name) for name, tool in TOOLS.items() if tool.scope in caller.scopes]}


def call_tool(message: Message, caller: Caller) -> Mapping[str, Any]:
    """The result of a tool. What the model can correct is a result with `isError`."""
    name, given = message.params.get("name"), message.params.get("arguments", {})
    tool = TOOLS.get(name) if isinstance(name, str) else None
    if tool is None:
        raise ProtocolError(INVALID_PARAMS, "There is no such tool.")
    if tool.scope not in caller.scopes:
        raise InsufficientScopeError(tool.scope)
    wrong = problems(given, tool.arguments)
    if not wrong and (problem := tools.nul_problem(given)):
        wrong = {"arguments": problem}
    if wrong:
        return failed("; ".join(f"{argument}: {problem}" for argument, problem in wrong.items()))
    try:
        return succeeded(tool.run(caller, given))
    except (ToolError, MissingExtra) as error:
        return failed(str(error))
    except Exception as error:  # noqa: BLE001  (the edge: the model gets a message, the log the cause)
        return failed(message_of(error))


def succeeded(made: Answer) -> Mapping[str, Any]:
    """The result of a call."""
    text = made.text or json.dumps(made.content, ensure_ascii=False)
    return {"content": [{"type": "text", "text": text}], "structuredContent": made.content, "isError": False}


def failed(message: str) -> Mapping[str, Any]:
    """The result of a call that failed."""
    return {"content": [{"type": "text", "text": message}], "isError": True}


def message_of(error: Exception) -> str:
    """The API's message for an error of a call. What the call wrote in a transaction of the project is undone."""
    set_rollback()
    known = translate(error)
    if known is None:
        logger.error("A call of a tool failed.", exc_info=error)
        return "Internal error. The cause is in the server's log."
    if isinstance(known, OutcomeUnknown):
        return f"{UNKNOWN} {IDS.format(', '.join(known.ids))}" if known.ids else UNKNOWN
    body = error_body(known)["error"]
    if not isinstance(known, exceptions.ValidationError):
        return str(body["message"])
    fields = body["fields"].items()
    return "; ".join(f"{field}: {' '.join(each['message'] for each in found)}" for field, found in fields)


def templates(message: Message, caller: Caller) -> Mapping[str, Any]:
    """The templates of resources."""
    return {"resourceTemplates": resources.templates()}


def nothing(message: Message, caller: Caller) -> Mapping[str, Any]:
    """An empty result."""
    return {}


METHODS: Final[Mapping[str, Method]] = {
    "server/discover": Method(discover, handshake=False, cached_ms=LISTS_FOR_MS),
    "initialize": Method(initialize, modern=False),
    "ping": Method(nothing, modern=False),
    "tools/list": Method(list_tools, cached_ms=LISTS_FOR_MS),
    "tools/call": Method(call_tool),
    "resources/list": Method(resources.listed, cached_ms=0, scope=READ),
    "resources/templates/list": Method(templates, cached_ms=LISTS_FOR_MS, scope=READ),
    "resources/read": Method(resources.contents, cached_ms=0, scope=READ),
}

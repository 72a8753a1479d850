"""Messages of the protocol, read without I/O: JSON-RPC 2.0, the revisions of MCP, and the headers of HTTP.

A message of revision 2026-07-28 stands alone: its `params._meta` has the version and the client's capabilities, and
over HTTP headers repeat version, method and name. Earlier revisions negotiate by `initialize`; each request is
answered without it, too. https://modelcontextprotocol.io/specification/2026-07-28/basic
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from memory.version import __version__

MODERN: Final = ("2026-07-28",)
HANDSHAKE: Final = ("2025-11-25", "2025-06-18", "2025-03-26")
"""Revisions with `initialize`, newest first. Batches, which 2025-03-26 had, are refused."""
VERSIONS: Final = (*MODERN, *HANDSHAKE)
ASSUMED: Final = "2025-03-26"
"""The revision of a request without a header, by the specification."""

PREFIX: Final = "io.modelcontextprotocol/"
VERSION_KEY, CAPABILITIES_KEY = f"{PREFIX}protocolVersion", f"{PREFIX}clientCapabilities"
VERSION_HEADER, METHOD_HEADER, NAME_HEADER = "mcp-protocol-version", "mcp-method", "mcp-name"
NAMED: Final[Mapping[str, str]] = {"tools/call": "name", "resources/read": "uri", "prompts/get": "name"}
"""By method, the parameter that `Mcp-Name` repeats."""
ENCODED = re.compile(r"=\?base64\?(?P<payload>.*)\?=")

SERVER: Final = {"name": "orchestra-memory", "title": "Memory", "version": __version__}

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022
REFUSED: Final = -32000
"""What is refused before a message is looked at: without credentials, above the throttle, ..."""
NOT_FOUND_BEFORE_2026: Final = -32002
"""A resource that does not exist, up to 2025-11-25."""

STATUSES: Final[Mapping[int, int]] = {METHOD_NOT_FOUND: 404, INTERNAL_ERROR: 500}
"""HTTP status by error code; 400 for others."""


class ProtocolError(Exception):
    """An error of JSON-RPC. `status` is that of the HTTP response."""

    def __init__(self, code: int, message: str, data: Any = None, status: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data
        self.status = STATUSES.get(code, 400) if status is None else status


@dataclass(frozen=True)
class Message:
    """A request, or with `id` None a notification, of one revision of the protocol."""

    id: str | int | None
    method: str
    params: Mapping[str, Any]
    version: str

    @property
    def is_modern(self) -> bool:
        """Whether its revision has no handshake."""
        return self.version in MODERN


def id_of(body: object) -> str | int | None:
    """The id of a request, to be named in an error; None if it has no valid one."""
    found = body.get("id") if isinstance(body, Mapping) else None
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None


def read(body: object, headers: Mapping[str, str] | None = None) -> Message:
    """The message of a JSON body. `headers` are those of HTTP, by their names in lower case; None for stdio.

    Raises `ProtocolError`.
    """
    message = _envelope(body)
    meta = message.params.get("_meta")
    has_version = isinstance(meta, Mapping) and VERSION_KEY in meta
    version = ASSUMED if headers is None else headers.get(VERSION_HEADER, ASSUMED)
    if message.id is None:
        _check_served(version)
    elif has_version or version not in HANDSHAKE:
        version = _checked_version(message, meta, headers)
    return replace(message, version=version)


def _envelope(body: object) -> Message:
    if isinstance(body, list):
        raise ProtocolError(INVALID_REQUEST, "Batches are not supported: send one message in a request.")
    if not isinstance(body, Mapping) or body.get("jsonrpc") != "2.0" or not isinstance(body.get("method"), str):
        raise ProtocolError(INVALID_REQUEST, "The body must be one request or notification of JSON-RPC 2.0.")
    if "id" in body and id_of(body) is None:
        raise ProtocolError(INVALID_REQUEST, "The id of a request must be a string or an integer.")
    params = body.get("params", {})
    if not isinstance(params, Mapping):
        raise ProtocolError(INVALID_PARAMS, "params must be an object.")
    return Message(id_of(body), body["method"], params, "")


def _check_served(version: str) -> None:
    """For notifications, which change nothing: only a version that is not served is refused."""
    if version not in VERSIONS:
        raise unsupported(version)


def _checked_version(message: Message, meta: object, headers: Mapping[str, str] | None) -> str:
    """The revision of a message without a handshake. Raises `ProtocolError` for the first thing that is wrong."""
    missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if not isinstance(meta, Mapping) or key not in meta]
    if missing or not isinstance(meta, Mapping):
        raise ProtocolError(INVALID_PARAMS, f"params._meta lacks: {', '.join(missing)}.")
    version = meta[VERSION_KEY]
    if headers is not None:
        _check_headers(message, version, headers)
    if not isinstance(version, str):
        raise ProtocolError(INVALID_PARAMS, f"{VERSION_KEY} must be a string.")
    if not isinstance(meta[CAPABILITIES_KEY], Mapping):
        raise ProtocolError(INVALID_PARAMS, f"{CAPABILITIES_KEY} must be an object.")
    if version not in MODERN:
        raise unsupported(version)
    return version


def _check_headers(message: Message, version: object, headers: Mapping[str, str]) -> None:
    if headers.get(VERSION_HEADER) != version:
        raise ProtocolError(HEADER_MISMATCH, "The header MCP-Protocol-Version differs from the version in _meta.")
    if headers.get(METHOD_HEADER) != message.method:
        raise ProtocolError(HEADER_MISMATCH, "The header Mcp-Method differs from the method.")
    name = NAMED.get(message.method)
    if name is None or message.params.get(name) is None:
        return
    if decoded(headers.get(NAME_HEADER)) != message.params[name]:
        raise ProtocolError(HEADER_MISMATCH, f"The header Mcp-Name differs from the parameter {name!r}.")


def unsupported(version: object) -> ProtocolError:
    """The error for a revision that is not served."""
    data = {"supported": list(VERSIONS), "requested": version}
    return ProtocolError(UNSUPPORTED_VERSION, "This protocol version is not supported.", data)


def decoded(value: str | None) -> str | None:
    """The value of a header, which may be `=?base64?...?=`; None if that is malformed."""
    found = ENCODED.fullmatch(value) if value is not None else None
    if found is None:
        return value
    try:
        raw = base64.b64decode(found["payload"], validate=True)
        text = raw.decode()
    except (binascii.Error, ValueError):
        return None
    return text if base64.b64encode(raw).decode() == found["payload"] else None


def negotiated(wanted: object) -> str:
    """The revision that `initialize` answers: the wanted one, or the newest one with a handshake."""
    return wanted if isinstance(wanted, str) and wanted in HANDSHAKE else HANDSHAKE[0]


def response(message: Message, result: Mapping[str, Any]) -> dict[str, Any]:
    """The response to a request."""
    if message.is_modern:
        result = {"resultType": "complete", **result, "_meta": {f"{PREFIX}serverInfo": SERVER}}
    return {"jsonrpc": "2.0", "id": message.id, "result": result}


def error_response(message_id: str | int | None, error: ProtocolError) -> dict[str, Any]:
    """The response to a request that failed; `message_id` is None if the request has no valid id."""
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return {"jsonrpc": "2.0", "id": message_id, "error": body}

"""Messages as the specification has them, and those that it does not."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from memory.mcp import protocol
from memory.mcp.protocol import CAPABILITIES_KEY, VERSION_KEY, ProtocolError

from .conftest import MODERN, headers_for, request


def refused(body: Any, headers: dict[str, str] | None = None) -> int:
    """The code of the error for a body."""
    with pytest.raises(ProtocolError) as raised:
        protocol.read(body, None if headers is None else {name.lower(): value for name, value in headers.items()})
    return raised.value.code


@pytest.mark.parametrize(
    "body",
    [
        [],
        [request("ping", version=None)],
        {},
        "ping",
        5,
        None,
        {"jsonrpc": "1.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": 1, "method": 5},
        {"jsonrpc": "2.0", "id": None, "method": "ping"},
        {"jsonrpc": "2.0", "id": True, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1.5, "method": "ping"},
        {"jsonrpc": "2.0", "id": {}, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
    ],
)
def test_what_is_no_message_is_refused(body: Any) -> None:
    """A batch, a response, a malformed envelope: -32600."""
    assert refused(body) == refused(body, {}) == protocol.INVALID_REQUEST


@pytest.mark.parametrize("params", [[], "x", 5, None])
def test_parameters_are_an_object(params: Any) -> None:
    """Else -32602."""
    assert refused({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": params}) == protocol.INVALID_PARAMS


@pytest.mark.parametrize(
    ("meta", "code"),
    [
        (None, protocol.INVALID_PARAMS),
        ({}, protocol.INVALID_PARAMS),
        ({VERSION_KEY: MODERN}, protocol.INVALID_PARAMS),
        ({CAPABILITIES_KEY: {}}, protocol.INVALID_PARAMS),
        ({VERSION_KEY: MODERN, CAPABILITIES_KEY: []}, protocol.INVALID_PARAMS),
        ({VERSION_KEY: "2025-11-25", CAPABILITIES_KEY: {}}, protocol.HEADER_MISMATCH),
        ({VERSION_KEY: 5, CAPABILITIES_KEY: {}}, protocol.HEADER_MISMATCH),
    ],
)
def test_a_message_without_a_handshake_says_what_it_speaks(meta: Any, code: int) -> None:
    """In `_meta`, and as its header does."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} if meta is None else {"_meta": meta}}
    assert refused(body, headers_for(body)) == code


@pytest.mark.parametrize(
    "change",
    [
        {"MCP-Protocol-Version": "2025-11-25"},
        {"MCP-Protocol-Version": ""},
        {"MCP-Protocol-Version": f"{MODERN}, {MODERN}"},
        {"Mcp-Method": "tools/list"},
        {"Mcp-Method": "TOOLS/CALL"},
        {"Mcp-Method": ""},
        {"Mcp-Name": "other"},
        {"Mcp-Name": ""},
        {"Mcp-Name": "=?base64?!?="},
        {"Mcp-Name": f"=?base64?{base64.b64encode(b'other').decode()}?="},
    ],
)
def test_headers_repeat_the_message(change: dict[str, str]) -> None:
    """A gateway routes by them, so they must not lie: -32020."""
    body = request("tools/call", {"name": "recent"})
    headers = {name: value for name, value in {**headers_for(body), **change}.items() if value}
    assert refused(body, headers) == protocol.HEADER_MISMATCH


def test_a_name_may_be_encoded() -> None:
    """As names that are no plain ASCII must be."""
    body = request("resources/read", {"uri": "memory://sessions/ü"})
    encoded = base64.b64encode("memory://sessions/ü".encode()).decode()
    headers = {**headers_for(body), "Mcp-Name": f"=?base64?{encoded}?="}
    assert protocol.read(body, {name.lower(): value for name, value in headers.items()}).is_modern


@pytest.mark.parametrize("version", ["2027-01-01", "1.0", "2024-11-05"])
def test_an_unknown_version_is_refused_with_those_that_are_served(version: str) -> None:
    """-32022."""
    body = request("tools/list")
    body["params"]["_meta"][VERSION_KEY] = version
    headers = {"mcp-protocol-version": version, "mcp-method": "tools/list"}
    with pytest.raises(ProtocolError) as raised:
        protocol.read(body, headers)
    assert raised.value.code == protocol.UNSUPPORTED_VERSION
    assert raised.value.data == {"supported": list(protocol.VERSIONS), "requested": version}
    notification = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert refused(notification, headers) == protocol.UNSUPPORTED_VERSION


@pytest.mark.parametrize("version", [*protocol.HANDSHAKE, None])
def test_earlier_revisions_need_nothing_more(version: str | None) -> None:
    """A missing header means 2025-03-26."""
    headers = {} if version is None else {"mcp-protocol-version": version}
    message = protocol.read(request("ping", version=None), headers)
    assert (message.version, message.is_modern) == (version or "2025-03-26", False)


@pytest.mark.parametrize(
    ("wanted", "got"),
    [*((one, one) for one in protocol.HANDSHAKE), ("2026-07-28", "2025-11-25"), ("x", "2025-11-25"), (5, "2025-11-25")],
)
def test_a_handshake_negotiates(wanted: Any, got: str) -> None:
    """The wanted revision, or the newest one that has a handshake."""
    assert protocol.negotiated(wanted) == got


def test_on_stdio_the_message_alone_decides() -> None:
    """There are no headers."""
    assert protocol.read(request("tools/list")).is_modern
    assert not protocol.read(request("tools/list", version=None)).is_modern

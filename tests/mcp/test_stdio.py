"""`manage.py memory_mcp`: messages by the line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from memory.mcp import stdio
from memory.mcp.calls import Caller
from memory.models import MemoryItem

from .conftest import request

pytestmark = pytest.mark.django_db(databases=["default", "memory"])


def replies(*lines: Any, caller: Caller | None = None) -> list[Any]:
    """What is answered to lines."""
    raw = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    target = io.BytesIO()
    stdio.serve(io.BytesIO(raw), target, caller or Caller("ada"))
    return [json.loads(line) for line in target.getvalue().splitlines()]


def test_messages_of_both_kinds() -> None:
    """With and without a handshake; notifications have no answer."""
    hello = request("initialize", {"protocolVersion": "2025-06-18"}, None)
    call = request("tools/call", {"name": "add", "arguments": {"text": "grüße 😀"}})
    found = replies(hello, {"jsonrpc": "2.0", "method": "notifications/initialized"}, b"", call)
    assert found[0]["result"]["protocolVersion"] == "2025-06-18"
    assert found[1]["result"]["structuredContent"]["id"] == MemoryItem.objects.get(user_id="ada").pk
    assert len(found) == 2


def test_what_is_wrong_has_an_answer_and_the_next_message_too(settings: Any) -> None:
    """Malformed, too long, unknown, failing."""
    settings.MEMORY = {**settings.MEMORY, "MAX_RECORD_BYTES": 1_000}
    ping = request("ping", None, None)
    found = replies(b"{", b"x" * 5_000, [ping], request("none", None, None), ping)
    assert [one.get("error", {}).get("code") for one in found] == [-32700, -32700, -32600, -32601, None]
    assert [one["id"] for one in found] == [None, None, None, 7, 7]


def test_scopes_hold() -> None:
    """As those of a token."""
    reader = Caller("ada", frozenset({"read"}))
    call = request("tools/call", {"name": "add", "arguments": {"text": "x"}})
    [found] = replies(call, caller=reader)
    assert found["error"]["data"] == {"scope": "write"}
    assert not MemoryItem.objects.exists()


def test_an_unexpected_error_does_not_end_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered as an internal error."""

    def fail(*args: Any, **options: Any) -> None:
        raise LookupError("a secret")

    monkeypatch.setattr("memory.mcp.resources.sessions_page", fail)
    found = replies(request("resources/list"), request("ping", None, None))
    assert [one.get("error", {}).get("code") for one in found] == [-32603, None]
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize("active", [True, False])
def test_the_command_needs_an_active_user(make_user: Callable[..., Any], active: bool) -> None:
    """By name."""
    if not active:
        user = make_user("ada")
        user.is_active = False
        user.save()
    with pytest.raises(CommandError, match="ada"):
        call_command("memory_mcp", "ada")

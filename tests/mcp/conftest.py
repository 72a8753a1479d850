"""Clients of the MCP server over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from memory.access.models import AccessToken
from memory.mcp.protocol import CAPABILITIES_KEY, NAMED, VERSION_KEY

URL = "/mcp"
MODERN = "2026-07-28"


@pytest.fixture(autouse=True)
def _fresh_throttles() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def request(method: str, params: Mapping[str, Any] | None = None, version: str | None = MODERN) -> dict[str, Any]:
    """A request of a revision; None: of one with a handshake."""
    own = dict(params or {})
    if version == MODERN:
        own["_meta"] = {VERSION_KEY: MODERN, CAPABILITIES_KEY: {}}
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": own}


def headers_for(body: Any, version: str | None = MODERN) -> dict[str, str]:
    """The headers that a client sends with a request."""
    found = {} if version is None else {"MCP-Protocol-Version": version}
    if version == MODERN and isinstance(body, dict):
        found["Mcp-Method"] = str(body.get("method"))
        name = (body.get("params") or {}).get(NAMED.get(str(body.get("method")), ""))
        if isinstance(name, str):
            found["Mcp-Name"] = name
    return found


@dataclass
class Mcp:
    """A client of one token."""

    secret: str
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def send(self, body: Any, version: str | None = MODERN, **headers: str) -> Any:
        """Post a body, which is JSON unless it is bytes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        own = {"Authorization": f"Bearer {self.secret}", "Accept": "application/json, text/event-stream"}
        every = {**own, **headers_for(body, version), **headers}
        content_type = every.pop("Content-Type", "application/json")
        given = {name: value for name, value in every.items() if value}
        return self.client.post(URL, raw, content_type=content_type, headers=given)

    def ask(self, method: str, params: Mapping[str, Any] | None = None, version: str | None = MODERN) -> Any:
        """The result of a request."""
        response = self.send(request(method, params, version), version)
        assert response.status_code == 200, response.content
        return response.json()["result"]

    def call(self, name: str, **arguments: Any) -> Any:
        """The structured result of a tool."""
        result = self.ask("tools/call", {"name": name, "arguments": arguments})
        assert result["isError"] is False, result
        return result["structuredContent"]

    def failure(self, name: str, **arguments: Any) -> str:
        """The message of a tool that fails."""
        result = self.ask("tools/call", {"name": name, "arguments": arguments})
        assert result["isError"] is True, result
        assert "structuredContent" not in result
        return str(result["content"][0]["text"])


@pytest.fixture
def mcp_for(make_user: Callable[..., Any]) -> Callable[..., Mcp]:
    """Makes a client of a new user, or of a user."""

    def make(user: Any = "ada", **values: Any) -> Mcp:
        owner = make_user(user) if isinstance(user, str) else user
        return Mcp(AccessToken.objects.issue(owner, **values)[1])

    return make


@pytest.fixture
def ada(mcp_for: Callable[..., Mcp]) -> Mcp:
    """The client of a user whose id is "ada"."""
    return mcp_for("ada")

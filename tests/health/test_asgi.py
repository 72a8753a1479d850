"""`live` under ASGI servers, where Django runs all synchronous views in one thread."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest


def ask(path: str, method: str = "GET") -> list[dict[str, Any]]:
    """The messages of a response."""
    from orchestra.asgi import application

    sent: list[Any] = []
    received: list[bool] = []

    async def receive() -> dict[str, Any]:
        if received:
            await asyncio.sleep(3600)  # the client stays
        received.append(True)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"host", b"localhost")], "query_string": b""}
    asyncio.run(application({**scope, "scheme": "http", "root_path": "", "http_version": "1.1"}, receive, send))
    return sent


@pytest.mark.parametrize("path", ["/api/health/live", "/api/health/live/"])
def test_live_does_not_reach_django(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers though every view hangs."""

    async def hang(*_: Any) -> None:
        raise AssertionError("Django was called.")

    monkeypatch.setenv("APP_ENV", "test")
    monkeypatch.setattr("orchestra.asgi.django_application", hang)
    start, body = ask(path)
    assert (start["status"], json.loads(body["body"])) == (200, {"status": "ok"})
    assert (b"cache-control", b"no-store") in start["headers"]
    assert ask(path, "HEAD")[1]["body"] == b""


def test_other_paths_reach_django() -> None:
    """With the method that is not allowed for `live`, too."""
    assert ask("/api/nothing")[0]["status"] == 404
    assert ask("/api/health/live", "POST")[0]["status"] == 405

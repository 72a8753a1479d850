"""The protocol's own suite against the MCP server: `MCP_CONFORMANCE` is the command that runs it.

    npm install node@22 @modelcontextprotocol/conformance@0.2.0-alpha.12
    MCP_CONFORMANCE="node_modules/node/bin/node node_modules/@modelcontextprotocol/conformance/dist/index.js"

Scenarios that need tools, prompts or streams of the suite's own example server are not run: this one has none of them.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memory.access.models import AccessToken
from memory.models import MemoryItem
from tests.adapters import record

COMMAND = os.environ.get("MCP_CONFORMANCE", "")

pytestmark = [
    pytest.mark.django_db(databases=["default", "memory"], transaction=True),
    pytest.mark.skipif(not COMMAND, reason="MCP_CONFORMANCE is not set"),
]

SUITE = "@modelcontextprotocol/conformance"
SCENARIOS = [
    ("2025-11-25", "server-initialize"),
    ("2025-11-25", "ping"),
    ("2025-11-25", "tools-list"),
    ("2025-11-25", "resources-list"),
    ("2025-11-25", "dns-rebinding-protection"),
    ("2026-07-28", "server-stateless"),
    ("2026-07-28", "tools-list"),
    ("2026-07-28", "resources-list"),
    ("2026-07-28", "sep-2164-resource-not-found"),
    ("2026-07-28", "dns-rebinding-protection"),
    ("2026-07-28", "caching"),
    ("2026-07-28", "http-header-validation"),
]
WITHOUT = {"sep-2549-prompts-list-caching-hints": "the server has no prompts"}
"""Checks of what the server has not, with the reason. The suite says of others that they are untestable."""


class Authorized:
    """A middleware that adds the token of the test, since the suite sends none."""

    secret = ""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        """The response to a request with the token."""
        request.META.setdefault("HTTP_AUTHORIZATION", f"Bearer {self.secret}")
        return self.get_response(request)


@pytest.fixture
def url(request: pytest.FixtureRequest, settings: Any, make_user: Callable[..., Any], monkeypatch: Any) -> str:
    """The address of a server with a conversation."""
    settings.MIDDLEWARE = [f"{__name__}.Authorized", *settings.MIDDLEWARE]
    server = request.getfixturevalue("live_server")
    monkeypatch.setattr(Authorized, "secret", AccessToken.objects.issue(make_user("ada"))[1])
    MemoryItem.objects.create(user_id="ada", session_id="s", item_type="message", text_content="x")
    return f"{server.url}/mcp"


@pytest.mark.parametrize(("version", "scenario"), SCENARIOS)
def test_a_scenario(url: str, tmp_path: Path, version: str, scenario: str) -> None:
    """No check fails but those that are known to."""
    arguments = ["server", "--url", url, "--scenario", scenario, "--spec-version", version, "-o", str(tmp_path)]
    ran = subprocess.run([*shlex.split(COMMAND), *arguments], capture_output=True, text=True, timeout=120, check=False)
    files = list(tmp_path.rglob("checks.json"))
    assert files, ran.stdout + ran.stderr
    checks = [check for file in files for check in json.loads(file.read_text())]
    left_out = [check for check in checks if check["status"] == "SKIPPED" or is_not_for(check)]
    passed = [check for check in checks if check["status"] in ("SUCCESS", "INFO")]
    failed = [check["id"] for check in checks if check not in left_out and check not in passed]
    record(SUITE, f"{version}: {scenario}", len(passed), len(failed), len(left_out))
    assert failed == []
    assert passed


def is_not_for(check: dict[str, Any]) -> bool:
    """Whether a check fails since this server has nothing that it could check."""
    return bool((check.get("details") or {}).get("untestable")) or check["id"] in WITHOUT

"""The protocol's own suite against the MCP server: `MCP_CONFORMANCE` is the command that runs it.

    npm install node@22 @modelcontextprotocol/conformance@0.2.0-alpha.12
    MCP_CONFORMANCE="node_modules/node/bin/node node_modules/@modelcontextprotocol/conformance/dist/index.js"

Every scenario of the suite is run, or has the reason why it cannot be: it asks for something that this server has not.
Some ask for tools or a resource of the suite's own example server; the tests add those.
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
from django.core.handlers.base import BaseHandler

from memory.access.models import AccessToken
from memory.mcp import calls, resources, schemas, server, tools
from memory.models import MemoryItem
from tests.adapters import record

COMMAND = os.environ.get("MCP_CONFORMANCE", "")

pytestmark = [
    pytest.mark.django_db(databases=["default", "memory"], transaction=True),
    pytest.mark.skipif(not COMMAND, reason="MCP_CONFORMANCE is not set"),
]

SUITE = "@modelcontextprotocol/conformance"
OLD, NEW = "2025-11-25", "2026-07-28"
SCENARIOS = [
    (OLD, "server-initialize"),
    (OLD, "server-session-lifecycle"),
    (OLD, "ping"),
    (OLD, "tools-list"),
    (OLD, "tools-call-simple-text"),
    (OLD, "tools-call-error"),
    (OLD, "json-schema-2020-12"),
    (OLD, "resources-list"),
    (OLD, "resources-read-text"),
    (OLD, "dns-rebinding-protection"),
    (NEW, "server-stateless"),
    (NEW, "tools-list"),
    (NEW, "tools-call-simple-text"),
    (NEW, "tools-call-error"),
    (NEW, "json-schema-2020-12"),
    (NEW, "resources-list"),
    (NEW, "resources-read-text"),
    (NEW, "sep-2164-resource-not-found"),
    (NEW, "dns-rebinding-protection"),
    (NEW, "caching"),
    (NEW, "http-header-validation"),
]
"""Run, by the revision of the protocol."""
NOT_RUN = {
    "completion-complete": "completions",
    "elicitation-": "questions to the user",
    "http-custom-header-server-validation": "arguments that headers repeat",
    "input-required-result-": "questions to the client",
    "logging-set-level": "log messages to the client",
    "prompts-": "prompts",
    "resources-read-binary": "binary resources",
    "resources-subscribe": "subscriptions",
    "resources-templates-read": "resources with JSON",
    "resources-unsubscribe": "subscriptions",
    "sep-2640-": "the extension of skills",
    "server-sse-": "streams",
    "tasks-": "the extension of tasks",
    "tools-call-audio": "tools that return audio",
    "tools-call-elicitation": "questions to the user",
    "tools-call-embedded-resource": "tools that return resources",
    "tools-call-image": "tools that return images",
    "tools-call-mixed-content": "tools that return images",
    "tools-call-sampling": "questions to the client's model",
    "tools-call-with-logging": "log messages to the client",
    "tools-call-with-progress": "reports of progress",
}
"""The starts of the names of other scenarios, and what they need that this server has not."""
WITHOUT = {"sep-2549-prompts-list-caching-hints": "the server has no prompts"}
"""Checks of what the server has not, with the reason. The suite says of others that they are untestable."""


@pytest.fixture
def url(live_server: Any, make_user: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server with a conversation. It adds the token to each request, since the suite sends none."""
    secret, get_response = AccessToken.objects.issue(make_user("ada"))[1], BaseHandler.get_response

    def authorized(self: BaseHandler, request: Any) -> Any:
        request.META.setdefault("HTTP_AUTHORIZATION", f"Bearer {secret}")
        return get_response(self, request)

    # Not a middleware: another test may have started the server, which is that of the session.
    monkeypatch.setattr(BaseHandler, "get_response", authorized)
    MemoryItem.objects.create(user_id="ada", session_id="static-text", item_type="message", text_content="x")
    return f"{live_server.url}/mcp"


ADDRESS = {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"$anchor": "addressDef", **ADDRESS}},
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
"""Of the tool that the suite names; a list must not change it."""


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools of the suite's example server, and conversations under the address of its resource."""

    def fail(caller: Any, given: Any) -> calls.Answer:
        raise calls.ToolError("This tool intentionally returns an error for testing")

    def say(caller: Any, given: Any) -> calls.Answer:
        return calls.Answer({}, "This is a simple text response for testing.")

    empty = schemas.result()
    made = {
        "test_simple_text": tools.Tool("Text", "Returns a text.", calls.READ, schemas.obj({}), empty, say),
        "test_error_handling": tools.Tool("Error", "Returns an error.", calls.READ, schemas.obj({}), empty, fail),
        "json_schema_2020_12_tool": tools.Tool("Schema", "Has a schema.", calls.READ, SCHEMA, empty, say),
    }
    monkeypatch.setattr(server, "TOOLS", {**tools.TOOLS, **made})
    monkeypatch.setattr(resources, "PREFIX", "test://")


def test_every_scenario_is_run_or_has_a_reason() -> None:
    """None is left out silently."""
    listed = subprocess.run([*shlex.split(COMMAND), "list", "--server"], capture_output=True, text=True, check=True)
    names = {line.split()[1] for line in listed.stdout.splitlines() if line.strip().startswith("- ")}
    run = {scenario for _, scenario in SCENARIOS}
    assert run <= names
    assert [name for name in names - run if not name.startswith(tuple(NOT_RUN))] == []
    for start, reason in NOT_RUN.items():
        count = sum(name.startswith(start) for name in names)
        assert count
        record(SUITE, f"not run: {start.rstrip('-')}, which needs {reason}", 0, 0, count)


@pytest.mark.usefixtures("example")
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

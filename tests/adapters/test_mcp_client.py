"""The MCP server with the protocol's own Python client, over HTTP and on standard input and output."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from memory.access.models import AccessToken
from memory.mcp.tools import TOOLS
from memory.models import MemoryItem
from tests.docs.snippets import ROOT, snippets

pytestmark = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

MODES = {"auto": "2026-07-28", "legacy": "2025-11-25"}


async def used(server: Any, mode: str) -> list[Any]:
    """What a conversation of a client with the server shows."""
    async with Client(server, mode=mode) as memory:
        assert memory.protocol_version == MODES[mode]
        tools = await memory.list_tools()
        made = await memory.call_tool("add", {"text": "I keep bees.", "session_id": "garden", "role": "user"})
        pk = made.structured_content["id"]
        found = await memory.call_tool("search", {"question": "bees"})
        changed = await memory.call_tool("update", {"id": pk, "metadata": {"sure": True}})
        context = await memory.call_tool("context", {"question": "bees", "session_id": "garden"})
        resources = await memory.list_resources()
        read = await memory.read_resource(str(resources.resources[0].uri))
        wrong = await memory.call_tool("search", {"query": "bees"})
        gone = await memory.call_tool("forget", {"id": pk})
        with pytest.raises(MCPError):
            await memory.read_resource("memory://sessions/none")
        return [
            sorted(tool.name for tool in tools.tools),
            [one["id"] for one in found.structured_content["items"]] == [pk],
            changed.structured_content["item"]["metadata"],
            context.content[0].text.split("] ")[1],
            read.contents[0].text.split("] ")[1],
            wrong.is_error,
            gone.structured_content,
        ]


EXPECTED = [
    sorted(TOOLS),
    True,
    {"role": "user", "sure": True},
    "user: I keep bees.",
    "user: I keep bees.",
    True,
    {"forgotten": 1},
]


@pytest.mark.parametrize("mode", MODES)
def test_over_http(live_server: Any, make_user: Callable[..., Any], mode: str) -> None:
    """With revision 2026-07-28, and with a handshake. Results meet the schemas: the client checks them."""
    secret = AccessToken.objects.issue(make_user("ada"))[1]

    async def main() -> list[Any]:
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {secret}"}, timeout=60) as http:
            return await used(streamable_http_client(f"{live_server.url}/mcp", http_client=http), mode)

    assert asyncio.run(main()) == EXPECTED


@pytest.mark.parametrize("secret", ["mem_wrong", None])
def test_without_a_valid_token(live_server: Any, make_user: Callable[..., Any], secret: str | None) -> None:
    """The client fails; nothing is stored."""
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}

    async def main() -> None:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(f"{live_server.url}/mcp", http_client=http)) as memory,
        ):
            await memory.call_tool("add", {"text": "x"})

    with pytest.raises((MCPError, httpx2.HTTPStatusError, ExceptionGroup)):
        asyncio.run(main())
    assert not MemoryItem.objects.exists()


def test_the_example_of_the_docs(live_server: Any, make_user: Callable[..., Any], capsys: Any) -> None:
    """As it is written, but for the address and the token."""
    [text] = [each.text for each in snippets(ROOT / "docs/adapters/mcp.md") if each.language == "python"]
    secret = AccessToken.objects.issue(make_user("ada"))[1]
    text = text.replace("http://127.0.0.1:8000", live_server.url).replace("mem_...", secret)
    exec(compile(text, "mcp.md", "exec"), {"__name__": "example"})  # noqa: S102  (our own document)
    assert "I keep bees on the roof." in capsys.readouterr().out


@pytest.mark.parametrize("mode", MODES)
def test_on_standard_input_and_output(tmp_path: Any, mode: str) -> None:
    """A process of its own, on a database of its own, as a desktop client starts it."""
    environment = {
        **os.environ,
        "APP_ENV": "development",
        "DJANGO_SETTINGS_MODULE": "settings",
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "MEMORY_DATABASE_URL": f"sqlite:///{tmp_path}/memory.sqlite3",
    }
    manage = [sys.executable, str(ROOT / "manage.py")]
    prepare(manage, environment)
    server = StdioServerParameters(command=manage[0], args=[manage[1], "memory_mcp", "ada"], env=environment, cwd=ROOT)
    assert asyncio.run(used(server, mode)) == EXPECTED


def prepare(manage: list[str], environment: dict[str, str]) -> None:
    """Make the tables and a user."""

    more = {**environment, "DJANGO_SUPERUSER_PASSWORD": "a-password-for-tests"}
    for arguments in (
        ["migrate", "--verbosity", "0"],
        ["migrate", "--verbosity", "0", "--database", "memory"],
        ["createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.com"],
    ):
        subprocess.run([*manage, *arguments], env=more, cwd=ROOT, check=True)

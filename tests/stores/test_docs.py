"""The examples of docs/stores.md run as they are written, except for the port of Redis."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from memory.stores import close_memory_manager
from memory.testing.redis import RedisServer
from tests.docs.snippets import ROOT, snippets

FILE = ROOT / "docs" / "stores.md"
WITH_SERVICES = "Using them directly"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Start with no manager made."""
    close_memory_manager()
    yield
    close_memory_manager()


def run(texts: list[str]) -> dict[str, Any]:
    """Run snippets one after the other, in one namespace and one event loop, as `python -m asyncio` would."""
    namespace: dict[str, Any] = {"__name__": "stores"}

    async def main() -> None:
        for text in texts:
            code = compile(text, str(FILE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, namespace)  # noqa: S307  (our own document)
            if inspect.iscoroutine(result):
                await result

    asyncio.run(main())
    return namespace


def test_the_examples_run() -> None:
    """Those that need no service, with the manager of the tests' environment."""
    texts = [each.text for each in snippets(FILE) if each.language == "python" and each.heading != WITH_SERVICES]
    assert len(texts) == 9
    namespace = run(texts)
    assert namespace["TestMyManager"].test_health


@pytest.mark.redis
@pytest.mark.firestore_emulator
def test_the_specifications_examples_run(
    request: pytest.FixtureRequest, redis_server: RedisServer, django_db_blocker: Any
) -> None:
    """As written there, but for the import path."""
    (text,) = [each.text for each in snippets(FILE) if each.heading == WITH_SERVICES]
    emulator = request.getfixturevalue("firestore_emulator")
    text = text.replace("port=6379", f"port={redis_server.port}")
    with django_db_blocker.unblock(), override_settings(MEMORY={"FIRESTORE": {"HOST": emulator}}):
        namespace = run(["from memory.models import MemoryItem", text])
        assert asyncio.run(namespace["firestore"].get_memory_item(namespace["item_id"])) is not None
        assert asyncio.run(namespace["redis"].get("key")) == namespace["data"]
        for each in ("firestore", "redis"):
            namespace[each].close()

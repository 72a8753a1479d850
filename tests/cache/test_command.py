"""`manage.py memory_cache`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from memory import history
from memory.cache import ConversationCache
from memory.testing.redis import RedisServer

from .test_history import behind_the_cache, item, read_history, stored_history

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True, databases=["default", "memory"])]


def run(*arguments: Any) -> str:
    """The command's output."""
    out = io.StringIO()
    call_command("memory_cache", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def fill(sessions: int) -> None:
    """As many conversations of two items."""
    for number in range(sessions):
        for position in range(2):
            item(position, id=f"{number}-{position}", session_id=f"chat {number}").save()
        history.recent("ada", f"chat {number}", 20)


def test_stats_and_clear(cache: ConversationCache) -> None:
    """`--clear` removes the cached conversations and keeps the other keys in that Redis."""
    cache.cache.set("another", 1)
    fill(3)
    assert "conversations: 3\nitems: 6\n" in run("--stats")
    assert "Removed 6 keys" in run("--clear")
    assert "conversations: 0\nitems: 0\nbytes: 0\n" in run("--stats")
    assert cache.cache.get("another") == 1


def test_verify_finds_and_mends(cache: ConversationCache) -> None:
    """`--verify` reports a conversation that was changed behind the cache's back and drops it from the cache."""
    fill(4)
    assert run("--verify") == "4 conversations compared, 0 differed.\n"
    assert run("--verify", "--sample", "2") == "2 conversations compared, 0 differed.\n"
    behind_the_cache().filter(id="2-1").update(text_content="behind")
    behind_the_cache().filter(id="3-0").delete()
    with pytest.raises(CommandError, match="4 conversations compared, 2 differed"):
        run("--verify")
    for number in range(4):
        assert read_history(f"chat {number}") == stored_history(f"chat {number}")
    assert run("--verify") == "4 conversations compared, 0 differed.\n"


def test_without_a_cache_it_says_what_to_do(settings: Any) -> None:
    """The error is one sentence that names the missing setting."""
    with pytest.raises(CommandError, match="REDIS_HOST"):
        run("--stats")


def test_redis_away(use_redis: Callable[..., ConversationCache], start_redis: Callable[..., RedisServer]) -> None:
    """The command fails with an error instead of reporting an empty cache."""
    server = start_redis()
    use_redis(server)
    server.kill()
    for option in ("--stats", "--clear", "--verify"):
        with pytest.raises(CommandError, match="Redis is unavailable"):
            run(option)

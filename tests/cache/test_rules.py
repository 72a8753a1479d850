"""The rules that keep the cache coherent, each with its worst interleaving: scripts on a real Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from memory import cache as rules
from memory.cache import Conversation, ConversationCache, Item, Mark, Written, add, remove
from memory.testing.redis import RedisServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True, databases=["default", "memory"])]

CHAT = Conversation("ada", "chat")
NEVER = "9" * 18
NOW = "0" * 18


def item(number: int, text: str = "", expiration: str = NEVER) -> Item:
    """An item whose snapshot is its text."""
    return Item(f"item-{number}", f"{number:018}", expiration, text or f"text {number}")


def texts(cache: ConversationCache, limit: int = 10, now: str = NOW) -> list[str] | None:
    """What a reader gets that never fills; None for a miss."""
    found = cache.look(CHAT, limit, now, fill=False)
    return None if found.snapshots is None else [snapshot.decode() for snapshot in found.snapshots]


def fill(cache: ConversationCache, *numbers: int, whole: bool = True) -> None:
    """Fill like an undisturbed reader, whatever was cached before."""
    cache.drop(CHAT)
    lease = cache.look(CHAT, 1, NOW).lease
    assert cache.fill(CHAT, lease, [item(number) for number in sorted(numbers, reverse=True)], whole)


def write(cache: ConversationCache, mark: Mark, *operations: rules.Operation) -> bool:
    """The second half of a write; returns whether it was applied."""
    return cache.finish([Written(CHAT, mark, operations)])[0]


def test_a_reader_does_not_fill_over_a_write_that_came_after_its_look(cache: ConversationCache) -> None:
    """A fill with data read before a write is refused, whether the write is running or done."""
    lease = cache.look(CHAT, 1, NOW).lease
    mark = cache.mark([CHAT])[CHAT]
    assert not cache.fill(CHAT, lease, [item(1)], whole=True)
    assert write(cache, mark, add(item(2)))
    assert not cache.fill(CHAT, lease, [item(1)], whole=True)
    assert texts(cache) is None


def test_nobody_reads_or_gets_a_lease_while_a_mark_stands(cache: ConversationCache) -> None:
    """Between mark and finish, reads are misses; after it, they have the change."""
    fill(cache, 1)
    mark = cache.mark([CHAT])[CHAT]
    assert cache.look(CHAT, 1, NOW).lease == ""
    assert texts(cache) is None
    assert write(cache, mark, add(item(2)))
    assert texts(cache) == ["text 2", "text 1"]


def test_writers_that_overlap_leave_nothing(cache: ConversationCache) -> None:
    """The order of the commits is unknown, so neither change is applied, whichever finishes first."""
    for order in ((0, 1), (1, 0)):
        fill(cache, 1)
        marks = [cache.mark([CHAT])[CHAT] for _ in range(2)]
        for position in order:
            assert texts(cache) is None
            assert not write(cache, marks[position], add(item(1, f"by writer {position}")))
        assert texts(cache) is None
        fill(cache, 1)
        assert texts(cache) == ["text 1"]


def test_a_writer_that_dies_halfway_is_forgotten(cache: ConversationCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its mark expires, the cached rows are no longer used; if the writer was only slow, its change is refused."""
    monkeypatch.setattr(rules, "MARK_MS", 60)
    fill(cache, 1)
    mark = cache.mark([CHAT])[CHAT]
    time.sleep(0.1)
    assert texts(cache) is None
    fill(cache, 1, 2)
    assert not write(cache, mark, add(item(1, "late")))
    assert texts(cache) is None


def test_a_writer_without_a_mark_drops_and_spoils_the_others(cache: ConversationCache) -> None:
    """A writer that could not mark drops the conversation afterwards; fills and changes of others are refused."""
    fill(cache, 1)
    other = cache.mark([CHAT])[CHAT]
    cache.drop(CHAT)
    assert not write(cache, other, add(item(2)))
    lease = cache.look(CHAT, 1, NOW).lease
    cache.drop(CHAT)
    assert not cache.fill(CHAT, lease, [item(1)], whole=True)


def test_a_lease_ends(cache: ConversationCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that was suspended for long does not fill with its old rows."""
    monkeypatch.setattr(rules, "LEASE_MS", 50)
    lease = cache.look(CHAT, 1, NOW).lease
    time.sleep(0.1)
    assert not cache.fill(CHAT, lease, [item(1)], whole=True)


def test_a_lease_serves_once(cache: ConversationCache) -> None:
    """A fill that is repeated or delayed by the network has no effect."""
    lease = cache.look(CHAT, 1, NOW).lease
    assert cache.fill(CHAT, lease, [item(2)], whole=True)
    assert not cache.fill(CHAT, lease, [item(1)], whole=True)


def test_many_readers_at_once_get_leases_that_do_not_grow_without_end(cache: ConversationCache) -> None:
    """Any of the first 32 readers may fill; further ones only read."""
    leases = [cache.look(CHAT, 1, NOW).lease for _ in range(40)]
    assert sum(map(bool, leases)) == 32
    assert cache.fill(CHAT, leases[31], [item(1)], whole=True)


def test_reads_and_writes_do_not_prolong_what_is_held(
    redis_server: RedisServer, use_redis: Callable[..., ConversationCache], settings: object
) -> None:
    """The TTL counts from the database read, so that a missed change is visible when it ends."""
    settings.MEMORY = {**settings.MEMORY, "CACHE_TTL": 60}  # type: ignore[attr-defined]
    cache = use_redis(redis_server)
    fill(cache, 1)

    def lives() -> dict[Any, int]:
        return {key: redis_server.client().pttl(key) for key in redis_server.client().keys("*state*")}

    before = lives()
    time.sleep(0.02)
    for _ in range(3):
        assert write(cache, cache.mark([CHAT])[CHAT], add(item(2)))
        assert texts(cache) == ["text 2", "text 1"]
    after = lives()
    assert before
    assert after.keys() == before.keys()
    assert all(0 < after[key] < before[key] for key in before)
    for key in after:
        redis_server.client().pexpire(key, 1)
    wait_until(lambda: texts(cache) is None)


def test_a_part_stays_a_part(cache: ConversationCache) -> None:
    """An item older than all cached ones of a partly cached conversation is omitted; one between them is added."""
    fill(cache, 10, 20, whole=False)
    assert write(cache, cache.mark([CHAT])[CHAT], add(item(5)), add(item(15)))
    assert texts(cache) == ["text 20", "text 15", "text 10"]
    assert not cache.look(CHAT, 10, NOW, fill=False).whole
    assert write(cache, cache.mark([CHAT])[CHAT], remove("item-10"), add(item(12)))
    assert texts(cache) == ["text 20", "text 15"]


def test_an_item_that_changes_its_time_changes_its_place(cache: ConversationCache) -> None:
    """The item leaves its old place."""
    fill(cache, 1, 2, 3)
    moved = Item("item-1", f"{9:018}", NEVER, "moved")
    assert write(cache, cache.mark([CHAT])[CHAT], add(moved))
    assert texts(cache) == ["moved", "text 3", "text 2"]


def test_what_another_run_of_redis_wrote_is_not_trusted(
    start_redis: Callable[..., RedisServer], use_redis: Callable[..., ConversationCache]
) -> None:
    """A Redis that restarts with an old snapshot counts as empty, whatever was written since the snapshot."""
    server = start_redis(save="3600 1")
    cache = use_redis(server)
    fill(cache, 1)
    late = cache.look(Conversation("ada", "other"), 1, NOW).lease
    server.client().save()
    assert write(cache, cache.mark([CHAT])[CHAT], add(item(2)))
    server.kill()
    server.start()
    assert server.client().dbsize() == 3
    assert texts(cache) is None
    assert not cache.fill(Conversation("ada", "other"), late, [item(1)], whole=True)
    fill(cache, 1, 2)
    assert texts(cache) == ["text 2", "text 1"]


def test_eviction_of_any_key_is_a_miss(cache: ConversationCache) -> None:
    """Eviction of any key at any time never makes an old row visible."""
    keys = cache._keys(CHAT)
    for key in (keys.state, keys.order):
        fill(cache, 1)
        cache.client.execute_command("DEL", key)
        assert texts(cache) is None
        fill(cache, 1)
        mark = cache.mark([CHAT])[CHAT]
        cache.client.execute_command("DEL", key)
        write(cache, mark, add(item(2)))
        assert texts(cache) is None
        lease = cache.look(CHAT, 1, NOW).lease
        cache.client.execute_command("DEL", keys.state)
        assert not cache.fill(CHAT, lease, [item(1)], whole=True)


def test_many_conversations_are_marked_in_one_round_trip(cache: ConversationCache) -> None:
    """Marks and changes of a bulk write are pipelined, also to a server without the scripts."""
    many = [Conversation("ada", f"chat {number}") for number in range(50)]
    cache.client.execute_command("SCRIPT", "FLUSH")
    before = cache.client.execute_command("INFO", "commandstats")
    marks = cache.mark(many)
    assert all(cache.finish([Written(each, marks[each], [add(item(1))]) for each in many]))
    after = cache.client.execute_command("INFO", "commandstats")
    assert after["cmdstat_evalsha"]["calls"] - before.get("cmdstat_evalsha", {"calls": 0})["calls"] >= 100


def test_without_memory_redis_keeps_nothing_old(
    start_redis: Callable[..., RedisServer], use_redis: Callable[..., ConversationCache]
) -> None:
    """A full Redis still applies invalidations, caches nothing new, and returns no old rows."""
    server = start_redis(maxmemory_policy="noeviction")
    cache, other = use_redis(server), Conversation("ada", "other")
    fill(cache, 1)
    server.client().config_set("maxmemory", "1")
    assert texts(cache) == ["text 1"]
    assert cache.look(other, 1, NOW).lease == ""
    mark = cache.mark([CHAT])[CHAT]
    assert texts(cache) is None
    assert write(cache, mark, add(item(2, "x" * 1000)))
    assert texts(cache) is None
    server.client().config_set("maxmemory", "0")
    lease = cache.look(other, 1, NOW).lease
    server.client().config_set("maxmemory", "1")
    assert not cache.fill(other, lease, [item(1)], whole=True)
    server.client().config_set("maxmemory", "0")
    fill(cache, 1, 2)
    assert texts(cache) == ["text 2", "text 1"]

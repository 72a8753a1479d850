"""Histories: for every write path, the cache returns the same as the database."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import serializers
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.db.models import F, QuerySet, Value
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from memory import history
from memory.cache import Conversation, ConversationCache
from memory.coherence import marking
from memory.history import receivers
from memory.models import MemoryItem, UserSession

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True, databases=["default", "memory"])]

START = datetime(2026, 1, 1, tzinfo=UTC)
CHAT = Conversation("ada", "chat")


def item(number: int, **values: Any) -> MemoryItem:
    """An unsaved item of the conversation; its time follows from its number."""
    defaults = {
        "id": f"item-{number:03}",
        "user_id": "ada",
        "session_id": "chat",
        "item_type": "message",
        "text_content": f"text {number}",
        "timestamp": START + timedelta(seconds=number),
    }
    return MemoryItem(**{**defaults, **values})


def ids(items: list[MemoryItem]) -> list[str]:
    """The values that readers compare."""
    return [each.pk for each in items]


def queries() -> CaptureQueriesContext:
    """Count the database's queries."""
    return CaptureQueriesContext(connections["memory"])


def behind_the_cache() -> QuerySet[MemoryItem]:
    """All items through Django's own queryset, whose writes do not notify the cache."""
    return QuerySet(MemoryItem, using="memory")


def stored_history(session_id: str = "chat", user_id: str = "ada") -> list[dict[str, Any]]:
    """The conversation as the database has it."""
    rows = MemoryItem.objects.for_user(user_id).in_session(session_id).newest_first()
    return [values_of(row) for row in rows]


def values_of(row: MemoryItem) -> dict[str, Any]:
    """All of a row's values."""
    names = {field.attname for field in row._meta.concrete_fields} - row.UNREAD_FIELDS
    return {name: getattr(row, name) for name in names}


def read_history(session_id: str = "chat", limit: int = 1000) -> list[dict[str, Any]]:
    """The conversation as `recent` returns it."""
    return [values_of(row) for row in history.recent("ada", session_id, limit)]


@pytest.fixture
def filled(cache: ConversationCache) -> ConversationCache:
    """A cached conversation of five items."""
    for number in range(5):
        item(number).save()
    assert len(history.recent("ada", "chat", 20)) == 5
    return cache


def test_a_second_reader_costs_the_database_nothing(filled: ConversationCache) -> None:
    """The first read fills the cache; the next one is served from it, newest first."""
    with queries() as asked:
        found = history.recent("ada", "chat", 3)
    assert not asked.captured_queries
    assert ids(found) == ["item-004", "item-003", "item-002"]


def test_a_chat_turn_reads_nothing(filled: ConversationCache) -> None:
    """In steady state, inserting two items and reading the history takes two statements besides BEGIN and COMMIT."""
    item(5).save()
    with queries() as asked:
        item(6).save()
        item(7).save()
        found = history.recent("ada", "chat", 20)
    verbs = [query["sql"].split()[0] for query in asked.captured_queries]
    assert [verb for verb in verbs if verb not in ("BEGIN", "COMMIT")] == ["INSERT", "INSERT"]
    assert ids(found)[:2] == ["item-007", "item-006"]
    assert read_history() == stored_history()


def test_every_value_survives_the_cache(cache: ConversationCache) -> None:
    """A cached item equals the stored one in every field, at its extremes."""
    item(
        1,
        id="ключ ☃ \x00",
        timestamp=datetime(1, 1, 1, tzinfo=UTC),
        text_content='a\x00b “é” 😀 \\ "',
        metadata={"n": 1, "f": 1.0, "big": 2**70, "deep": [{"x": None}, True], "": "ключ"},
        embedding=[0.1, -1e-300, 3.0],
        expiration=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ).save()
    item(
        2, timestamp=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), text_content=None, persona_active="x"
    ).save()
    assert read_history() == stored_history()
    with queries() as asked:
        assert read_history() == stored_history()
    assert len(asked) == 1, "one query of stored_history(), none for the cache"


def test_items_of_one_time_stand_as_in_the_database(cache: ConversationCache) -> None:
    """Items with equal times are ordered by id, bytewise, both after a fill and after an addition."""
    names = ["b", "a", "B", "é", "z", "😀", "\uff5e", "a\x00", "10", "9"]
    for name in names[:5]:
        item(1, id=name).save()
    history.recent("ada", "chat", 20)
    for name in names[5:]:
        item(1, id=name).save()
    with queries() as asked:
        found = ids(history.recent("ada", "chat", 20))
    assert not asked.captured_queries
    assert found == [row["id"] for row in stored_history()] == sorted(names, key=str.encode, reverse=True)


WRITES: dict[str, Callable[[], object]] = {
    "save of a new one": lambda: item(9).save(),
    "save of a new one, older than all": lambda: item(-1).save(),
    "save of a changed one": lambda: _changed("item-002", text_content="changed").save(),
    "save that moves it in time": lambda: _changed("item-002", timestamp=START + timedelta(days=1)).save(),
    "save that moves it away": lambda: _changed("item-002", session_id="other").save(),
    "save that moves it out of all sessions": lambda: _changed("item-002", session_id=None).save(),
    "save that ends it": lambda: _changed("item-002", expiration=START).save(),
    "save of some fields": lambda: _changed("item-002", text_content="changed").save(update_fields=["text_content"]),
    "save with deferred fields": lambda: _deferred("item-002").save(),
    "save with an expression": lambda: _changed("item-002", persona_active=Value("computed")).save(),
    "save of an instance that is new to Python": lambda: item(2, text_content="new").save(force_update=True),
    "create": lambda: MemoryItem.objects.create(user_id="ada", session_id="chat", item_type="x"),
    "get_or_create": lambda: MemoryItem.objects.get_or_create(
        id="new", user_id="ada", session_id="chat", item_type="x"
    ),
    "update_or_create": lambda: MemoryItem.objects.update_or_create(id="item-001", defaults={"item_type": "y"}),
    "bulk_create": lambda: MemoryItem.objects.bulk_create([item(7), item(8), item(6, session_id="other")]),
    "bulk_create past conflicts": lambda: MemoryItem.objects.bulk_create([item(1), item(8)], ignore_conflicts=True),
    "bulk_create over conflicts": lambda: MemoryItem.objects.bulk_create(
        [item(1, session_id="other"), item(8)],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["session_id"],
    ),
    "bulk_update": lambda: MemoryItem.objects.bulk_update(
        [_changed("item-001", text_content="x"), _changed("item-003", session_id="other")],
        ["text_content", "session_id"],
    ),
    "bulk_update of stale instances": lambda: MemoryItem.objects.bulk_update(
        [item(1, session_id="elsewhere", text_content="x")], ["text_content"]
    ),
    "update": lambda: MemoryItem.objects.filter(id="item-002").update(item_type="fact"),
    "update of texts": lambda: MemoryItem.objects.filter(id="item-002").update(text_content="x"),
    "update by expression": lambda: MemoryItem.objects.update(timestamp=F("timestamp") + timedelta(days=1)),
    "update that moves": lambda: MemoryItem.objects.filter(id__lt="item-003").update(session_id="other"),
    "update of all_objects": lambda: MemoryItem.all_objects.filter(id="item-002").update(expiration=START),
    "update of the id": lambda: MemoryItem.objects.filter(id="item-002").update(id="renamed"),
    "delete": lambda: MemoryItem.objects.get(id="item-002").delete(),
    "delete of a query": lambda: MemoryItem.objects.filter(id__lt="item-003").delete(),
    "delete of the session": lambda: UserSession.objects.get().delete(),
    "delete of sessions": lambda: UserSession.objects.filter(user_id="ada").delete(),
    "loaddata": lambda: _load(item(2, session_id="other"), item(12)),
}
# Firestore refuses these: an id is part of a document's name.
NAMES = [
    pytest.param(name, marks=pytest.mark.embedded("changes a primary key")) if name == "update of the id" else name
    for name in WRITES
]


def _changed(pk: str, **values: Any) -> MemoryItem:
    found = MemoryItem.objects.get(pk=pk)
    for name, value in values.items():
        setattr(found, name, value)
    return found


def _deferred(pk: str) -> MemoryItem:
    found = MemoryItem.objects.defer("text_content").get(pk=pk)
    found.item_type = "deferred"
    return found


def _load(*items: MemoryItem) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "items.json"
        path.write_text(serializers.serialize("json", items))
        call_command("loaddata", str(path), database="memory", verbosity=0)


def _fail_after(write: Callable[[], object]) -> None:
    with transaction.atomic(using="memory"):
        write()
        raise RuntimeError


@pytest.mark.parametrize("name", NAMES)
def test_every_write_reaches_the_reader(filled: ConversationCache, name: str) -> None:
    """After any write, alone or in a transaction, the next read of each conversation equals the database."""
    history.recent("ada", "other", 20)
    history.session("ada", "chat")
    WRITES[name]()
    assert read_history() == stored_history()
    assert read_history("other") == stored_history("other")
    assert read_history() == stored_history()
    row = history.session("ada", "chat")
    assert (row and values_of(row)) == _row()


@pytest.mark.parametrize("name", NAMES)
def test_a_write_rolled_back_reaches_nobody(filled: ConversationCache, name: str) -> None:
    """During and after a failed transaction, reads return the old state, and the cache can be filled again at once."""
    with pytest.raises(RuntimeError):
        _fail_after(WRITES[name])
    assert read_history() == stored_history()
    item(30).save()
    assert read_history() == stored_history()
    with queries() as asked:
        history.recent("ada", "chat", 2)
    assert not asked.captured_queries


@pytest.mark.parametrize("name", NAMES)
def test_a_savepoint_rolled_back_reaches_nobody(filled: ConversationCache, name: str) -> None:
    """Writes rolled back to a savepoint do not reach the cache; the writes before and after it do."""
    with transaction.atomic(using="memory"):
        item(20).save()
        with pytest.raises(RuntimeError):
            _fail_after(WRITES[name])
        item(21).save()
    assert read_history() == stored_history()
    assert {"item-020", "item-021"} <= {row["id"] for row in read_history()}


def _row() -> dict[str, Any] | None:
    found = UserSession.objects.filter(pk="ada:chat").first()
    return found and {field.attname: getattr(found, field.attname) for field in found._meta.concrete_fields}


def test_a_transaction_sees_itself_and_others_do_not(filled: ConversationCache) -> None:
    """A transaction reads its own writes; uncommitted data is never cached."""
    with transaction.atomic(using="memory"):
        item(9).save()
        assert ids(history.recent("ada", "chat", 1)) == ["item-009"]
        transaction.set_rollback(True, using="memory")
    assert ids(history.recent("ada", "chat", 1)) == ["item-004"]


def test_a_failed_insert_leaves_the_cache_right(filled: ConversationCache) -> None:
    """A duplicate raises an error and leaves the cache unchanged."""
    with pytest.raises(IntegrityError):
        item(1, text_content="a duplicate").save(force_insert=True)
    assert read_history() == stored_history()


def test_expired_items_are_never_returned(filled: ConversationCache) -> None:
    """An item that expires while it is cached is omitted, and older ones take its place."""
    soon = timezone.now() + timedelta(seconds=0.4)
    item(8, expiration=soon).save()
    assert ids(history.recent("ada", "chat", 2)) == ["item-008", "item-004"]
    while timezone.now() <= soon:
        threading.Event().wait(0.05)
    with queries() as asked:
        assert ids(history.recent("ada", "chat", 2)) == ["item-004", "item-003"]
    assert not asked.captured_queries


def test_more_than_is_held_is_read_from_the_database(filled: ConversationCache, settings: Any) -> None:
    """Beyond `HISTORY_SIZE` the rest comes from the database, including equal times, without gaps or repeats."""
    settings.MEMORY = {**settings.MEMORY, "HISTORY_SIZE": 4}
    MemoryItem.objects.bulk_create([item(3, id=f"tie-{number}") for number in range(4)])
    assert read_history(limit=4) == stored_history()[:4]
    for limit in (1, 4, 5, 7, 9, 100):
        assert read_history(limit=limit) == stored_history()[:limit]
    with queries() as asked:
        read_history(limit=4)
    assert not asked.captured_queries


def test_a_conversation_that_is_too_large_is_held_in_part(cache: ConversationCache) -> None:
    """Redis holds at most 4 MiB of a conversation; the result is complete nevertheless."""
    for number in range(6):
        item(number, text_content="x" * 900_000).save()
    for _ in range(2):
        assert read_history() == stored_history()
    item(7, text_content="y" * 900_000).save()
    assert read_history() == stored_history()
    assert 0 < cache.stats().bytes <= 4 * 1024 * 1024


def test_users_and_sessions_do_not_mix(cache: ConversationCache) -> None:
    """Neither ambiguous names nor another user's session with the same name return another conversation's items."""
    for user, name in (("a", "b:c"), ("a:b", "c"), ("b", "b:c"), ("a", "b:C")):
        item(1, id=f"{user}/{name}".replace("/", "|"), user_id=user, session_id=name).save()
        for _ in range(2):
            assert [row.user_id for row in history.recent(user, name, 9)] == [user]
            assert [row.session_id for row in history.recent(user, name, 9)] == [name]


def test_all_conversations_of_a_user_come_from_the_database(filled: ConversationCache) -> None:
    """Without a session, `recent` returns the newest items of all sessions."""
    item(9, session_id="other").save()
    item(10, session_id=None).save()
    assert ids(history.recent("ada", None, 3)) == ["item-010", "item-009", "item-004"]


def test_a_value_that_does_not_decode_is_a_miss(filled: ConversationCache) -> None:
    """If another program changed the keys, readers get the database's rows, and the cache repairs itself."""
    keys = filled._keys(CHAT)
    client = filled.client
    spoilers: list[Callable[[], object]] = [
        lambda: client.execute_command("HSET", keys.state, "iitem-004", "9" * 36 + "{not json"),
        lambda: client.execute_command("HSET", keys.state, "iitem-004", "9" * 36 + "[1,2]"),
        lambda: client.execute_command("HSET", keys.state, "iitem-004", "9" * 36 + '["\xff'),
        lambda: client.execute_command("HDEL", keys.state, "iitem-004"),
        lambda: client.execute_command("ZADD", keys.order, 0, "1" * 18 + "nobody"),
        lambda: client.execute_command("DEL", keys.order),
        lambda: client.execute_command("SET", keys.order, "a string"),
        lambda: client.execute_command("SET", keys.state, "a string"),
        lambda: client.execute_command("HSET", keys.state, "form", "of an older version"),
    ]
    for spoil in spoilers:
        read_history()
        spoil()
        assert read_history() == stored_history()
        assert read_history() == stored_history()


def test_no_cache_no_difference(filled: ConversationCache, settings: Any) -> None:
    """If the cache is switched off, reads use the database and do not call Redis."""
    settings.MEMORY = {**settings.MEMORY, "CACHE": None}
    assert history.cache_of("memory") is None
    item(9).save()
    with queries() as asked:
        assert ids(history.recent("ada", "chat", 1)) == ["item-009"]
    assert len(asked) == 1


def test_sessions_are_looked_up_in_the_cache(filled: ConversationCache) -> None:
    """The second lookup makes no query; a change is visible at once; a missing session is None."""
    assert history.session("ada", "chat") == UserSession.objects.get()
    with queries() as asked:
        found = history.session("ada", "chat")
    assert not asked.captured_queries
    assert found is not None
    found.metadata = {"title": "Chat"}
    found.save()
    for change in (
        lambda: UserSession.objects.update(metadata={"title": "New"}),
        lambda: UserSession.objects.bulk_update([found], ["metadata"]),
        lambda: item(9, timestamp=timezone.now() + timedelta(days=1)).save(),
    ):
        seen = history.session("ada", "chat")
        assert seen is not None
        assert json.dumps(seen.metadata) == json.dumps(UserSession.objects.get().metadata)
        change()
    seen = history.session("ada", "chat")
    assert seen is not None
    assert seen.last_activity == UserSession.objects.get().last_activity
    assert history.session("ada", "unheard of") is None


def test_a_sessions_time_follows_within_a_minute(filled: ConversationCache) -> None:
    """A cached session is touched at most once a minute, so its time is at most a minute behind."""
    history.session("ada", "chat")
    for seconds, expected in ((10, 0), (50, 0), (64, 64), (70, 64), (-5, 64)):
        item(100 + seconds, timestamp=START + timedelta(seconds=seconds)).save()
        assert UserSession.objects.get().last_activity == START + timedelta(seconds=expected)
    assert UserSession.objects.get().started_at == START - timedelta(seconds=5)


def test_items_at_the_end_of_time_are_written_and_read(cache: ConversationCache) -> None:
    """A cached session whose last activity is the last microsecond takes more of them."""
    last = datetime.max.replace(tzinfo=UTC)
    item(1, timestamp=last).save()
    assert history.session("ada", "chat") is not None
    assert len(read_history()) == 1
    second = item(2, timestamp=last)
    second.save()
    MemoryItem.objects.bulk_create([item(3, timestamp=last)])
    second.metadata = {"read": True}
    second.save()
    assert sorted(found["id"] for found in read_history()) == ["item-001", "item-002", "item-003"]


def test_emptied_tables_empty_the_cache(filled: ConversationCache) -> None:
    """`flush` and `migrate` clear the cache."""
    call_command("flush", database="memory", interactive=False, verbosity=0)
    assert read_history() == stored_history() == []


def test_it_can_be_awaited(filled: ConversationCache) -> None:
    """The async variants return the same."""
    assert ids(async_to_sync(history.arecent)("ada", "chat", 2)) == ["item-004", "item-003"]
    assert async_to_sync(history.asession)("ada", "chat") == UserSession.objects.get()


def test_a_closed_connection_is_settled_without_opening_it(
    filled: ConversationCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction ends with its connection: conversations that it marked are dropped, without a query."""
    connection = connections["memory"]
    dropped: list[str] = []

    class Left:
        def drop(self) -> None:
            dropped.append("conversation")

    monkeypatch.setitem(marking._transactions, connection, Left())
    monkeypatch.setattr(connection, "connection", None)
    monkeypatch.setattr(connection, "ensure_connection", lambda: pytest.fail("a connection was opened"))
    receivers.settle_all()
    assert dropped == ["conversation"]
    assert connection not in marking._transactions

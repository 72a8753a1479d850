"""The threads of awaited calls: in parallel, each with its own connection, or in the caller's transaction."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from inspect import iscoroutinefunction
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction
from django.db.backends.signals import connection_created

from memory.exceptions import StorageError
from memory.models import AgentData, MemoryItem, UserSession
from memory.stores import FirestoreMemoryManager, MemoryManager, threads
from memory.stores.threads import THREADS, DatabaseThreads, Threads
from tests.waiting import wait_until

both = pytest.mark.django_db(databases=["default", "memory"])


def item(**values: Any) -> MemoryItem:
    """An unsaved item."""
    return MemoryItem(**{"user_id": "ada", "session_id": "s", "item_type": "message", "text_content": "text", **values})


@pytest.fixture
def manager(file_database: str) -> Iterator[MemoryManager]:
    """A manager on a database in a file."""
    manager = FirestoreMemoryManager(using=file_database)
    manager.initialize()
    yield manager
    manager.close()


class Opened:
    """The connections that are opened to one database while this listens."""

    def __init__(self, alias: str, before: Callable[[], object] | None = None) -> None:
        self.alias = alias
        self.before = before
        self.connections: list[Any] = []

    def __enter__(self) -> Opened:
        connection_created.connect(self.receive)
        return self

    def __exit__(self, *exc_info: object) -> None:
        connection_created.disconnect(self.receive)

    def receive(self, connection: Any, **kwargs: Any) -> None:
        """Remember a connection, and wrap its statements."""
        if connection.alias == self.alias:
            self.connections.append(connection)
            connection.execute_wrappers[:] = [self.execute]

    def execute(self, execute: Any, *args: Any) -> Any:
        """Run `before`, then the statement."""
        if self.before is not None:
            self.before()
        return execute(*args)


VERBS: Mapping[str, tuple[Callable[[MemoryManager], Any], int]] = {
    "add_memory_item": (lambda m: m.add_memory_item(item()), 1),
    "add_memory_items": (lambda m: m.add_memory_items([item(), item()]), 1),
    "get_memory_item": (lambda m: m.get_memory_item("known"), 1),
    "get_memory_items": (lambda m: m.get_memory_items(["known", "unknown"]), 1),
    "update_memory_item": (lambda m: m.update_memory_item("known", {"text_content": "new"}), 1),
    "delete_memory_item": (lambda m: m.delete_memory_item("known"), 1),
    "forget": (lambda m: m.forget("ada", "s"), 1),
    "list_sessions": (lambda m: m.list_sessions("ada"), 1),
    "delete_user": (lambda m: m.delete_user("ada"), 1),
    "get_conversation_history": (lambda m: m.get_conversation_history("ada", "s"), 1),
    "search": (lambda m: m.search("ada", "text"), 1),
    "context": (lambda m: m.context("ada", "s", "text"), 2),  # the history and the search, at the same time
    "semantic_search": (lambda m: m.semantic_search("ada", [1.0, 0.0]), 1),
    "add_raw_agent_data": (lambda m: m.add_raw_agent_data(AgentData(agent_id="a", data_type="t")), 1),
    "add_raw_agent_data_batch": (lambda m: m.add_raw_agent_data_batch([AgentData(agent_id="a", data_type="t")]), 1),
    "get_raw_agent_data": (lambda m: m.get_raw_agent_data("unknown"), 1),
    "check_duplicate": (lambda m: m.check_duplicate(item()), 1),
    "cleanup_expired_items": (lambda m: m.cleanup_expired_items(), 1),
    "health_check": (lambda m: m.health_check(), 1),
}
"""Each verb of a manager, and how many functions it runs on the pool."""


def test_a_verb_goes_to_a_thread_once(manager: FirestoreMemoryManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way to a thread and back takes longer than some reads."""
    item(id="known").save(using=manager.alias)
    submit, count = ThreadPoolExecutor.submit, Counter[ThreadPoolExecutor]()

    def counted(pool: ThreadPoolExecutor, *args: Any) -> Future[Any]:
        count[pool] += 1
        return submit(pool, *args)

    async def main() -> dict[str, int]:
        found = {}
        for verb, (call, _) in VERBS.items():
            count.clear()
            await call(manager)
            found[verb] = count[manager._threads._pool]
        return found

    monkeypatch.setattr(ThreadPoolExecutor, "submit", counted)
    assert asyncio.run(main()) == {verb: hops for verb, (_, hops) in VERBS.items()}
    verbs = {name for name, member in vars(MemoryManager).items() if iscoroutinefunction(member) and name[0] != "_"}
    assert verbs == set(VERBS), "a new verb needs a line above"


def test_awaits_overlap(manager: FirestoreMemoryManager) -> None:
    """As many at a time as there are threads: all are called before the first has returned."""
    together = threading.Barrier(THREADS, timeout=30)

    async def main() -> list[Any]:
        return await asyncio.gather(*(manager.get_memory_item(str(number)) for number in range(2 * THREADS)))

    with Opened(manager.alias, before=together.wait):
        assert asyncio.run(main()) == [None] * 2 * THREADS


def test_the_event_loop_goes_on_meanwhile(manager: FirestoreMemoryManager) -> None:
    """A slow database does not block the event loop."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def main() -> None:
        ticking = asyncio.create_task(tick())
        await manager.get_memory_item("unknown")
        ticking.cancel()

    with Opened(manager.alias, before=lambda: time.sleep(1.0)):
        asyncio.run(main())
    assert ticks >= 10


def test_concurrent_writes_all_arrive(manager: FirestoreMemoryManager) -> None:
    """Many writers of one session, one row for the session, no item lost."""

    async def main() -> list[str]:
        return await asyncio.gather(*(manager.add_memory_item(item(text_content=str(n))) for n in range(50)))

    ids = asyncio.run(main())
    found = asyncio.run(manager.get_conversation_history("ada", "s", limit=100))
    assert {one.pk for one in found} == set(ids)
    assert UserSession.objects.using(manager.alias).count() == 1


@pytest.fixture
def as_on_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are closed as those to a server are."""
    monkeypatch.setattr(threads, "is_sqlite_file", lambda connection: False)


@pytest.mark.usefixtures("as_on_a_server")
def test_connections_end_with_their_call(manager: FirestoreMemoryManager) -> None:
    """By the project's CONN_MAX_AGE, 0 by default: no connection to a server outlives a call."""

    async def main() -> None:
        await asyncio.gather(*(manager.get_memory_item(str(n)) for n in range(20)))

    with Opened(manager.alias) as opened:
        asyncio.run(main())
    assert opened.connections
    assert all(connection.connection is None for connection in opened.connections)


def test_an_sqlite_file_stays_open_between_calls(manager: FirestoreMemoryManager) -> None:
    """Each thread opens it once, with the default CONN_MAX_AGE; closing the manager closes it."""

    async def main() -> None:
        for number in range(20):
            await manager.add_memory_item(item(text_content=str(number)))

    with Opened(manager.alias) as opened:
        asyncio.run(main())
    assert 20 > len(opened.connections) == len(set(opened.connections))
    manager.close()
    assert all(connection.connection is None for connection in opened.connections)


def test_an_sqlite_file_is_closed_when_the_pool_is_idle(file_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also that of a pool that nobody closes."""
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.05)
    with Opened(file_database) as opened:
        asyncio.run(DatabaseThreads(file_database).run(MemoryItem.objects.using(file_database).count))
    assert len(opened.connections) == 1
    wait_until(lambda: all(connection.connection is None for connection in opened.connections))


def test_connections_are_kept_where_the_project_says_so(manager: FirestoreMemoryManager) -> None:
    """CONN_MAX_AGE=None keeps one per thread; closing the manager closes them."""
    connections.databases[manager.alias]["CONN_MAX_AGE"] = None

    async def main() -> None:
        for number in range(20):
            await manager.get_memory_item(str(number))

    with Opened(manager.alias) as opened:
        asyncio.run(main())
    assert 1 <= len(opened.connections) <= manager._threads.size
    assert any(connection.connection is not None for connection in opened.connections)
    manager.close()
    assert all(connection.connection is None for connection in opened.connections)


def test_closing_in_a_coroutine(manager: FirestoreMemoryManager) -> None:
    """As in the specification's example: open connections are closed."""
    connections.databases[manager.alias]["CONN_MAX_AGE"] = None

    async def main() -> None:
        await manager.get_memory_item("x")
        manager.close()

    with Opened(manager.alias) as opened:
        asyncio.run(main())
    assert opened.connections
    assert all(connection.connection is None for connection in opened.connections)


@pytest.mark.usefixtures("as_on_a_server")
def test_awaits_that_are_cancelled_while_they_wait(manager: FirestoreMemoryManager) -> None:
    """They never start, and connections are released nevertheless."""
    manager._threads.size = 2

    async def main() -> None:
        waiting = [asyncio.create_task(manager.get_memory_item(str(n))) for n in range(20)]
        await asyncio.sleep(0.1)
        for task in waiting:
            task.cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in done)
        await asyncio.gather(manager.get_memory_item("x"), manager.get_memory_item("y"))

    manager.close()
    manager.initialize()
    with Opened(manager.alias, before=lambda: time.sleep(0.2)) as opened:
        asyncio.run(main())
    assert all(connection.connection is None for connection in opened.connections)
    assert manager._threads._waiting == 0


def test_no_thread_stays_behind(manager: FirestoreMemoryManager) -> None:
    """`close()` waits for running calls and ends the threads."""
    asyncio.run(manager.get_memory_item("x"))
    manager.close()
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("memory-")]


def test_context_variables_are_seen() -> None:
    """Calls see the caller's context: a request's id, a tenant."""
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")
    threads = Threads("memory-test")

    async def main(name: str) -> str:
        tenant.set(name)
        return await threads.run(tenant.get)

    async def both_at_once() -> list[str]:
        return await asyncio.gather(main("a"), main("b"))

    assert asyncio.run(both_at_once()) == ["a", "b"]
    threads.close()


def test_a_forked_child_has_threads_of_its_own() -> None:
    """A child that inherits the manager does not wait for threads that exist only in its parent."""
    threads = Threads("memory-test")
    assert asyncio.run(threads.run(os.getpid)) == os.getpid()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, str(asyncio.run(threads.run(os.getpid))).encode())
        os._exit(0)
    os.close(writing)
    assert int(os.read(reading, 32)) == child
    os.waitpid(child, 0)
    threads.close()


@both
def test_inside_a_transaction_awaits_take_part_in_it() -> None:
    """Awaited calls see the uncommitted writes of a sync caller, and are rolled back with them."""
    manager = FirestoreMemoryManager()
    manager.initialize()
    mine = item()
    with transaction.atomic(using="memory"):
        MemoryItem.objects.bulk_create([mine])
        assert async_to_sync(manager.get_memory_item)(mine.pk) is not None
        written = async_to_sync(manager.add_memory_item)(item())
        transaction.set_rollback(True, using="memory")
    assert async_to_sync(manager.get_memory_item)(mine.pk) is None
    assert async_to_sync(manager.get_memory_item)(written) is None
    manager.close()


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_many_awaits_at_once_outside_of_a_transaction() -> None:
    """In an event loop of their own: connections to SQLite in memory take turns, writes that met on Firestore too."""
    manager = FirestoreMemoryManager()
    mine = item()
    mine.save()

    async def main() -> list[Any]:
        manager.initialize()
        writes = [manager.add_memory_item(item(text_content="awaited")) for _ in range(10)]
        return await asyncio.gather(*writes, *(manager.get_memory_item(mine.pk) for _ in range(10)))

    assert [found.pk for found in asyncio.run(main())[10:]] == [mine.pk] * 10
    assert [one.text_content for one in MemoryItem.objects.all()].count("awaited") == 10
    manager.close()


async def _initialize_and_read(manager: MemoryManager, pk: str) -> Any:
    manager.initialize()
    return await manager.get_memory_item(pk)


@both
def test_initializing_inside_a_coroutine_inside_a_transaction() -> None:
    """The specification's example, run by `async_to_sync` in a test."""
    manager = FirestoreMemoryManager()
    mine = item()
    mine.save()
    assert async_to_sync(_initialize_and_read)(manager, mine.pk) is not None
    manager.close()


def test_a_transaction_in_a_file_database(manager: FirestoreMemoryManager) -> None:
    """SQLite would wait for the caller's transaction forever; the call takes part in it instead."""
    with transaction.atomic(using=manager.alias):
        item(text_content="sync").save(using=manager.alias)
        async_to_sync(manager.add_memory_item)(item(text_content="awaited"))
    assert MemoryItem.objects.using(manager.alias).count() == 2


def test_beside_djangos_own_async_calls(manager: FirestoreMemoryManager) -> None:
    """A coroutine that uses both finds the same data."""

    async def main() -> bool:
        pk = await manager.add_memory_item(item())
        try:
            return await sync_to_async(MemoryItem.objects.using(manager.alias).filter(pk=pk).exists)()
        finally:  # asgiref's thread stays, and would keep its connection open
            await sync_to_async(connections.close_all)()

    assert asyncio.run(main())


def test_a_refused_write_leaves_the_callers_transaction_alone(manager: FirestoreMemoryManager) -> None:
    """An existing id fails that call only."""
    first = item()
    with transaction.atomic(using=manager.alias):
        async_to_sync(manager.add_memory_item)(first)
        with pytest.raises(StorageError):
            async_to_sync(manager.add_memory_item)(item(pk=first.pk))
        async_to_sync(manager.add_memory_item)(item())
    assert MemoryItem.objects.using(manager.alias).count() == 2


def test_calls_from_a_thread_without_an_event_loop(manager: FirestoreMemoryManager) -> None:
    """`call` runs in place."""
    threads = DatabaseThreads(manager.alias)
    assert threads.call(threading.current_thread) is threading.current_thread()
    threads.close()

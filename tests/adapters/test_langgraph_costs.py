"""What LangGraph's adapters cost on Firestore, counted on the wire: documents and calls."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import PutOp

from memory.adapters.langgraph import DjangoSaver, DjangoStore
from tests.adapters.test_langgraph_saver import at, put
from tests.cache.conftest import use_redis as use_redis
from tests.cache.test_cost import ALIAS, Bill
from tests.cache.test_cost import bill as bill

pytestmark = [pytest.mark.redis, pytest.mark.firestore_emulator]


def counted(bill: Bill, function: Any, *args: Any, **options: Any) -> tuple[dict[str, int], int, int]:
    """The calls of a function, and the documents that it read and wrote."""
    bill.clear()
    function(*args, **options)
    return dict(bill.calls), bill.read, len(bill.written)


def test_a_step_of_a_graph(bill: Bill) -> None:
    """A checkpoint is one document, the writes of a task are one, and both are written without a read."""
    saver = DjangoSaver("ada", using=ALIAS)
    config = put(saver, at("trip"), {"log": ["hello"]})
    assert counted(bill, put, saver, config, {"log": ["hello", "you"]}) == ({"Commit": 1}, 0, 1)
    writes = [("log", "a"), ("branch", None), ("other", 5)]
    config = put(saver, config, {"log": ["hello", "you"]})
    assert counted(bill, saver.put_writes, config, writes, "task1") == ({"Commit": 1}, 0, 1)
    assert counted(bill, saver.put_writes, config, writes, "task2") == ({"Commit": 1}, 0, 1)
    assert counted(bill, saver.get_tuple, at("trip")) == ({"RunQuery": 2}, 3, 0)
    calls, read, _ = counted(bill, saver.get_tuple, config)
    assert (sum(calls.values()), read) == (2, 3)
    # The ten newest, of which one has writes of two tasks.
    for _ in range(12):
        config = put(saver, config)
    calls, read, _ = counted(bill, lambda: list(saver.list(at("trip"), limit=5)))
    assert (sum(calls.values()), read) == (2, 6)


def test_operations_of_a_store(bill: Bill) -> None:
    """A get reads a document, a page its items, a list of namespaces one document for each."""
    store = DjangoStore("ada", using=ALIAS)
    store.batch([PutOp((f"n{number % 3}", "x"), f"k{number}", {"n": number}) for number in range(30)])
    assert counted(bill, store.get, ("n0", "x"), "k0") == ({"GetDocument": 1}, 1, 0)
    calls, read, _ = counted(bill, store.search, ("n0",), limit=5)
    assert (sum(calls.values()), read) == (1, 5)
    calls, read, _ = counted(bill, store.list_namespaces)
    assert (sum(calls.values()), read) == (4, 4)
    # The row of the namespace is written once a minute where it is cached.
    assert counted(bill, store.put, ("n0", "x"), "new", {"n": 1}) == ({"Commit": 1}, 0, 1)
    calls, read, _ = counted(bill, store.put, ("n0", "x"), "new", {"n": 2})
    assert (calls["Commit"], read) == (2, 3)

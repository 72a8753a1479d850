"""Every write of an adapter waits for SQLite's lock, longer than `OPTIONS["timeout"]`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from threading import Timer

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.test import override_settings
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from memory.adapters.chat import Chat, Message
from memory.models import MemoryItem, UserSession
from tests import databases

ALIAS = "locked"
HELD = 0.3
"""Seconds for which another connection has the lock."""


@pytest.fixture
def path(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Path]:
    """A database of the alias `locked`, whose writers wait for 0.05 s in SQLite."""
    found = tmp_path / "locked.sqlite3"
    settings = {"ENGINE": "memory.backends.sqlite", "NAME": found, "OPTIONS": {"timeout": 0.05}}
    memory = {"DATABASE": ALIAS, "CACHE": None, "INDEX_AFTER": None}
    with django_db_blocker.unblock(), databases.added(ALIAS, settings), override_settings(MEMORY=memory):
        call_command("migrate", "memory", database=ALIAS, verbosity=0)
        yield found


def chat() -> Chat:
    """A conversation, as of OpenAI's, LangChain's and LlamaIndex's adapters."""
    return Chat(ALIAS, "ada", "monday", "openai")


def add() -> None:
    """Add a message."""
    chat().add([Message("user", "Hello")])


def langgraph() -> dict[str, Callable[[], object]]:
    """The writes of LangGraph's store and checkpointer."""
    from memory.adapters.langgraph.checkpoints import Checkpoints  # needs langgraph
    from memory.adapters.langgraph.frames import Frame  # needs langgraph
    from memory.adapters.langgraph.items import Items, Put  # needs langgraph

    points = Checkpoints(ALIAS, "ada")
    frames = [Frame([0, "log", ""], ("bytes", b"x" * 2_000_000))]
    items = Items(ALIAS, "ada")
    return {
        "put": lambda: points.put(points.where("t", ""), "1", None, frames, {"run_id": "run"}),
        "put_writes": lambda: points.put_writes(points.where("t", ""), "1", "task", frames),
        "delete_runs": lambda: points.delete_runs(["run"]),
        "delete_thread": lambda: points.delete_thread("t"),
        "store": lambda: items.write([Put(("a",), "key", {"a": 1}, "text", 5.0)]),
        "store refreshes": lambda: items.refresh(items.get([(("a",), "key")]).values()),
        "store deletes": lambda: items.write([Put(("a",), "key", None)]),
    }


def adk() -> dict[str, Callable[[], object]]:
    """The writes of ADK's sessions."""
    from memory.adapters.adk.names import App  # needs google-adk
    from memory.adapters.adk.rows import Deltas, Rows, Seen, Turn  # needs google-adk

    rows, app = Rows(ALIAS), App("app", "ada")
    turn = Turn("1", timezone.now().timestamp(), {}, "user", "Hello", Deltas(app={"a": 1}, user={"b": 2}))
    return {
        "adk create": lambda: rows.create(app, "monday", Deltas()),
        "adk append": lambda: rows.append(app, "monday", turn, Seen("0", 0.0, None)),
        "adk delete": lambda: rows.delete(app, "monday"),
    }


def writes() -> dict[str, Callable[[], object]]:
    """By name. Each runs after the ones before it."""
    return {
        "add": add,
        "pop": lambda: chat().pop(),
        "replace": lambda: chat().replace([], [Message("user", "Good morning")]),
        "update": lambda: MemoryItem.objects.using(ALIAS).update(item_type="message"),
        "clear": lambda: chat().clear(),
        "sessions": lambda: UserSession.objects.using(ALIAS).update(last_activity=timezone.now()),
        **(langgraph() if find_spec("langgraph") else {}),
        **(adk() if find_spec("google") and find_spec("google.adk") else {}),
    }


def test_writes_wait_for_the_lock(path: Path) -> None:
    """None fails while another connection writes."""
    for name, write in writes().items():
        with closing(sqlite3.connect(path, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            timer = Timer(HELD, other.rollback)
            timer.start()
            try:
                write()
            except OperationalError as error:
                pytest.fail(f"{name}: {error!r}")
            finally:
                timer.join()

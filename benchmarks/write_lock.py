"""How long writes of long texts lock an SQLite database: other writers wait that long.

    python -m benchmarks.write_lock

Requests run in this process on databases of their own. A second process tries to begin a write every 2 ms, and the
longest time during which it could not is the figure; CPU seconds are those of the longest transaction of this thread.
Fails if a lock is above `MOST_SECONDS`. On a busy machine compare the CPU seconds.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

MOST_SECONDS = 1.0
ROWS, CHARACTERS = 500, 32_000
ITEMS = "/api/memory-items/"
PROBE = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
free, longest = time.monotonic(), 0.0
print("ready", flush=True)
import threading
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.is_set():
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        free = time.monotonic()
    except sqlite3.OperationalError:
        longest = max(longest, time.monotonic() - free)
    time.sleep(0.002)
print(longest, flush=True)
"""


@contextmanager
def watched(file: Path) -> Iterator[list[float]]:
    """Adds the seconds of the longest lock during the block."""
    found: list[float] = []
    command = [sys.executable, "-c", PROBE, str(file)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield found
    finally:
        process.stdin.close()
        found.append(float(process.stdout.readline()))
        process.wait()


@contextmanager
def timed(connection: Any) -> Iterator[list[float]]:
    """Adds the CPU seconds of each transaction of the connection during the block."""
    found: list[float] = []
    began: list[float] = []
    begin, commit = connection._start_transaction_under_autocommit, connection._commit

    def timed_begin() -> None:
        begin()
        began.append(time.thread_time())

    def timed_commit() -> None:
        commit()
        if began:
            found.append(time.thread_time() - began.pop())

    connection._start_transaction_under_autocommit, connection._commit = timed_begin, timed_commit
    try:
        yield found
    finally:
        del connection._start_transaction_under_autocommit, connection._commit


class Words:
    """Texts of many distinct words, always the same ones."""

    def __init__(self) -> None:
        self._random = random.Random(15)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._known = ["".join(self._random.choices(letters, k=self._random.randint(4, 9))) for _ in range(50_000)]

    def text(self, characters: int = CHARACTERS) -> str:
        """About this many characters."""
        return " ".join(self._random.choices(self._known, k=characters // 7))[:characters]


def cases(client: Any, words: Words) -> dict[str, Callable[[], Any]]:
    """What is measured, by name; each returns a response."""

    def post(path: str, body: Any) -> Any:
        return client.post(path, body, format="json")

    def item(session: str | None = None, characters: int = CHARACTERS) -> dict[str, Any]:
        return {"item_type": "message", "session_id": session, "text_content": words.text(characters)}

    def bulk(sessions: Callable[[int], str | None], rows: int = ROWS) -> Any:
        return post(f"{ITEMS}bulk/", {"items": [item(sessions(row)) for row in range(rows)]})

    for number in range(3):
        for session in range(100):
            assert post(ITEMS, item(f"old-{session}", 8_000 + number)).status_code == 201
    known = post(ITEMS, item("turns", 60_000)).json()["id"]
    return {
        "bulk of 500 texts of 32 KB, no session": lambda: bulk(lambda row: None),
        "bulk of 500 texts of 32 KB, one session": lambda: bulk(lambda row: "one"),
        "bulk of 100 texts of 32 KB, each after three others": lambda: bulk(lambda row: f"old-{row}", 100),
        "a turn of 1 MB": lambda: post(ITEMS, item("turns", 1_000_000)),
        "a turn of 1 MB after it": lambda: post(ITEMS, item("turns", 1_000_000)),
        "PATCH of a text of 1 MB": lambda: client.patch(
            f"{ITEMS}{known}/", {"text_content": words.text(1_000_000)}, format="json"
        ),
        "PUT of a text of 60 KB": lambda: client.put(
            f"{ITEMS}{known}/", {**client.get(f"{ITEMS}{known}/").json(), **item("turns", 60_000)}, format="json"
        ),
    }


def main() -> int:
    """Measure all cases; 1 if a lock was too long."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "memory.sqlite3"
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "settings",
            "ENV_FILE": "/dev/null",
            "APP_ENV": "development",
            "DATABASE_URL": f"sqlite:///{folder}/orchestra.sqlite3",
            "MEMORY_DATABASE_URL": f"sqlite:///{file}",
            "LOG_LEVEL": "ERROR",
        }
        import django

        django.setup()
        return measure(file)


def measure(file: Path) -> int:
    """Print each lock and each duration, in seconds."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connections
    from rest_framework.test import APIClient

    for alias in ("default", "memory"):
        call_command("migrate", database=alias, verbosity=0)
    client = APIClient(SERVER_NAME="localhost")
    client.force_authenticate(User.objects.create_user("ada"))
    figures = {}
    for name, write in cases(client, Words()).items():
        began = time.monotonic()
        with watched(file) as locked, timed(connections["memory"]) as spent:
            response = write()
        assert response.status_code in (200, 201), response.content[:500]
        figures[name] = {"lock": locked[0], "cpu": max(spent), "request": time.monotonic() - began}
        print(" ".join(f"{what} {value:7.3f} s" for what, value in figures[name].items()), name, flush=True)
    print(json.dumps({what: round(max(each[what] for each in figures.values()), 3) for what in ("lock", "cpu")}))
    return int(any(each["lock"] > MOST_SECONDS for each in figures.values()))


if __name__ == "__main__":
    sys.exit(main())

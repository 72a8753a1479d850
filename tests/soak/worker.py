"""One of the processes of the soak: writes its own items on every write path, and reads everybody's."""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()
# Whatever it prints before the outcome is a failure; a conversation that is not there yet is none.
logging.disable(logging.WARNING)
# They log each 503, which is an expected response; `_accept` reports others.
for answering in ("django.request", "memory.api.errors"):
    logging.getLogger(answering).disabled = True

from django.conf import settings  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.db import OperationalError, connections, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from rest_framework.test import APIClient  # noqa: E402

from memory import history  # noqa: E402
from memory.models import MemoryItem  # noqa: E402

from .ledger import ACKED, ACKED_AT, BEGUN, FOREVER, HIDDEN_UNTIL, Ledger, State, complaint, now  # noqa: E402

Told = tuple[str, str, int]  # an item as a reader sees it: its time, id, and version

USER = "soak"
PAST = datetime(2020, 1, 1, tzinfo=UTC)
EXISTING_CREDENTIALS = "soak-admin"
# So long a commit that was sent may wait for others' locks, and be applied, whatever became of its sender.
LOCK_SECONDS = 3.0


class RollbackError(Exception):
    """Ends a transaction that must leave nothing."""


class Worker:
    """Owns `per_process` items; nobody else writes them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.ledger = Ledger(options.ledger, options.processes * options.per_process)
        self.rows = range(options.number * options.per_process, (options.number + 1) * options.per_process)
        self.random = random.Random(f"{options.seed}-{options.number}-{options.life}")  # noqa: S311
        self.counts: dict[str, int] = {"reads": 0, "writes": 0, "behind": 0, "locked": 0}
        self.longest_behind_ms = 0
        self.wrong: list[str] = []
        self.admin = get_user_model().objects.get(username=EXISTING_CREDENTIALS)
        self.api = APIClient()
        self.api.force_authenticate(self.admin)
        self.browser = Client()
        self.browser.force_login(self.admin)
        self.breaker = history.cache_of("memory").breaker  # type: ignore[union-attr]
        self.paths: list[Callable[[Sequence[int]], None]] = [
            self.save,
            self.save_some_fields,
            self.bulk_create,
            self.bulk_update,
            self.update,
            self.update_texts,
            self.move,
            self.delete,
            self.delete_query,
            self.expire_and_purge,
            self.together,
            self.create_by_api,
            self.by_api,
            self.delete_by_api,
            self.by_admin,
            self.delete_by_admin,
            self.roll_back,
        ]
        self.ways: dict[str, int] = dict.fromkeys((path.__name__ for path in self.paths), 0)

    def run(self) -> None:
        """Work until the time is over; then wait until Redis has all changes."""
        self.resume()
        end = time.monotonic() + self.options.seconds
        while time.monotonic() < end:
            self.look_at_redis()
            if self.random.random() < 0.35:
                self.write()
            else:
                self.read()
        deadline = time.monotonic() + 10
        while self.breaker.is_open and time.monotonic() < deadline:
            time.sleep(0.1)
        summary = {"counts": self.counts, "ways": self.ways, "longest_behind_ms": self.longest_behind_ms}
        print(json.dumps({**summary, "wrong": self.wrong}))  # noqa: T201

    def resume(self) -> None:
        """Take over from a killed process: the state in the database is the acknowledged one."""
        if connections["memory"].vendor == "firestore" and any(self.ledger.cells[row, BEGUN] for row in self.rows):
            time.sleep(LOCK_SECONDS)
        excused = now() - self.ledger.last_fault < 6000
        for row in self.rows:
            begun = State.of(self.ledger.cells[row, BEGUN])
            found = MemoryItem.objects.filter(pk=f"item-{row:05}").first()
            here = State(begun.version, 0) if found is None else State(_version(found), _place(found))
            if excused:
                self.ledger.cells[row, HIDDEN_UNTIL] = now() + settings.CACHE_TTL * 1000 + 1000
            state = State(max(here.version, 0), here.place)
            if state.number != self.ledger.cells[row, ACKED]:
                self._acknowledge([row], [state])
            self.ledger.cells[row, BEGUN] = self.ledger.cells[row, ACKED]

    def look_at_redis(self) -> None:
        """Once Redis is used again, the conversations that hid changes have been dropped."""
        if not self.breaker.is_open:
            for row in self.rows:
                if self.ledger.cells[row, HIDDEN_UNTIL] == FOREVER:
                    self.ledger.cells[row, HIDDEN_UNTIL] = now()

    def read(self) -> None:
        """Read one conversation, and compare it with the ledger."""
        conversation = self.random.randrange(self.options.conversations)
        look = self._by_history if self.random.random() < 0.9 else self._by_api
        before, begun_at = self.ledger.snapshot(), now()
        found = look(conversation)
        after = self.ledger.snapshot()
        read = {int(pk[5:]): version for _, pk, version in found}
        wrong, excused = complaint(conversation, read, before, after, begun_at, settings.CACHE_TTL)
        order = [(time, pk) for time, pk, _ in found]
        if order != sorted(order, reverse=True) or len(read) != len(found):
            wrong.append(f"conversation {conversation}: out of order, or twice")
        self.wrong += wrong
        self.counts["behind"] += len(excused)
        self.longest_behind_ms = max(self.longest_behind_ms, *excused, 0)
        self.counts["reads"] += 1

    def _by_history(self, conversation: int) -> list[Told]:
        found = history.recent(USER, f"chat-{conversation}", 500)
        return [(item.timestamp.isoformat(), item.pk, _version(item)) for item in found]

    def _by_api(self, conversation: int) -> list[Told]:
        answer = self.api.get(f"/api/sessions/{USER}:chat-{conversation}/history/?limit=200")
        if answer.status_code == 404:  # nobody has written to it yet
            return []
        self._accept(answer, 200)
        return [(item["timestamp"], item["id"], int(item["text_content"])) for item in answer.json()["results"]]

    def write(self) -> None:
        """Write one or some of the own items by a random path."""
        rows = self.random.sample(self.rows, self.random.randint(1, 3))
        hidden = self.breaker.is_open
        try:
            path = self.random.choice(self.paths)
            path(rows)
            self.counts["writes"] += 1
            self.ways[path.__name__] += 1
        except OperationalError:  # SQLite was locked for too long: the outcome is unknown, so read it
            self.counts["locked"] += 1
            self.resume()
        if hidden or self.breaker.is_open:
            for row in rows:
                self.ledger.cells[row, HIDDEN_UNTIL] = FOREVER

    # Each path: note the start, write, note the end.

    def save(self, rows: Sequence[int]) -> None:
        for row in rows:
            (state,) = self._begin([row])
            self._item(row, state).save(force_insert=False)
            self._end([row], [state])

    def save_some_fields(self, rows: Sequence[int]) -> None:
        for row in self._existing(rows):
            (state,) = self._begin([row], move=False)
            found = MemoryItem.objects.get(pk=f"item-{row:05}")
            found.text_content = str(state.version)
            found.save(update_fields=["text_content"])
            self._end([row], [state])

    def bulk_create(self, rows: Sequence[int]) -> None:
        missing = [row for row in rows if row not in self._existing(rows)]
        states = self._begin(missing)
        MemoryItem.all_objects.bulk_create(
            [self._item(row, state) for row, state in zip(missing, states, strict=True)],
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["session_id", "text_content", "content_hash", "timestamp", "expiration"],
        )
        self._end(missing, states)

    def bulk_update(self, rows: Sequence[int]) -> None:
        rows = self._existing(rows)
        states = self._begin(rows)
        items = [self._item(row, state) for row, state in zip(rows, states, strict=True)]
        MemoryItem.objects.bulk_update(items, ["text_content", "session_id"])
        self._end(rows, states)

    def update(self, rows: Sequence[int]) -> None:
        for row in self._existing(rows):
            (state,) = self._begin([row], move=False)
            ends = datetime(2100, 1, 1, tzinfo=UTC) + timedelta(seconds=state.version)
            with transaction.atomic(using="memory"):
                MemoryItem.objects.filter(pk=f"item-{row:05}").update(expiration=ends)
                MemoryItem.objects.filter(pk=f"item-{row:05}").update(text_content=str(state.version))
            self._end([row], [state])

    def update_texts(self, rows: Sequence[int]) -> None:
        for row in self._existing(rows):
            (state,) = self._begin([row], move=False)
            MemoryItem.objects.filter(pk=f"item-{row:05}").update(text_content=str(state.version))
            self._end([row], [state])

    def move(self, rows: Sequence[int]) -> None:
        for row in self._existing(rows):
            (state,) = self._begin([row])
            MemoryItem.objects.filter(pk=f"item-{row:05}").update(
                session_id=f"chat-{state.place - 1}", text_content=str(state.version)
            )
            self._end([row], [state])

    def delete(self, rows: Sequence[int]) -> None:
        for row in self._existing(rows):
            (state,) = self._begin([row], gone=True)
            MemoryItem.objects.get(pk=f"item-{row:05}").delete()
            self._end([row], [state])

    def delete_query(self, rows: Sequence[int]) -> None:
        states = self._begin(rows, gone=True)
        MemoryItem.objects.filter(pk__in=[f"item-{row:05}" for row in rows]).delete()
        self._end(rows, states)

    def expire_and_purge(self, rows: Sequence[int]) -> None:
        states = self._begin(rows, gone=True)
        MemoryItem.objects.filter(pk__in=[f"item-{row:05}" for row in rows]).update(expiration=PAST)
        self._end(rows, states)
        if self.random.random() < 0.3:
            MemoryItem.all_objects.purge()

    def together(self, rows: Sequence[int]) -> None:
        states = self._begin(rows)
        with transaction.atomic(using="memory"):
            for row, state in zip(rows, states, strict=True):
                self._item(row, state).save()
        self._end(rows, states)

    def roll_back(self, rows: Sequence[int]) -> None:
        try:
            with transaction.atomic(using="memory"):
                MemoryItem.objects.filter(pk__in=[f"item-{row:05}" for row in rows]).update(text_content=str(2**40))
                MemoryItem.objects.filter(pk=f"item-{rows[0]:05}").delete()
                raise RollbackError
        except RollbackError:
            return

    def create_by_api(self, rows: Sequence[int]) -> None:
        missing = [row for row in rows if row not in self._existing(rows)]
        # Expired items still block new ones.
        MemoryItem.all_objects.filter(pk__in=[f"item-{row:05}" for row in missing]).delete()
        if missing:
            states = self._begin(missing)
            items = [
                {
                    "id": f"item-{row:05}",
                    "user_id": USER,
                    "session_id": f"chat-{state.place - 1}",
                    "item_type": "message",
                    "text_content": str(state.version),
                    "timestamp": PAST.isoformat(),
                }
                for row, state in zip(missing, states, strict=True)
            ]
            self._accept(self.api.post("/api/memory-items/bulk/", {"items": items}, format="json"), 201)
            self._end(missing, states)

    def by_api(self, rows: Sequence[int]) -> None:
        for row in self._existing(rows):
            (state,) = self._begin([row], move=False)
            answer = self.api.patch(
                f"/api/memory-items/item-{row:05}/", {"text_content": str(state.version)}, format="json"
            )
            self._accept(answer, 200)
            self._end([row], [state])

    def delete_by_api(self, rows: Sequence[int]) -> None:
        for row in self._existing(rows):
            (state,) = self._begin([row], gone=True)
            self._accept(self.api.delete(f"/api/memory-items/item-{row:05}/"), 204)
            self._end([row], [state])

    def by_admin(self, rows: Sequence[int]) -> None:
        for row in self._existing(rows):
            (state,) = self._begin([row], move=False)
            form = {
                "item_type": "message",
                "persona_active": "",
                "timestamp_0": "2020-01-01",
                "timestamp_1": "00:00:03",
                "text_content": str(state.version),
                "metadata": "{}",
                "expiration_0": "",
                "expiration_1": "",
            }
            self._accept(self.browser.post(f"/admin/memory/memoryitem/item-{row:05}/change/", form), 302)
            self._end([row], [state])

    def delete_by_admin(self, rows: Sequence[int]) -> None:
        rows = self._existing(rows)
        states = self._begin(rows, gone=True)
        if rows:
            selected = {
                "action": "delete_selected",
                "post": "yes",
                "_selected_action": [f"item-{row:05}" for row in rows],
            }
            self._accept(self.browser.post("/admin/memory/memoryitem/", selected), 302)
        self._end(rows, states)

    def _accept(self, answer: Any, status: int) -> None:
        if answer.status_code == 503 or (answer.status_code == 500 and b"outcome_unknown" in answer.content):
            raise OperationalError(str(answer.status_code))
        if answer.status_code != status:
            raise AssertionError(f"{answer.status_code} instead of {status}: {answer.content[:500]!r}")

    def _existing(self, rows: Sequence[int]) -> list[int]:
        return [row for row in rows if State.of(self.ledger.cells[row, ACKED]).place]

    def _begin(self, rows: Sequence[int], move: bool = True, gone: bool = False) -> list[State]:
        states = []
        for row in rows:
            acked = State.of(self.ledger.cells[row, ACKED])
            place = self.random.randrange(self.options.conversations) + 1 if move else acked.place
            states.append(State(acked.version + 1, 0 if gone else place))
            self.ledger.cells[row, BEGUN] = states[-1].number
        return states

    def _end(self, rows: Sequence[int], states: Sequence[State]) -> None:
        if self.breaker.is_open:  # noted before the acknowledgement, so that no reader is ahead of it
            for row in rows:
                self.ledger.cells[row, HIDDEN_UNTIL] = FOREVER
        self._acknowledge(rows, states)

    def _acknowledge(self, rows: Sequence[int], states: Sequence[State]) -> None:
        for row, state in zip(rows, states, strict=True):
            self.ledger.cells[row, ACKED_AT] = now()
            self.ledger.cells[row, ACKED] = state.number

    def _item(self, row: int, state: State) -> MemoryItem:
        item = MemoryItem.all_objects.filter(pk=f"item-{row:05}").first()
        item = item or MemoryItem(pk=f"item-{row:05}", user_id=USER, item_type="message")
        item.session_id = f"chat-{state.place - 1}"
        item.text_content = str(state.version)
        item.timestamp = PAST + timedelta(seconds=self.random.randrange(5))
        item.expiration = None
        return item


def _version(item: MemoryItem) -> int:
    return int(item.text_content or 0)


def _place(item: MemoryItem) -> int:
    return int((item.session_id or "chat--1")[5:]) + 1


def check(options: argparse.Namespace) -> int:
    """After all processes have ended: whether every cached conversation equals the database."""
    sys.stdin.read()
    cache = history.cache_of("memory")
    assert cache is not None
    for conversation in range(options.conversations):  # cached conversations stay as they are, others are filled
        history.recent(USER, f"chat-{conversation}", 1)
    names = list(cache.names())
    wrong = [name.session_id for name in names if not history.verify(name, "memory")]
    print(json.dumps({"compared": len(names), "wrong": wrong}))  # noqa: T201
    return len(wrong)


def main() -> int:
    """`python -m tests.soak.worker`, started by `tests.soak.coherence`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path)
    for name in ("number", "life", "processes", "per-process", "conversations", "seed"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.check:
        return check(options)
    worker = Worker(options)
    worker.run()
    return bool(worker.wrong)


if __name__ == "__main__":
    sys.exit(main())

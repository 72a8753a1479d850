"""Vectors of remote models: made after the write that they belong to is committed, never holding it up or failing it.

By Django's tasks, where the project has a backend that runs them elsewhere, or else by one thread of this process that
has a bounded queue. What is dropped (the queue is full, the model is away, the process ends) waits in the database,
where `manage.py memory_embed` finds it.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connections

from .pending import embed_now

logger = logging.getLogger(__name__)

# Ids in one task, and in one call of the model.
BATCH = 100
MOST_QUEUED = 10_000
# How long the thread waits for company to the first id of a batch, and the process for the thread when it ends.
GATHER_SECONDS, LAST_SECONDS = 0.05, 2.0

# Backends that run a task where it is enqueued would hold the write up.
IN_PLACE = "ImmediateBackend"


def embed_later(ids: Sequence[str], using: str) -> None:
    """Have the vectors of committed items made. Returns at once; raises only what a task's backend raises."""
    enqueue = task()
    if enqueue is None:
        thread.put(ids, using)
        return
    for start in range(0, len(ids), BATCH):
        enqueue(list(ids[start : start + BATCH]), using)


def task() -> Callable[[list[str], str], Any] | None:
    """What enqueues the task; None where the project runs no tasks, or runs them where they are enqueued."""
    backend = getattr(settings, "TASKS", {}).get("default", {}).get("BACKEND", "")
    if not backend or backend.endswith(IN_PLACE):
        return None
    return _enqueue()


@cache
def _enqueue() -> Callable[[list[str], str], Any] | None:
    try:
        from memory.tasks import embed_items  # an optional extra: needs Django's tasks
    except ImportError:
        return None
    enqueue: Callable[[list[str], str], Any] = embed_items.enqueue
    return enqueue


class EmbeddingThread:
    """Ids of items, and the thread that completes them: started when there is one, a daemon, one a process."""

    def __init__(self, most: int = MOST_QUEUED) -> None:
        self.most = most
        self.reset()

    def reset(self) -> None:
        """Start from nothing, as a forked child must: neither the thread nor its work is its own."""
        self._queue: deque[tuple[str, str]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._working = self._ending = False

    def put(self, ids: Sequence[str], using: str) -> None:
        """Queue as many as there is room for; the others wait in the database."""
        with self._changed:
            room = 0 if self._ending else self.most - len(self._queue)
            self._queue.extend((using, one) for one in ids[:room])
            if self._queue and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="embedding-of-memory", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if len(ids) > room:
            logger.warning("%d items wait for manage.py memory_embed: the queue is full.", len(ids) - room)

    def wait(self, timeout: float) -> bool:
        """Wait until nothing is queued or under way, at most `timeout` seconds; whether it came to that."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._working, timeout)

    def end(self) -> None:
        """Take nothing new, and let the batch that is under way end, if that is soon."""
        with self._changed:
            self._ending = True
            self._queue.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)

    def _run(self) -> None:
        while batch := self._next_batch():
            using, ids = batch
            try:
                embed_now(ids, using)
            except Exception:  # the thread's edge: whatever a model or a database raises, the next batch has its turn
                logger.exception("%d items wait for manage.py memory_embed: no vectors were made.", len(ids))
            finally:
                connections[using].close()
                with self._changed:
                    self._working = False
                    self._changed.notify_all()

    def _next_batch(self) -> tuple[str, list[str]] | None:
        """The alias of a database and ids of items in it; None when the process ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ending)
            self._changed.wait_for(lambda: len(self._queue) >= BATCH or self._ending, GATHER_SECONDS)
            if self._ending:
                return None
            using = self._queue[0][0]
            ids: list[str] = []
            while self._queue and self._queue[0][0] == using and len(ids) < BATCH:
                ids.append(self._queue.popleft()[1])
            self._working = True
            return using, ids


thread = EmbeddingThread()
atexit.register(thread.end)
os.register_at_fork(after_in_child=thread.reset)

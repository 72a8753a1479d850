"""Computes vectors of remote embedders after the commit of the write, which they neither delay nor fail.

They are computed by Django's tasks if the project has a backend that runs them elsewhere, otherwise by one thread of
this process with a bounded queue. Items that are dropped (the queue is full, the embedder fails, the process ends) stay
pending in the database, and `manage.py memory_embed` completes them.
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

# Ids in one task, and texts in one call of the embedder.
BATCH = 100
MOST_QUEUED = 10_000
# Seconds that the thread waits for more ids of a batch, and that the process waits for the thread at exit.
GATHER_SECONDS, LAST_SECONDS = 0.05, 2.0

# Backends that run tasks in the calling thread would delay the write.
IN_PLACE = "ImmediateBackend"


def embed_later(ids: Sequence[str], using: str) -> None:
    """Schedule the vectors of committed items. Returns at once; raises only errors of the task backend."""
    enqueue = task()
    if enqueue is None:
        thread.put(ids, using)
        return
    for start in range(0, len(ids), BATCH):
        enqueue(list(ids[start : start + BATCH]), using)


def task() -> Callable[[list[str], str], Any] | None:
    """The function that enqueues the task; None without tasks, or if they run in the calling thread."""
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
    """A queue of ids and the daemon thread that completes the items; one per process, started at the first id."""

    def __init__(self, most: int = MOST_QUEUED) -> None:
        self.most = most
        self.reset()

    def reset(self) -> None:
        """Clear everything. A forked child calls it, since neither the thread nor its work is the child's."""
        self._queue: deque[tuple[str, str]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._working = self._ending = False

    def put(self, ids: Sequence[str], using: str) -> None:
        """Queue as many ids as there is room for; the other items stay pending in the database."""
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
        """Wait up to `timeout` seconds until the queue is empty and idle. Returns whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._working, timeout)

    def end(self) -> None:
        """Accept no more ids, and wait briefly for the current batch."""
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
            except Exception:  # the thread must survive any error of an embedder or database
                logger.exception("%d items wait for manage.py memory_embed: no vectors were made.", len(ids))
            finally:
                connections[using].close()
                with self._changed:
                    self._working = False
                    self._changed.notify_all()

    def _next_batch(self) -> tuple[str, list[str]] | None:
        """A database alias and ids of items in it; None at the end of the process."""
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

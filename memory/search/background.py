"""Work that neither delays nor fails the write or the search that it follows.

- Vectors of remote embedders, after the commit of the write.
- The index of a user whose search found many items that are not in it.

Django's tasks do it if the project has a backend that runs them elsewhere, otherwise one thread of this process for
each kind, with a bounded queue. What is dropped (the queue is full, the embedder fails, the process ends) stays to be
done in the database: `manage.py memory_embed` and `manage.py memory_index` complete it, and so does the next search.
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

from .packing import index_now
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


def index_later(user_id: str, using: str) -> None:
    """Schedule the index of a user's items. Returns at once and raises nothing: the search has its results."""
    enqueue = task("index_memory")
    if enqueue is None:
        packing_thread.put([user_id], using)
        return
    try:
        enqueue(user_id, using)
    except Exception:  # of any task backend
        logger.exception("A search index waits for manage.py memory_index: the task was not accepted.")


def task(name: str = "embed_items") -> Callable[..., Any] | None:
    """The function that enqueues a task; None without tasks, or if they run in the calling thread."""
    backend = getattr(settings, "TASKS", {}).get("default", {}).get("BACKEND", "")
    if not backend or backend.endswith(IN_PLACE):
        return None
    return _enqueue(name)


@cache
def _enqueue(name: str) -> Callable[..., Any] | None:
    try:
        from memory import tasks  # an optional extra: needs Django's tasks
    except ImportError:
        return None
    enqueue: Callable[..., Any] = getattr(tasks, name).enqueue
    return enqueue


class BackgroundThread:
    """A queue of ids and the daemon thread that works on them; one per process, started at the first id.

    `work` gets a list of ids and an alias; `todo` is the command that does what is left undone.
    """

    def __init__(self, name: str, work: Callable[[list[str], str], Any], todo: str, most: int = MOST_QUEUED) -> None:
        self.name = name
        self.work = work
        self.todo = todo
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
            waiting = set(self._queue)
            self._queue.extend((using, identity) for identity in ids[:room] if (using, identity) not in waiting)
            if self._queue and self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if len(ids) > room:
            logger.warning("%d wait for manage.py %s: the queue is full.", len(ids) - room, self.todo)

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
                self.work(ids, using)
            except Exception:  # the thread must survive any error of an embedder or database
                logger.exception("%d wait for manage.py %s, since this failed.", len(ids), self.todo)
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


def _index_all(user_ids: Sequence[str], using: str) -> None:
    for user_id in user_ids:
        index_now(user_id, using)


thread = BackgroundThread("embedding-of-memory", lambda ids, using: embed_now(ids, using), "memory_embed")
packing_thread = BackgroundThread("index-of-memory", _index_all, "memory_index")
for _one in (thread, packing_thread):
    atexit.register(_one.end)
    os.register_at_fork(after_in_child=_one.reset)

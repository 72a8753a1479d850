"""gunicorn's threaded worker, whose probes do not wait for the threads of other requests.

A connection waits for its request in the worker's event loop, which then looks at the first bytes: probes have threads
of their own, `/api/health/live` others than those that ask backends. So `live` answers while every thread of the
service waits for a storage that hangs, and `health` and `ready` keep their time limit.
"""

from __future__ import annotations

import re
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from gunicorn.workers import gthread

LIVE = re.compile(rb"(GET|HEAD) /api/health/live/?[? ]")
PROBE = re.compile(rb"(GET|HEAD) /api/health(/ready)?/?[? ]")
LONGEST = 40
"""Bytes that the expressions need."""

LIVE_THREADS, PROBE_THREADS = 2, 8


class ProbeWorker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """`worker_class = ProbeWorker`."""

    def init_process(self) -> None:
        """Make the pools, before requests are accepted."""
        self.live_pool = ThreadPoolExecutor(LIVE_THREADS, "live")
        self.probe_pool = ThreadPoolExecutor(PROBE_THREADS, "probe")
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        """Submit a connection to a pool; one that has sent nothing yet waits in the event loop instead of a thread."""
        if self.alive and not (conn.initialized or conn.data_ready or self.cfg.is_ssl):
            waiting: Future[object] = Future()
            waiting.set_result(gthread._DEFER)
            self.finish_request(conn, waiting)
            return
        future = self.pool_of(conn).submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def pool_of(self, conn: Any) -> ThreadPoolExecutor:
        """The pool for the request that has arrived."""
        try:
            begin = conn.sock.recv(LONGEST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except (OSError, ValueError):  # nothing yet, closed by the client, or encrypted
            begin = b""
        if LIVE.match(begin):
            return self.live_pool
        pool: ThreadPoolExecutor = self.probe_pool if PROBE.match(begin) else self.tpool
        return pool

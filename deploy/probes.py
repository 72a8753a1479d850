"""gunicorn's threaded worker, whose probes do not wait for the threads of other requests.

A connection waits for its request in the worker's event loop, which then looks at the first bytes. `/api/health/live`
is answered there; the probes that ask backends have threads of their own. So `live` answers while every thread of the
service computes, or waits for a storage that hangs, and `health` and `ready` keep their time limit.
"""

from __future__ import annotations

import re
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from gunicorn.workers import gthread

LIVE = re.compile(rb"(GET|HEAD) /api/health/live/?[? ]")
PROBE = re.compile(rb"(GET|HEAD) /api/health(/ready)?/?[? ]")
LONGEST = 40
"""Bytes that the expressions need."""

PROBE_THREADS = 8
MOST_HEADERS = 65_536
BODY = b'{"status":"ok"}'
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\nCache-Control: no-store\r\n"
    b"Connection: close\r\n\r\n"
)


class ProbeWorker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """`worker_class = ProbeWorker`."""

    def init_process(self) -> None:
        """Make the pool, before requests are accepted."""
        self.probe_pool = ThreadPoolExecutor(PROBE_THREADS, "probe")
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        """Submit a connection to a pool; one that has sent nothing yet waits in the event loop instead of a thread."""
        if self.alive and not (conn.initialized or conn.data_ready or self.cfg.is_ssl):
            waiting: Future[object] = Future()
            waiting.set_result(gthread._DEFER)
            self.finish_request(conn, waiting)
            return
        begin = first_bytes(conn.sock)
        if LIVE.match(begin):
            self.answer_live(conn, begin)
            return
        pool = self.probe_pool if PROBE.match(begin) else self.tpool
        future = pool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def answer_live(self, conn: Any, begin: bytes) -> None:
        """Send the response and close the connection, without waiting for the client."""
        with suppress(OSError):
            conn.sock.setblocking(False)
            conn.sock.recv(MOST_HEADERS)
            conn.sock.send(HEAD if begin.startswith(b"HEAD") else HEAD + BODY)
        self.nr_conns -= 1
        conn.close()


def first_bytes(sock: socket.socket) -> bytes:
    """The beginning of the request that has arrived; empty if there is none, or it is encrypted."""
    try:
        return sock.recv(LONGEST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except (OSError, ValueError):
        return b""

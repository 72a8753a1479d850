"""gunicorn's threaded worker, whose probes do not wait for the threads of other requests.

A connection waits for its request in the worker's event loop, which then looks at the first bytes. `/api/health/live`
is answered there; the probes that ask backends have threads of their own. So `live` answers while every thread of the
service computes, or waits for a storage that hangs, and `health` and `ready` keep their time limit.

The event loop itself never waits: connections are closed by threads of their own, since gunicorn waits for up to two
seconds for clients that do not close theirs. A worker with `worker_connections` connections still accepts others, and
answers them with 503 unless they are probes.
"""

from __future__ import annotations

import re
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.workers import gthread

LIVE = re.compile(rb"(GET|HEAD) /api/health/live/?[? ]")
PROBE = re.compile(rb"(GET|HEAD) /api/health(/ready)?/?[? ]")
LONGEST = 40
"""Bytes that the expressions need."""

PROBE_THREADS = CLOSING_THREADS = 8
RESERVED_CONNECTIONS = 100
"""Connections beyond `worker_connections`."""

MOST_HEADERS = 65_536
BODY = b'{"status":"ok"}'
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\nCache-Control: no-store\r\n"
    b"Connection: close\r\n\r\n"
)
REFUSED_BODY = b'{"error":{"code":"unavailable","message":"The service has too many connections.","fields":{}}}'
REFUSED = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    b"Cache-Control: no-store\r\nRetry-After: 1\r\nConnection: close\r\n\r\n%s" % (len(REFUSED_BODY), REFUSED_BODY)
)


class ProbeWorker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """`worker_class = ProbeWorker`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.worker_connections += RESERVED_CONNECTIONS

    def init_process(self) -> None:
        """Make the pools, before requests are accepted."""
        self.probe_pool = ThreadPoolExecutor(PROBE_THREADS, "probe")
        self.closing_pool = ThreadPoolExecutor(CLOSING_THREADS, "closing")
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        """Submit a connection to a pool; one that has sent nothing yet waits in the event loop instead of a thread."""
        conn.close = partial(self.close, conn)
        if self.alive and not (conn.initialized or conn.data_ready or self.cfg.is_ssl):
            waiting: Future[object] = Future()
            waiting.set_result(gthread._DEFER)
            self.finish_request(conn, waiting)
            return
        begin = first_bytes(conn.sock)
        if LIVE.match(begin):
            self.answer(conn, HEAD if begin.startswith(b"HEAD") else HEAD + BODY)
            return
        is_probe = PROBE.match(begin)
        if not (is_probe or conn.initialized) and self.nr_conns > self.cfg.worker_connections:
            self.answer(conn, REFUSED)
            return
        pool = self.probe_pool if is_probe else self.tpool
        future = pool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def answer(self, conn: Any, response: bytes) -> None:
        """Send a response and close the connection, without waiting for the client."""
        with suppress(OSError):
            conn.sock.setblocking(False)
            conn.sock.recv(MOST_HEADERS)
            conn.sock.send(response)
        self.nr_conns -= 1
        conn.close()

    def close(self, conn: Any, graceful: bool = False) -> None:
        """Close a connection. A graceful close waits for the client, so it has a thread of its own."""
        if graceful:
            self.closing_pool.submit(gthread.TConn.close, conn, graceful=True)
        else:
            gthread.TConn.close(conn)


def first_bytes(sock: socket.socket) -> bytes:
    """The beginning of the request that has arrived; empty if there is none, or it is encrypted."""
    try:
        return sock.recv(LONGEST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except (OSError, ValueError):
        return b""

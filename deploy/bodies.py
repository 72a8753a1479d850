"""Bodies of requests, which gunicorn's threaded worker reads with one copy, and discards if the application does not.

gunicorn copies a large body five to ten times while it reads it, and 64 times the MiB that it has read ahead while it
discards what the application has not read. It also discards no more than 64 KiB, then resets the connection, so that
some clients lose the response that refuses their body.
"""

from __future__ import annotations

import io
import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.http.body import LengthReader
from gunicorn.workers import gthread

BUFFER_BYTES = 64 * 1024
MOST_DISCARDED = 32 * 1024 * 1024
"""Bytes of a body that are read after the response, so that its client reads the response: twice the largest body."""


class SocketBody(io.RawIOBase):
    """A body of known length, read from its connection into the reader's buffer."""

    def __init__(self, unreader: Any, length: int) -> None:
        self.unreader = unreader
        self.left = length

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer with what has arrived; 0 at the end."""
        with memoryview(buffer) as view:
            most = min(len(view), self.left)
            if held := self.unreader.take_buffered() if most else b"":
                count = min(most, len(held))
                view[:count] = held[:count]
                if len(held) > count:
                    self.unreader.unread(held[count:])
            else:
                count = self.unreader.sock.recv_into(view[:most]) if most else 0
        self.left -= count
        return count


class Body(io.BufferedReader):
    """`wsgi.input` of a body of known length."""

    def __init__(self, unreader: Any, length: int) -> None:
        super().__init__(SocketBody(unreader, length), BUFFER_BYTES)
        self.sock: socket.socket = unreader.sock

    def discard(self, most: int, seconds: float) -> None:
        """Read at most so many bytes, for at most so many seconds, without keeping them."""
        buffer, until, before = bytearray(BUFFER_BYTES), time.monotonic() + seconds, self.sock.gettimeout()
        try:
            while most > 0 and (remaining := until - time.monotonic()) > 0:
                self.sock.settimeout(remaining)
                count = self.readinto1(buffer)
                if not count:
                    return
                most -= count
        finally:
            self.sock.settimeout(before)


class BodyWorker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A threaded worker whose bodies of known length are of the class `Body`."""

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Replace the body's reader first."""
        if isinstance(reader := req.body.reader, LengthReader):
            req.body = Body(reader.unreader, reader.length)
        return bool(super().handle_request(req, conn))

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Discard what the application has not read, also before the connection is closed."""
        body = conn.parser.mesg.body
        if isinstance(body, Body):
            with suppress(OSError):  # the client is slow or away; gunicorn finds that, too, and closes
                body.discard(MOST_DISCARDED, gthread.DEFAULT_WORKER_DATA_TIMEOUT)
        return bool(super()._keepalive_after(conn, keepalive))

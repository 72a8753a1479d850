"""Bodies that gunicorn's worker reads with one copy, and discards if the application does not read them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from gunicorn.http.unreader import SocketUnreader

from deploy.bodies import Body

MIB = 1024 * 1024
NEXT = b"GET /next HTTP/1.1\r\n\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's socket and the server's."""
    client, server = socket.socketpair()
    with client, server:
        yield client, server


@pytest.mark.parametrize("size", [1, 8_191, 100_000, 3 * MIB])
def test_a_body_is_read_to_its_length(ends: tuple[socket.socket, socket.socket], size: int) -> None:
    """In any steps; what follows it is left for the next request."""
    client, server = ends
    sent = (bytes(range(251)) * (size // 251 + 1))[:size]
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.sendall, sent + NEXT)
        unreader = SocketUnreader(server)
        unreader.unread(unreader.read())
        body = Body(unreader, size)
        assert body.read(0) == b""
        begin = body.read(7)
        assert begin + body.read(70_000) + body.read() == sent
        assert body.read(1) == b""
        sending.result()
    assert unreader.read(len(NEXT)) == NEXT


def test_a_body_that_ends_early_is_short(ends: tuple[socket.socket, socket.socket]) -> None:
    """As with gunicorn's own."""
    client, server = ends
    client.sendall(b"abc")
    client.shutdown(socket.SHUT_WR)
    assert Body(SocketUnreader(server), 10).read() == b"abc"


def test_a_body_has_lines(ends: tuple[socket.socket, socket.socket]) -> None:
    """PEP 3333 asks for them."""
    client, server = ends
    client.sendall(b"one\ntwo\nthree" + NEXT)
    body = Body(SocketUnreader(server), 13)
    assert (body.readline(), body.readline(2), list(body)) == (b"one\n", b"tw", [b"o\n", b"three"])


def test_discarding_is_bounded(ends: tuple[socket.socket, socket.socket]) -> None:
    """In bytes and in time; the socket's timeout stays."""
    client, server = ends
    client.sendall(b"x" * 100_000)
    server.settimeout(7)
    body = Body(SocketUnreader(server), 1_000_000)
    body.discard(most=65_536, seconds=60)
    assert body.raw.left <= 1_000_000 - 65_536  # type: ignore[attr-defined]
    with pytest.raises(TimeoutError):
        body.discard(most=1_000_000, seconds=0.05)
    assert server.gettimeout() == 7

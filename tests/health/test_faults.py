"""Health over HTTP while backends fail: Redis hangs, exits, recovers or rejects credentials; SQLite is locked."""

from __future__ import annotations

import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest
import requests

from memory.health import Runner
from tests import live
from tests.waiting import wait_until

BUDGET = 2.0  # seconds, as MEMORY["HEALTH_TIMEOUT"] has it
SLACK = 10.0  # seconds that a busy machine may add; SQLite itself waits for 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the migrated databases of a service."""
    live.make_databases(tmp_path)
    return tmp_path


@pytest.fixture
def redis() -> Iterator[live.Redis]:
    with live.redis() as running:
        yield running


def with_redis(redis: live.Redis, password: str = live.PASSWORD) -> dict[str, str]:
    """The environment variables for a Redis."""
    return {"REDIS_HOST": "localhost", "REDIS_PORT": str(redis.port), "REDIS_PASSWORD": password}


def assert_health(service: live.Service, status: str, failures: dict[str, str]) -> None:
    """Assert the status and the failed components within the time limit."""
    response = service.request("/api/health")
    body = response.json()
    assert response.elapsed.total_seconds() < BUDGET + SLACK
    assert response.status_code == (503 if status == "unavailable" else 200)
    assert body["status"] == status
    assert [name for name, well in body["components"].items() if not well] == list(failures)
    assert {name: body["details"][name]["failure"] for name in failures} == failures
    assert live.PASSWORD not in response.text
    assert "localhost" not in response.text


def assert_health_becomes(service: live.Service, status: str, failures: dict[str, str]) -> None:
    """Assert the health after cached results have expired."""
    time.sleep(Runner.SHARED_SECONDS)
    assert_health(service, status, failures)


def is_ok(service: live.Service) -> bool:
    """Whether the service reports `ok`."""
    return bool(service.request("/api/health").json()["status"] == "ok")


@pytest.mark.redis
def test_redis_hangs_exits_and_recovers(folder: Path, redis: live.Redis) -> None:
    """`degraded` with the failure class while Redis fails, `ok` after recovery."""
    with live.service(folder, **with_redis(redis)) as service:
        assert service.request("/api/health").json()["details"] == {"storage_firestore": {"engine": "embedded SQLite"}}
        assert_health(service, "ok", {})
        redis.process.send_signal(signal.SIGSTOP)
        assert_health_becomes(service, "degraded", {"storage_redis": "timeout"})
        assert service.request("/api/health/ready").status_code == 200
        redis.process.send_signal(signal.SIGCONT)
        # The breaker of the affected worker closes within 5 s of the recovery; query all workers.
        wait_until(lambda: all(is_ok(service) for _ in range(6)), "the health is ok again", 5 + SLACK)
        assert_health(service, "ok", {})
        redis.process.kill()
        redis.process.wait()
        assert_health_becomes(service, "degraded", {"storage_redis": "connection refused"})
        assert live.PASSWORD not in service.log


@pytest.mark.redis
@pytest.mark.parametrize("password", ["a-wrong-one", ""])
def test_redis_rejects_the_password(folder: Path, redis: live.Redis, password: str) -> None:
    """A wrong or missing password is reported as such; the password is neither in the response nor in the log."""
    with live.service(folder, **with_redis(redis, password)) as service:
        assert_health(service, "degraded", {"storage_redis": "authentication failed"})
        assert "a-wrong-one" not in service.log


def test_unknown_redis_host_is_reported_without_its_name(folder: Path) -> None:
    """The failure is `unknown host`, or `timeout` if the resolver is slow."""
    with live.service(folder, REDIS_HOST="cache.secret.invalid") as service:
        response = service.request("/api/health")
        assert response.json()["status"] == "degraded"
        assert response.json()["details"]["storage_redis"]["failure"] in ("unknown host", "timeout")
        assert "secret.invalid" not in response.text + service.log


def test_many_probes_on_a_locked_database(folder: Path) -> None:
    """Each probe returns 503 in time, the number of threads is bounded, and health recovers with the lock."""
    with live.service(folder, WEB_THREADS="32") as service, closing(exclusive(folder / "memory.sqlite3")) as lock:
        lock.execute("SELECT 1 FROM memory_items").fetchall()
        # SQLite's own timeout (20 s) is much longer.
        with ThreadPoolExecutor(30) as pool:
            begun = time.monotonic()
            answers = list(pool.map(lambda _: service.request("/api/health"), range(90)))
            seconds = time.monotonic() - begun
        assert {response.status_code for response in answers} == {503}
        assert {response.json()["details"]["storage_firestore"]["failure"] for response in answers} == {"timeout"}
        assert max(response.elapsed.total_seconds() for response in answers) < BUDGET + SLACK
        assert seconds < 2 * (BUDGET + SLACK)
        assert threads(service) < 32 + 10
        assert service.request("/api/health/live").status_code == 200
        assert service.request("/api/health/ready").status_code == 503
        lock.execute("PRAGMA locking_mode=NORMAL")
        lock.execute("SELECT 1 FROM memory_items").fetchall()
        lock.close()
        wait_until(lambda: service.request("/api/health").status_code == 200, "health returns", 30)


PROBES = ("/api/health/live", "/api/health/live/", "/api/health", "/api/health/ready")
AT_ONCE = 1.0  # seconds, on a busy machine


def test_probes_while_every_thread_waits_for_storage(folder: Path) -> None:
    """`live` answers at once, the others within their time limit, though requests wait for all threads."""
    token = token_of_ada(folder)
    with live.service(folder) as service, closing(exclusive(folder / "memory.sqlite3")) as lock:
        lock.execute("SELECT 1 FROM memory_items").fetchall()
        with ThreadPoolExecutor(24) as pool:
            headers = {"Authorization": f"Token {token}"}
            for _ in range(24):  # six times as many as there are threads
                pool.submit(service.request, "/api/memory-items/", headers=headers)
            time.sleep(1)
            for path in PROBES:
                limit = AT_ONCE if "live" in path else BUDGET
                answers = [service.request(path) for _ in range(4)]
                assert {answer.status_code for answer in answers} == {200 if "live" in path else 503}
                assert min(answer.elapsed.total_seconds() for answer in answers) < limit
                assert max(answer.elapsed.total_seconds() for answer in answers) < limit + SLACK
            # Kept-alive connections are dispatched by each of their requests.
            with requests.Session() as session:
                for path in ("/api/health", "/api/health/live", "/api/health/live"):
                    answer = session.get(service.url + path, timeout=30)
                assert answer.elapsed.total_seconds() < AT_ONCE + SLACK
            lock.execute("PRAGMA locking_mode=NORMAL")
            lock.execute("SELECT 1 FROM memory_items").fetchall()
            lock.close()
        assert service.request("/api/memory-items/", headers=headers).status_code == 200


def test_probes_while_there_are_too_many_connections(folder: Path) -> None:
    """Requests beyond the limit of connections are refused at once, but not probes."""
    headers = {"Authorization": f"Token {token_of_ada(folder)}"}
    most = "--worker-connections=12"
    with live.service(folder, GUNICORN_CMD_ARGS=most) as service, closing(exclusive(folder / "memory.sqlite3")) as lock:
        lock.execute("SELECT 1 FROM memory_items").fetchall()
        with ThreadPoolExecutor(36) as pool:
            asked = [pool.submit(service.request, "/api/memory-items/", headers=headers) for _ in range(36)]
            time.sleep(1)
            answers = [service.request("/api/health/live") for _ in range(4)]
            assert min(answer.elapsed.total_seconds() for answer in answers) < AT_ONCE
            refused = [each.result() for each in asked if each.done()]
            lock.execute("PRAGMA locking_mode=NORMAL")
            lock.execute("SELECT 1 FROM memory_items").fetchall()
            lock.close()
        assert len(refused) >= 24
        assert {answer.status_code for answer in refused} == {503}
        assert {answer.json()["error"]["code"] for answer in refused} == {"unavailable"}
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        assert [each.result().status_code for each in asked].count(200) == 36 - len(refused)


def test_probes_while_clients_do_not_close_their_connections(folder: Path) -> None:
    """Closing such a connection takes seconds, but not those of the event loop."""
    with live.service(folder) as service, ExitStack() as stack:
        port = int(service.url.rpartition(":")[2])
        for _ in range(4):
            client = stack.enter_context(socket.create_connection(("localhost", port)))
            client.sendall(b"GET /api/health HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert client.recv(1000)
        answers = [service.request("/api/health/live") for _ in range(4)]
        assert max(answer.elapsed.total_seconds() for answer in answers) < 2 * AT_ONCE


def test_credentials_do_not_make_health_wait(folder: Path) -> None:
    """The user is looked up within the time limit."""
    token = token_of_ada(folder)
    with live.service(folder) as service, closing(exclusive(folder / "orchestra.sqlite3")) as lock:
        assert service.request("/api/health").status_code == 200  # known for a second
        lock.execute("SELECT 1 FROM auth_user").fetchall()
        answer = service.request("/api/health", headers={"Authorization": f"Token {token}"})
        assert answer.elapsed.total_seconds() < BUDGET + SLACK
        lock.execute("PRAGMA locking_mode=NORMAL")
        lock.execute("SELECT 1 FROM auth_user").fetchall()


def token_of_ada(folder: Path) -> str:
    """A new user's token."""
    variables = live.deployed(folder)
    name = ("--noinput", "--username=ada", "--email=ada@example.org")
    live.manage("createsuperuser", *name, **variables, DJANGO_SUPERUSER_PASSWORD=live.PASSWORD)
    return live.manage("memory_tokens", "create", "ada", **variables).strip()


def exclusive(file: Path) -> sqlite3.Connection:
    """A connection that blocks all others from its first query."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    return connection


def threads(service: live.Service) -> int:
    """The number of threads of the only worker."""
    (worker,) = psutil.Process(service.process.pid).children()
    return worker.num_threads()


@pytest.mark.parametrize(("file", "component"), [("memory.sqlite3", "storage_firestore"), ("orchestra.sqlite3", "app")])
def test_corrupt_database_is_unavailable(folder: Path, file: str, component: str) -> None:
    """Both databases are required."""
    for suffix in ("", "-wal", "-shm"):
        (folder / f"{file}{suffix}").unlink(missing_ok=True)
    (folder / file).write_bytes(b"no database " * 1000)
    with live.service(folder) as service:
        assert_health(service, "unavailable", {component: "error"})
        assert str(folder) not in service.request("/api/health").text

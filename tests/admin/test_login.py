"""The admin's login is throttled, whatever the cache is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache import caches
from django.test import Client

from orchestra import logins
from tests import live

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

LOGIN = "/admin/login/"
RIGHT = "secret-for-tests"


def redis_at(port: int) -> dict[str, Any]:
    """The service's cache."""
    options = {"PASSWORD": live.PASSWORD, "IGNORE_EXCEPTIONS": True, "SOCKET_CONNECT_TIMEOUT": 0.1}
    serializer = {"SERIALIZER": "memory.redis.TolerantJSONSerializer"}
    where = f"redis://127.0.0.1:{port}/0"
    return {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": where, "OPTIONS": {**options, **serializer}}


@contextmanager
def running_redis() -> Iterator[dict[str, Any]]:
    with live.redis() as server:
        yield redis_at(server.port)


@contextmanager
def redis_that_is_away() -> Iterator[dict[str, Any]]:
    yield redis_at(1)


@contextmanager
def local_memory() -> Iterator[dict[str, Any]]:
    yield {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "logins-of-tests"}


CACHES = {
    "local memory": local_memory,
    "Redis": pytest.param(running_redis, marks=pytest.mark.redis),
    "Redis that is away": redis_that_is_away,
}


@pytest.fixture(params=CACHES.values(), ids=CACHES.keys())
def _cache(request: pytest.FixtureRequest, settings: Any, make_user: Callable[..., Any]) -> Iterator[None]:
    logins.local.clear()
    make_user("boss", is_staff=True)
    with request.param() as cache:
        settings.CACHES = {"default": cache}
        caches["default"].clear()
        yield
        caches["default"].close()
    logins.local.clear()


def log_in(password: str, name: str = "boss", address: str = "192.0.2.1", **headers: str) -> str:
    """The outcome of one attempt."""
    answer = Client(REMOTE_ADDR=address).post(LOGIN, {"username": name, "password": password}, headers=headers)
    if answer.status_code == 302:
        return "in"
    return "throttled" if "Too many failed attempts" in answer.content.decode() else "wrong"


@pytest.mark.usefixtures("_cache")
def test_a_name_is_refused_after_five_failures() -> None:
    """With the right password, too; other addresses are not affected, and a forged one is not believed."""
    assert [log_in("wrong") for _ in range(6)] == ["wrong"] * 5 + ["throttled"]
    assert log_in(RIGHT) == "throttled"
    assert log_in(RIGHT, name="BOSS") == "throttled"
    assert log_in(RIGHT, **{"X-Forwarded-For": "10.9.8.7"}) == "throttled"
    assert log_in(RIGHT, address="192.0.2.2") == "in"


@pytest.mark.usefixtures("_cache")
def test_an_address_is_refused_after_thirty_failures_of_any_names() -> None:
    """As of somebody who tries one password for many names."""
    outcomes = [log_in("wrong", name=f"user-{number}") for number in range(31)]
    assert outcomes == ["wrong"] * 30 + ["throttled"]
    assert log_in(RIGHT) == "throttled"


@pytest.mark.usefixtures("_cache")
def test_a_login_forgets_the_failures_of_its_name() -> None:
    """Those of the address stay."""
    for _ in range(3):
        assert [log_in("wrong") for _ in range(4)] == ["wrong"] * 4
        assert log_in(RIGHT) == "in"


@pytest.mark.redis
def test_processes_share_their_counts_by_redis(settings: Any, make_user: Callable[..., Any]) -> None:
    """Failures in one process count in the next, and neither names nor addresses are stored."""
    make_user("boss", is_staff=True)
    with running_redis() as cache:
        settings.CACHES = {"default": cache}
        for _ in range(5):
            logins.local.clear()  # another process
            assert log_in("wrong") == "wrong"
        logins.local.clear()
        assert log_in(RIGHT) == "throttled"
        stored: Any = caches["default"]
        keys = stored.keys("*")
        assert all("boss" not in key and "192.0.2.1" not in key for key in keys)
        assert all(0 < stored.ttl(key) <= logins.WINDOW_SECONDS for key in keys)
        stored.close()
    logins.local.clear()

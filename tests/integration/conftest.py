"""The real backends of the integration tests, in a separate namespace that is emptied at the end."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import override_settings

from memory.models import AgentData, MemoryItem, UserSession
from memory.stores import FirestoreMemoryManager, RedisClient
from memory.testing.redis import RedisServer

from .targets import RefusedError, Targets, targets

RUN = f"integration-{uuid.uuid4().hex}"


def pytest_configure(config: pytest.Config) -> None:
    try:
        targets(os.environ)
    except RefusedError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    found = targets(os.environ)
    needed = {"firestore_emulator": found.firestore is None, "redis": found.redis is None}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for marker, is_needed in needed.items():
            if is_needed and f"{marker.removesuffix('_emulator')}_options" in fixtures:
                item.add_marker(marker)


@pytest.fixture(scope="session")
def real() -> Targets:
    """The real services that are used; where it says None, the tests' own are."""
    return targets(os.environ)


@pytest.fixture
def firestore_options(
    real: Targets, request: pytest.FixtureRequest, django_db_blocker: Any
) -> Iterator[dict[str, Any]]:
    """Arguments of `FirestoreMemoryManager` for Firestore. All that the test wrote is deleted."""
    options: dict[str, Any]
    if real.firestore is not None:
        options = {
            "project_id": real.firestore.project,
            "database": real.firestore.database,
            **real.firestore.credentials,
        }
    else:
        options = {
            "project_id": f"{request.getfixturevalue('firestore_project')}-integration",
            "host": request.getfixturevalue("firestore_emulator"),
        }
    with django_db_blocker.unblock():
        yield options
        clean(FirestoreMemoryManager(**options).alias)


def clean(alias: str) -> None:
    """Delete what this run wrote, and nothing else."""
    for model, field in ((MemoryItem, "user_id"), (AgentData, "agent_id"), (UserSession, "user_id")):
        mine = model._base_manager.using(alias).filter(**{f"{field}__startswith": RUN})
        mine.delete()
        assert not mine.exists()


@pytest.fixture
def namespace() -> str:
    """The prefix of every id that a test writes."""
    return f"{RUN}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def redis_options(real: Targets, request: pytest.FixtureRequest, namespace: str) -> Iterator[dict[str, Any]]:
    """Arguments of `RedisClient` for Redis. The keys with the test's prefix are deleted."""
    options: dict[str, Any]
    if real.redis is not None:
        options = {"host": real.redis.host, "port": real.redis.port, "password": real.redis.password}
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        options = {"host": "127.0.0.1", "port": server.port, "password": server.password or None}
    options = {**options, "prefix": namespace, "timeout": 2.0}
    yield options
    client = RedisClient(**options)
    client.initialize()
    client._client().delete_pattern("*")
    client.close()


@pytest.fixture
def redis_cache(redis_options: dict[str, Any]) -> Iterator[Callable[..., Any]]:
    """The project's cache on this Redis, under the test's own prefix."""
    options = {
        "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
        "SOCKET_CONNECT_TIMEOUT": 0.25,
        "SOCKET_TIMEOUT": 0.25,
        "IGNORE_EXCEPTIONS": True,
        **({"PASSWORD": redis_options["password"]} if redis_options["password"] else {}),
    }
    cache = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": f"redis://{redis_options['host']}:{redis_options['port']}/0",
        "KEY_PREFIX": redis_options["prefix"],
        "OPTIONS": options,
    }
    with override_settings(CACHES={"default": cache}):
        yield lambda **changes: override_settings(CACHES={"default": {**cache, **changes}})

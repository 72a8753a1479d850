"""Every store meets the same contract, on every engine."""

from collections.abc import Iterator
from typing import Any

import pytest

from memory import breaker
from memory.history import cache_of
from memory.stores import ConcreteMemoryManager, FirestoreMemoryManager, MemoryManager, MemoryManagerStub
from memory.testing.contract import MemoryManagerContract
from memory.testing.redis import RedisServer


class TestStub(MemoryManagerContract):
    """In this process' memory; no database."""

    @pytest.fixture
    def manager(self) -> Iterator[MemoryManager]:
        """A stub of the test's own."""
        manager = MemoryManagerStub()
        manager.initialize()
        yield manager
        manager.close()


@pytest.mark.django_db(databases=["default", "memory"])
class TestEmbedded(MemoryManagerContract):
    """The app's own database, SQLite, inside the test's transaction."""

    @pytest.fixture(params=[FirestoreMemoryManager, ConcreteMemoryManager])
    def manager(self, request: pytest.FixtureRequest) -> Iterator[MemoryManager]:
        """Each manager that works on a database."""
        manager: MemoryManager = request.param()
        manager.initialize()
        yield manager
        manager.close()


@pytest.mark.firestore_emulator
class TestFirestore(MemoryManagerContract):
    """Firestore's emulator, without a cache."""

    @pytest.fixture
    def manager(self, firestore_alias: str) -> Iterator[MemoryManager]:
        """A manager on an empty database."""
        manager = FirestoreMemoryManager(using=firestore_alias)
        manager.initialize()
        yield manager
        manager.close()


@pytest.mark.redis
@pytest.mark.firestore_emulator
class TestFirestoreAndRedis(MemoryManagerContract):
    """Firestore's emulator, with conversations read through a real Redis."""

    @pytest.fixture
    def manager(self, firestore_alias: str, redis_server: RedisServer, settings: Any) -> Iterator[MemoryManager]:
        """The manager of production, on an empty database and an empty cache."""
        settings.CACHES = {"default": redis_server.cache_settings(SOCKET_TIMEOUT=10, SOCKET_CONNECT_TIMEOUT=10)}
        cache = cache_of(firestore_alias)
        assert cache is not None
        cache.clear()
        manager = ConcreteMemoryManager(using=firestore_alias)
        manager.initialize()
        yield manager
        manager.close()
        breaker.stop_all()

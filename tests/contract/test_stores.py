"""Every store keeps the one contract, on every engine."""

from collections.abc import Iterator

import pytest

from memory.stores import ConcreteMemoryManager, FirestoreMemoryManager, MemoryManager, MemoryManagerStub
from memory.testing.contract import MemoryManagerContract


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

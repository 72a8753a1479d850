"""The stores: the base class `MemoryManager` and its implementations. `MEMORY["MANAGER"]` selects the project's."""

from typing import TYPE_CHECKING, Any

from .base import MemoryManager
from .concrete import ConcreteMemoryManager
from .factory import close_memory_manager, get_memory_manager
from .firestore import FirestoreMemoryManager
from .persona import PersonaConfig
from .stub import MemoryManagerStub

if TYPE_CHECKING:
    from .redis import RedisClient

__all__ = [
    "ConcreteMemoryManager",
    "FirestoreMemoryManager",
    "MemoryManager",
    "MemoryManagerStub",
    "PersonaConfig",
    "RedisClient",
    "close_memory_manager",
    "get_memory_manager",
]


def __getattr__(name: str) -> Any:
    if name == "RedisClient":
        from .redis import RedisClient  # needs the extra `redis`

        return RedisClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The stores: the base class `MemoryManager` and its implementations. `MEMORY["MANAGER"]` selects the project's."""

from .base import MemoryManager
from .concrete import ConcreteMemoryManager
from .factory import close_memory_manager, get_memory_manager
from .firestore import FirestoreMemoryManager
from .persona import PersonaConfig
from .redis import RedisClient
from .stub import MemoryManagerStub

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

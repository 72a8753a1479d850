"""The project's memory manager, by configuration."""

from __future__ import annotations

import threading

from ..conf import memory_settings
from .base import MemoryManager

_lock = threading.Lock()
_managers: dict[object, MemoryManager] = {}


def get_memory_manager() -> MemoryManager:
    """The manager that `MEMORY["MANAGER"]` names, initialized; one for the whole process.

    Raises `ConnectionError` while its storage is away; the next call tries again.
    """
    make = memory_settings.manager
    with _lock:
        manager = _managers.get(make)
        if manager is None:
            manager = _managers[make] = make()
        manager.initialize()
        return manager


def close_memory_manager() -> None:
    """Close and forget what `get_memory_manager()` has made; the next call makes another."""
    with _lock:
        while _managers:
            _managers.popitem()[1].close()

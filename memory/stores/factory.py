"""The project's memory manager."""

from __future__ import annotations

import threading

from ..conf import memory_settings
from .base import MemoryManager

_lock = threading.Lock()
_managers: dict[object, MemoryManager] = {}


def get_memory_manager() -> MemoryManager:
    """The initialized manager of `MEMORY["MANAGER"]`; one per process.

    Raises `ConnectionError` if its storage is unavailable; the next call tries again.
    """
    make = memory_settings.manager
    with _lock:
        manager = _managers.get(make)
        if manager is None:
            manager = _managers[make] = make()
        manager.initialize()
        return manager


def close_memory_manager() -> None:
    """Close the manager of `get_memory_manager()`. The next call creates a new one."""
    with _lock:
        while _managers:
            _managers.popitem()[1].close()

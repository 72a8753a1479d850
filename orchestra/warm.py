"""Loads what the first requests of a process would load: modules, and the models of search.

Loading the models takes a second or more, during which Python runs no other thread: not even `live` would be answered.
"""

from __future__ import annotations

from importlib import import_module

from django.conf import settings
from django.urls import get_resolver

from memory import search


def warm_up() -> None:
    """Load them."""
    get_resolver().url_patterns  # noqa: B018  (imports the views)
    warm_clients()
    search.warm_up()


def warm_clients() -> None:
    """Import the clients of Firestore (400 modules, for which the first health check would wait) and Redis, if used.

    What is imported after the fork is in the memory of each worker.
    """
    if any(database["ENGINE"] == "memory.backends.firestore" for database in settings.DATABASES.values()):
        import_module("memory.backends.firestore.rpc.channel")
    if any(cache["BACKEND"].startswith("django_redis.") for cache in settings.CACHES.values()):
        import_module("memory.redis")

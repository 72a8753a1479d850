"""The queries that one database sees, on whichever thread they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

from memory.stores import threads


def queries(alias: str, function: Callable[[], Any]) -> list[str]:
    """The queries of a call, on this thread's connection, those of pools, and those that are opened meanwhile."""
    seen: list[str] = []
    pools = [pool for pool in threads.all_pools if isinstance(pool, threads.DatabaseThreads) and pool.alias == alias]
    watched = [connections[alias], *(connection for pool in pools for connection in pool.known_connections)]

    def note(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if context["connection"] in watched:  # an engine may ask another on the way
            seen.append(sql)
        return execute(sql, params, many, context)

    def watch(connection: Any, **kwargs: Any) -> None:
        if connection.alias == alias and connection not in watched:
            connection.execute_wrappers.append(note)
            watched.append(connection)

    for connection in watched:
        connection.execute_wrappers.append(note)
    connection_created.connect(watch)
    try:
        function()
    finally:
        connection_created.disconnect(watch)
        for connection in watched:
            connection.execute_wrappers.remove(note)
    return seen

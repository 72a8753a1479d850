"""The time of a commit by the server's clock, as a value of a column.

An expression with the attribute `is_server_time = True` stands for it in writes. Until the commit nobody knows the
time, so the value is this process's estimate: reads of own writes in a transaction use it. The commit's message asks
the server to replace it in the same write.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from memory.backends import clock


class ServerTime(dt.datetime):
    """An aware datetime in UTC that the server replaces when the write is applied."""


def server_time() -> ServerTime:
    """The value for a write that is made now."""
    return ServerTime.fromtimestamp(clock.real_time(), dt.UTC)


def is_server_time(value: Any) -> bool:
    """Whether an expression stands for the time of the commit."""
    return getattr(value, "is_server_time", False) is True


def places(values: Sequence[Any]) -> tuple[int, ...]:
    """The positions of values that the server replaces."""
    if ServerTime not in map(type, values):  # the usual case, without a loop in Python
        return ()
    return tuple(place for place, value in enumerate(values) if type(value) is ServerTime)


def estimated(value: Any) -> Any:
    """The value, without the request to replace it."""
    if type(value) is not ServerTime:
        return value
    return dt.datetime.combine(value.date(), value.timetz())

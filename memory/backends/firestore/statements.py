"""Statements: each is one entry in `connection.queries`, with the RPCs that it made.

The compilers hand their work to `DatabaseWrapper.statement`, which passes it through Django's own cursor wrappers, so
`execute_wrappers`, `assertNumQueries` and tools that wrap cursors see text as they see SQL. The text is rendered only
if the connection is observed, and is never sent to Firestore.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from django.db.backends import utils
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper

from .query.plan import Rpc

T = TypeVar("T")

Text: TypeAlias = tuple[str, Sequence[Any] | None]
"""SQL and its parameters; None if it has no placeholders."""

NATIVE: Final = "native"
MIRROR: Final = "mirror"
WRITE: Final = "write"

PLANS_AROUND_INDEXES: Final = "firestore_plans_around_indexes"
"""The attribute of a `Query` which the mirror answers if it has no index."""


def empty_cost() -> dict[str, Any]:
    """The cost in an entry of `connection.queries`, for a statement without RPCs."""
    return {"lane": NATIVE, "documents_read": 0, "documents_written": 0, "rpcs": []}


@dataclass
class Cost:
    """The RPCs made inside `metered()`: their number, documents, and the sum of their durations in seconds."""

    rpcs: int = 0
    documents_read: int = 0
    documents_written: int = 0
    seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, rpc: Rpc) -> None:
        """Add an RPC that ended; on any thread."""
        with self._lock:
            self.rpcs += 1
            self.documents_read += rpc.documents_read
            self.documents_written += rpc.documents_written
            self.seconds += rpc.seconds


COSTS: Final[ContextVar[tuple[Cost, ...]]] = ContextVar("COSTS", default=())
"""The costs to which the RPCs of this context are added."""


@contextmanager
def metered() -> Iterator[Cost]:
    """Adds up the RPCs made inside on any connection, whether or not `connection.queries` is logged.

    RPCs of other threads count if the threads run in a copy of this context, as those of `sync_to_async` do.
    """
    cost = Cost()
    token = COSTS.set((*COSTS.get(), cost))
    try:
        yield cost
    finally:
        COSTS.reset(token)


class Statement:
    """The cost of a statement so far. `entry` is the dict in `connection.queries` once the statement is logged."""

    def __init__(self) -> None:
        self.entry = empty_cost()
        self._lock = threading.Lock()  # commits of one statement may end on several threads

    def set_lane(self, lane: str) -> None:
        """Set the lane; a statement that used the mirror stays in the mirror lane."""
        if self.entry["lane"] != MIRROR:
            self.entry["lane"] = lane

    def add(self, call: Mapping[str, Any]) -> None:
        """Add an RPC that ended."""
        with self._lock:
            self.entry["rpcs"].append(call)
            for name in ("documents_read", "documents_written"):
                self.entry[name] += call[name]

    def attach_to(self, logged: dict[str, Any]) -> None:
        """Copy the cost to an entry of `connection.queries`; RPCs that end later are added to that entry."""
        with self._lock:
            logged.update(self.entry)
            self.entry = logged


class QueriesLog(deque[dict[str, Any]]):
    """`connection.queries_log`, with the log of RPCs next to it: both have the same bound and are cleared together."""

    def __init__(self, maxlen: int) -> None:
        super().__init__(maxlen=maxlen)
        self.rpcs: deque[dict[str, Any]] = deque(maxlen=maxlen)

    def append(self, entry: dict[str, Any], /) -> None:
        """Add a statement; statements that Django logs itself (`BEGIN`) have no RPCs."""
        for name, value in empty_cost().items():
            entry.setdefault(name, value)
        super().append(entry)

    def clear(self) -> None:
        """Remove all statements and RPCs."""
        super().clear()
        self.rpcs.clear()


class DebugCursor(CursorDebugWrapper):
    """Django's logging cursor, whose entries contain the cost of the statement."""

    cursor: Any
    db: Any

    @contextmanager
    def debug_sql(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """One entry of `connection.queries`."""
        cost = self.cursor.cost = Statement()
        try:
            with super().debug_sql(*args, **kwargs):
                yield
        finally:
            if self.db.queries_log:
                cost.attach_to(self.db.queries_log[-1])


class NoErrorWrapping(AbstractContextManager[None]):
    """Replaces Django's `wrap_database_errors`: the engine raises Django's exceptions itself (`errors.py`)."""

    def __exit__(self, *exc_info: object) -> None:
        """Let errors pass."""

    def __call__(self, function: T) -> T:
        return function


def is_observed(connection: Any) -> bool:
    """Whether statements are observed: by the log, `execute_wrappers`, or tools that replace Django's cursors."""
    cursor = vars(connection).get("cursor")
    return bool(
        connection.queries_logged
        or connection.execute_wrappers
        # Django's test cases leave the usual method on connections that they had blocked.
        or (cursor is not None and getattr(cursor, "__func__", None) is not type(connection).cursor)
        or CursorWrapper.execute.__code__.co_filename != utils.__file__
    )


def as_entry(rpc: Rpc, lane: str) -> dict[str, Any]:
    """The entry of an RPC in `connection.rpcs`."""
    return {
        "method": rpc.method,
        "description": rpc.description,
        "time": f"{rpc.seconds:.3f}",
        "lane": lane,
        "documents_read": rpc.documents_read,
        "documents_written": rpc.documents_written,
        "error": rpc.error,
    }


MAX_LOGGED_MEMBERS: Final = 32


def interpolated(sql: str, params: Sequence[Any] | Mapping[str, Any] | None) -> str:
    """SQL with its parameters as literals, for logs."""
    if isinstance(params, Mapping):
        return sql % {name: _literal(value) for name, value in params.items()}
    return sql if params is None else sql % tuple(map(_literal, params))


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"X'{bytes(value).hex()}'"
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) > MAX_LOGGED_MEMBERS:
        return f"'[{value[0]}, {value[1]}, ...]'"  # a vector of hundreds of numbers
    return "'" + str(value).replace("'", "''") + "'"


PING: Final = "select 1"


def is_ping(sql: Any) -> bool:
    """Whether SQL is `SELECT 1`, which health checks send."""
    return isinstance(sql, str) and " ".join(sql.lower().rstrip("; \n\t").split()) == PING

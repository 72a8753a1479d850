"""`ENGINE = "memory.backends.firestore"`: the connection.

A connection has no socket: the channel belongs to the process (`rpc/channel.py`), and the executor makes the calls.
Cursors run plans instead of SQL. Test tools that forbid database access can patch them as on other engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from typing import Any, NoReturn, TypeVar

from django.db import NotSupportedError
from django.db import utils as db_utils
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.validation import BaseDatabaseValidation

from memory.backends.sqlite.base import DatabaseWrapper as SQLiteWrapper

from . import options
from .cache import ConnectionCache
from .client import DatabaseClient
from .creation import DatabaseCreation
from .features import DatabaseFeatures
from .indexes import derive
from .introspection import DatabaseIntrospection
from .mirror.database import Mirror
from .operations import DatabaseOperations
from .query.plan import Aggregate, Change, Delete, Increments, Merge, Nearest, Outcome, Query, Read, Rpc
from .rpc import channel
from .rpc.executor import Executor
from .schema import DatabaseSchemaEditor
from .transactions import repeat
from .transactions.unit_of_work import UnitOfWork
from .validation import DatabaseValidation
from .values.types import DOCUMENT_ID, FIELD_KINDS

T = TypeVar("T")


class Database:
    """Replaces the driver module (PEP 249) that Django expects. Its errors are Django's own."""

    DataError = db_utils.DataError
    OperationalError = db_utils.OperationalError
    IntegrityError = db_utils.IntegrityError
    InternalError = db_utils.InternalError
    ProgrammingError = db_utils.ProgrammingError
    NotSupportedError = db_utils.NotSupportedError
    DatabaseError = db_utils.DatabaseError
    InterfaceError = db_utils.InterfaceError
    Error = db_utils.Error
    Binary = bytes


class Cursor:
    """Runs plans. SQL raises NotSupportedError, before any call."""

    rowcount = -1

    def __init__(self, connection: DatabaseWrapper, executor: Executor) -> None:
        self.db = connection
        self._executor = executor

    @property
    def unit(self) -> UnitOfWork | None:
        """The open transaction; None in autocommit mode."""
        self.db.validate_no_broken_transaction()
        return self.db.unit

    def run(self, read: Read) -> Iterator[tuple[Any, ...]]:
        """The rows of a read, lazily."""
        return self._executor.run(read) if (unit := self.unit) is None else unit.run(read)

    def superset(self, read: Read, limit: int | None = None) -> tuple[list[tuple[Any, ...]], int]:
        """A superset of the rows of a read, and the number of rows from Firestore; see `UnitOfWork.superset`."""
        if (unit := self.unit) is not None:
            return unit.superset(read, limit)
        if limit is not None and isinstance(read, Query | Merge):
            read = replace(read, limit=limit + 1)
        rows = list(islice(self._executor.run(read), None if limit is None else limit + 1))
        return rows, len(rows)

    def aggregate(self, aggregates: Sequence[Aggregate]) -> tuple[Any, ...]:
        """One value per aggregate."""
        unit = self.unit
        return self._executor.aggregate(aggregates) if unit is None else unit.aggregate(aggregates)

    def run_concurrently(self, reads: Sequence[Query | Nearest | Aggregate]) -> list[list[tuple[Any, ...]]]:
        """The rows of several reads, outside of any transaction; see `Executor.run_concurrently`."""
        return self._executor.run_concurrently(reads)

    def commit(
        self, writes: Sequence[Change], *, isolate: bool = False, increments: Increments | None = None
    ) -> list[Outcome]:
        """Applies writes, or buffers them in a transaction, where increments have no results; see `Executor.commit`."""
        if (unit := self.unit) is not None:
            return unit.write(writes, isolate=isolate)
        return self._executor.commit(writes, isolate=isolate, increments=increments)

    def collections(self) -> list[str]:
        """The ids of the root collections."""
        return self._executor.collections() if (unit := self.unit) is None else unit.collections()

    def clear(self, collection: str) -> int:
        """Deletes every document of a collection. Returns the number of documents."""
        if self.unit is None:
            return self._executor.clear(collection)
        ids = {row[0] for row in self.superset(Query(collection, (DOCUMENT_ID,)))[0]}
        self.commit([Delete(collection, id) for id in ids])
        return len(ids)

    def copy(self, to: Cursor) -> int:
        """Copies every document to another database, outside of any transaction. Returns the number of documents."""
        return self._executor.copy(to._executor)

    def execute(self, sql: Any, params: Any = None) -> NoReturn:
        """Raises NotSupportedError."""
        raise NotSupportedError(
            f"Firestore does not support SQL ({str(sql)[:100]!r}): use the ORM instead of raw(), cursor().execute() or "
            "RunSQL."
        )

    def executemany(self, sql: Any, param_list: Any) -> NoReturn:
        """Raises NotSupportedError."""
        self.execute(sql)

    callproc = execute

    def close(self) -> None:
        """Does nothing: a cursor has no resources."""

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class override_attr(AbstractContextManager[None]):  # noqa: N801 - used like a function
    """Sets an object's attribute inside of the context. Three times faster than a generator, for use in every call."""

    __slots__ = ("before", "name", "owner", "value")

    def __init__(self, owner: Any, name: str, value: Any) -> None:
        self.owner, self.name, self.value = owner, name, value

    def __enter__(self) -> None:
        self.before = getattr(self.owner, self.name)
        setattr(self.owner, self.name, self.value)

    def __exit__(self, *exc_info: object) -> None:
        setattr(self.owner, self.name, self.before)


class DatabaseWrapper(BaseDatabaseWrapper):
    """A thread's connection to a Firestore database."""

    vendor = "firestore"
    display_name = "Firestore"
    data_types = {name: kind.value for name, kind in FIELD_KINDS.items()}
    # Expressions are compiled with these to check whether they are constants. The SQL is not executed.
    operators = SQLiteWrapper.operators
    pattern_ops = SQLiteWrapper.pattern_ops
    pattern_esc = SQLiteWrapper.pattern_esc
    cursor: Callable[[], Cursor]  # type: ignore[assignment]  # Django's method, which returns what `make_cursor` does
    Database = Database
    SchemaEditorClass = DatabaseSchemaEditor
    client_class = DatabaseClient
    creation_class = DatabaseCreation
    features_class = DatabaseFeatures
    introspection_class = DatabaseIntrospection
    ops_class = DatabaseOperations
    validation_class: type[BaseDatabaseValidation] = DatabaseValidation

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        self._lane = "native"
        self._text: Callable[[], str] | None = None
        self.unit: UnitOfWork | None = None
        self.cache = ConnectionCache()
        self.commits = 0  # number of committed transactions
        # Inside `retrying()`: the id of the server transaction of the first attempt.
        self._retries = False
        self._aborted: bytes | None = None
        self._optimistic = False

    # --- options

    def option(self, name: str) -> Any:
        """One of OPTIONS, or its default. Raises `ImproperlyConfigured`."""
        return options.option(self.alias, self.settings_dict, name)

    @property
    def auto_ids(self) -> str:
        """The generator of ids for AutoFields: a key of `AUTO_IDS`."""
        return str(self.option("auto_ids"))

    @cached_property
    def mirror(self) -> Mirror:
        """The in-memory SQLite that answers what Firestore cannot."""
        return Mirror(self)

    # --- Django's connection

    def get_connection_params(self) -> dict[str, Any]:
        options.validate(self.alias, self.settings_dict)
        return {"target": channel.target(self.settings_dict), "timeout": float(self.option("timeout"))}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Executor:
        return Executor(**conn_params, wrap_call=self._wrap_call, log=self._log, index=derive.required_index)

    def init_connection_state(self) -> None:
        """Does nothing: connecting needs no call."""

    def create_cursor(self, name: str | None = None) -> Cursor:
        return Cursor(self, self.connection)

    def chunked_cursor(self) -> Cursor:  # type: ignore[override]
        return self.cursor()

    def make_cursor(self, cursor: Cursor) -> Cursor:  # type: ignore[override]
        return cursor

    def make_debug_cursor(self, cursor: Cursor) -> Cursor:  # type: ignore[override]
        return cursor

    @cached_property
    def wrap_database_errors(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Does nothing: errors are already Django's (`errors.py`)."""
        return nullcontext()

    def set_autocommit(self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False) -> None:
        """Like Django's, but without a BEGIN in `connection.queries`, since none is sent."""
        self.validate_no_atomic_block()
        self.ensure_connection()
        self._set_autocommit(autocommit)
        self.autocommit = autocommit
        if autocommit and self.run_commit_hooks_on_set_autocommit_on:
            self.run_and_clear_commit_hooks()
            self.run_commit_hooks_on_set_autocommit_on = False

    def _set_autocommit(self, autocommit: bool) -> None:
        """Commits the open transaction when autocommit is enabled."""
        if autocommit:
            if self.unit is not None:
                self.unit.commit()
            self.unit = None
        elif self.unit is None:
            self._begin()

    def _begin(self, *, bulk: bool = False) -> UnitOfWork:
        self.unit = UnitOfWork(
            self.connection, lambda: self.atomic_blocks, self._aborted, optimistic=self._optimistic, bulk=bulk
        )
        return self.unit

    def _commit(self) -> None:
        if self.unit is not None:
            repeat.commit(self.unit, partial(self._begin, bulk=True))
            self.commits += 1
            self._begin()

    @contextmanager
    def unit_of_work(self) -> Iterator[UnitOfWork]:
        """The open transaction, or one for a single statement, which is committed at the end of the context."""
        if self.unit is not None:
            yield self.unit
            return
        self.ensure_connection()
        unit = self._begin(bulk=True)
        try:
            yield unit
            repeat.commit(unit, partial(self._begin, bulk=True))
            self.commits += 1
        except BaseException:
            self._rollback()
            raise
        finally:
            self.unit = None

    def _rollback(self) -> None:
        if self.unit is not None:
            if self._retries and self._aborted is None:
                self._aborted = self.unit.server_id
            self.unit.rollback()
            self._begin()

    @contextmanager
    def retrying(self) -> Iterator[None]:
        """Transactions inside are retries of the first one, so that the server gives them priority."""
        self._retries = True
        try:
            yield
        finally:
            self._retries, self._aborted = False, None

    def optimistic(self) -> AbstractContextManager[None]:
        """Transactions that begin inside take no locks; see `UnitOfWork`."""
        return override_attr(self, "_optimistic", True)

    def _savepoint(self, sid: str) -> None:
        if self.unit is not None:
            self.unit.savepoint(sid)

    def _savepoint_rollback(self, sid: str) -> None:
        if self.unit is not None:
            self.unit.savepoint_rollback(sid)

    def _savepoint_commit(self, sid: str) -> None:
        if self.unit is not None:
            with self.lane("write"):
                self.unit.savepoint_commit(sid)

    def _close(self) -> None:
        """Rolls back an open transaction. The channel belongs to the process and stays open."""
        unit, self.unit = self.unit, None
        if unit is not None:
            unit.rollback()

    def is_usable(self) -> bool:
        if self.connection is None:
            return False
        try:
            self.connection.ping()
        except db_utils.Error:
            return False
        return True

    def get_database_version(self) -> tuple[int, ...]:
        return (1,)

    # --- logging of calls

    def lane(self, name: str) -> AbstractContextManager[None]:
        """Sets the lane of the calls made inside, for `connection.queries`."""
        return override_attr(self, "_lane", name)

    def asking(self, text: Callable[[], str]) -> AbstractContextManager[None]:
        """Sets the SQL text of the calls made inside, for `connection.queries`."""
        return override_attr(self, "_text", text)

    def _wrap_call(self, description: str, send: Callable[[], T]) -> T:
        """Runs a call inside Django's `execute_wrappers`."""
        if not self.execute_wrappers:
            return send()

        def execute(sql: str, params: Any, many: bool, context: Any) -> T:
            return send()

        call: Callable[..., T] = execute
        for wrapper in reversed(self.execute_wrappers):
            call = partial(wrapper, call)
        return call(description, None, False, {"connection": self, "cursor": None})

    def _log(self, rpc: Rpc) -> None:
        if self.queries_logged:
            entry: dict[str, Any] = {
                "sql": rpc.description if self._text is None else self._text(),
                "call": rpc.description,
                "time": f"{rpc.seconds:.3f}",
                "method": rpc.method,
                "lane": self._lane,
                "documents_read": rpc.documents_read,
                "documents_written": rpc.documents_written,
            }
            self.queries_log.append(entry)

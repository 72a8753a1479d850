"""`ENGINE = "memory.backends.firestore"`: the connection.

A connection has no socket: the channel belongs to the process (`rpc/channel.py`), and the executor makes the calls.
Cursors run plans instead of SQL. Test tools that forbid database access can patch them as on other engines.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from typing import Any, TypeVar

from django.apps import apps
from django.db import utils as db_utils
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.validation import BaseDatabaseValidation
from django.db.backends.utils import CursorWrapper, debug_transaction
from django.utils.asyncio import async_unsafe

from memory.backends import telemetry
from memory.backends.sqlite.base import DatabaseWrapper as SQLiteWrapper

from . import options
from .cache import ConnectionCache
from .client import DatabaseClient
from .creation import DatabaseCreation
from .features import DatabaseFeatures
from .indexes import derive, manifest
from .indexes.serving import Catalog
from .introspection import DatabaseIntrospection
from .mirror import raw_sql
from .mirror.database import Mirror
from .mirror.tables import Table, table_of, tables_of
from .operations import DatabaseOperations
from .query.plan import Aggregate, Change, Delete, Increments, Merge, Nearest, Outcome, Query, Read, Rpc
from .rpc import channel
from .rpc.executor import Executor, no_index
from .schema import DatabaseSchemaEditor
from .statements import (
    COSTS,
    NATIVE,
    WRITE,
    DebugCursor,
    NoErrorWrapping,
    QueriesLog,
    Statement,
    Text,
    as_entry,
    is_observed,
    is_ping,
)
from .transactions import repeat
from .transactions.unit_of_work import UnitOfWork
from .validation import DatabaseValidation
from .values.sizes import ByteBudget
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

    @staticmethod
    def Binary(value: Any) -> bytes:  # noqa: N802 - the name in PEP 249
        """The bytes of a buffer. Raises `TypeError` for other values, of which `bytes()` would make zeros or text."""
        return bytes(memoryview(value))


class Cursor:
    """Runs plans. SQL is answered by the mirror if it is a single SELECT, and refused before any call if not."""

    rowcount = -1
    _is_closed = False
    _rows: Iterator[tuple[Any, ...]] = iter(())
    description: tuple[tuple[Any, ...], ...] | None = None

    def __init__(self, connection: DatabaseWrapper, executor: Executor) -> None:
        self.db = connection
        self._executor = executor
        self.cost: Statement | None = None
        self._work: Callable[[], Any] | None = None
        self._answer: Any = None

    @property
    def unit(self) -> UnitOfWork | None:
        """The open transaction; None in autocommit mode."""
        self.db.validate_no_broken_transaction()
        return self.db.unit

    def run(self, read: Read) -> Iterator[tuple[Any, ...]]:
        """The rows of a read, lazily."""
        return self._executor.run(read) if (unit := self.unit) is None else unit.run(read)

    def superset(
        self, read: Read, limit: int | None = None, budget: ByteBudget | None = None
    ) -> tuple[list[tuple[Any, ...]], int]:
        """A superset of the rows of a read, and the number of rows from Firestore; see `UnitOfWork.superset`.

        Reading stops when the budget is spent, outside of a transaction.
        """
        if (unit := self.unit) is not None:
            return unit.superset(read, limit)
        if limit is not None and isinstance(read, Query | Merge):
            read = replace(read, limit=limit + 1)
        found = islice(self._executor.run(read), None if limit is None else limit + 1)
        rows = list(found if budget is None else budget.take(found))
        return rows, len(rows)

    def aggregate(self, aggregates: Sequence[Aggregate]) -> tuple[Any, ...]:
        """One value per aggregate."""
        unit = self.unit
        return self._executor.aggregate(aggregates) if unit is None else unit.aggregate(aggregates)

    def run_concurrently(
        self, reads: Sequence[Query | Nearest | Aggregate], budget: ByteBudget | None = None
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of several reads, outside of any transaction; see `Executor.run_concurrently`."""
        return self._executor.run_concurrently(reads, budget)

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

    def stored(self, collection: str) -> Iterator[tuple[str, bytes, Any]]:
        """Every stored document; see `Executor.stored`."""
        return self._executor.stored(collection)

    def copy(self, to: Cursor) -> int:
        """Copies every document to another database, outside of any transaction. Returns the number of documents."""
        return self._executor.copy(to._executor)

    def answer(self, wrapper: CursorWrapper, text: Text, work: Callable[[], T]) -> T:
        """What `work` returns, run as a statement of that text by Django's wrapper around this cursor."""
        self._work, self._answer = work, None
        wrapper.execute(*text)
        answer: T = self._answer
        return answer

    def execute(self, sql: Any, params: Any = None) -> None:
        """Runs the statement that was handed over; answers `SELECT 1` by a read of one document, and other SELECTs by
        the mirror."""
        if self._is_closed:
            raise db_utils.ProgrammingError("Cannot operate on a closed cursor.")
        work, self._work = self._work, None
        if work is not None:
            with self.db.in_statement(self.cost or Statement()):
                self._answer = work()
        elif is_ping(sql) and not params:
            with self.db.in_statement(self.cost or Statement()):
                self._executor.ping()
            self._rows, self.rowcount = iter([(1,)]), 1
            self.description = (("1", None, None, None, None, None, None),)
        elif raw_sql.is_refused(sql):
            raise raw_sql.refusal(sql)
        else:
            with self.db.in_statement(self.cost or Statement()):
                rows, self.description = self.db.mirror.selected(str(sql), params, self.db.known_tables())
            self._rows = iter(rows)

    def executemany(self, sql: Any, param_list: Any) -> None:
        """Refuses SQL."""
        raise raw_sql.refusal(sql)

    def callproc(self, name: str, params: Any = None, kparams: Any = None) -> None:
        """Refuses stored procedures."""
        raise raw_sql.refusal(name)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
        return next(self._rows, None)

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """Up to `size` rows."""
        return list(islice(self._rows, size))

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def close(self) -> None:
        """No statement can be run afterwards."""
        self._is_closed = True

    def hold(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Makes these the rows that are fetched."""
        self._rows = iter(rows)

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
    introspection: DatabaseIntrospection
    validation_class: type[BaseDatabaseValidation] = DatabaseValidation

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        self.queries_log: QueriesLog = QueriesLog(self.queries_limit)
        self._lane = NATIVE
        self._statement: Statement | None = None
        self.unit: UnitOfWork | None = None
        self.cache = ConnectionCache()
        self.commits = 0  # number of committed transactions
        self._closes_after_block = False
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
        """The generator of ids for AutoFields: one of `CHOICES`."""
        return str(self.option("auto_ids"))

    def known_tables(self) -> dict[str, Table]:
        """The tables that raw SQL may read: those of installed models, and those that schema editors made here."""
        known = tables_of(apps.get_models(include_auto_created=True, include_swapped=True), self)
        made = self.introspection.catalog.present().values()
        return known | {one.name: table_of(one.name, one.fields, one.key, self) for one in made if one.key}

    def catalog(self, *, around: bool = False) -> Catalog | None:
        """The indexes of the manifest of `require_indexes`; None if they are not known.

        `around` is for queries that the mirror may answer instead: without a manifest they rely on the indexes that are
        derived from the models. Raises `ImproperlyConfigured`.
        """
        required = self.option("require_indexes")
        if required is not False:
            return manifest.catalog_of(manifest.DEFAULT_PATH if required is True else os.fspath(required), self.alias)
        return self._derived_catalog if around else None

    @cached_property
    def _derived_catalog(self) -> Catalog:
        found = [one for one in apps.get_models(include_auto_created=True) if one._meta.managed and not one._meta.proxy]
        return manifest.of_models(found, manifest.Options()).catalog()

    @cached_property
    def mirror(self) -> Mirror:
        """The in-memory SQLite that answers what Firestore cannot."""
        return Mirror(self)

    # --- Django's connection

    def get_connection_params(self) -> dict[str, Any]:
        options.validate(self.alias, self.settings_dict)
        return {"target": channel.target(self.settings_dict), "timeout": float(self.option("timeout"))}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Executor:
        catalog = self.catalog()
        return Executor(
            **conn_params,
            wrap_call=self._wrap_call,
            log=self._log,
            is_logging=lambda: self.queries_logged or bool(COSTS.get()) or telemetry.is_active(),
            index=derive.required_index,
            missing=catalog.missing if catalog is not None else no_index,
        )

    def init_connection_state(self) -> None:
        """Does nothing: connecting needs no call."""

    def create_cursor(self, name: str | None = None) -> Cursor:
        return Cursor(self, self.connection)

    @async_unsafe
    def plan_cursor(self) -> Cursor:
        """A cursor for the plans of a statement: checked as `cursor()` is, without the wrappers around SQL."""
        self.close_if_health_check_failed()
        if self.connection is None:
            self.ensure_connection()
        self.validate_thread_sharing()
        return Cursor(self, self.connection)

    def chunked_cursor(self) -> Cursor:  # type: ignore[override]
        return self.cursor()

    def make_debug_cursor(self, cursor: Cursor) -> DebugCursor:  # type: ignore[override]
        return DebugCursor(cursor, self)

    @cached_property
    def wrap_database_errors(self) -> NoErrorWrapping:  # type: ignore[override]
        """Errors are Django's already."""
        return NoErrorWrapping()

    def set_autocommit(self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False) -> None:
        """Also closes the connection, if that was requested inside of the block that ends."""
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        if autocommit and self._closes_after_block:
            self.close()

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
            with self._transacting("COMMIT"), self.lane(WRITE):
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
            with self._transacting("ROLLBACK"):
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

    def outside(self) -> AbstractContextManager[None]:
        """Reads inside take no part in the open transaction: they neither see its writes nor lock what they read."""
        return override_attr(self, "unit", None)

    def optimistic(self) -> AbstractContextManager[None]:
        """Transactions that begin inside take no locks; see `UnitOfWork`."""
        return override_attr(self, "_optimistic", True)

    def _savepoint(self, sid: str) -> None:
        if self.unit is not None:
            self._run_sql(self.ops.savepoint_create_sql(sid), partial(self.unit.savepoint, sid))

    def _savepoint_rollback(self, sid: str) -> None:
        if self.unit is not None:
            self._run_sql(self.ops.savepoint_rollback_sql(sid), partial(self.unit.savepoint_rollback, sid))

    def _savepoint_commit(self, sid: str) -> None:
        if self.unit is not None:
            with self.lane(WRITE):
                self._run_sql(self.ops.savepoint_commit_sql(sid), partial(self.unit.savepoint_commit, sid))

    def _run_sql(self, sql: str, work: Callable[[], None]) -> None:
        """A statement without parameters."""
        self.statement(lambda: (sql, None), work)

    def close(self) -> None:
        """Inside `atomic()`, the connection is closed at the end of the outermost block, so that closing it does not
        discard the block's writes: as with an in-memory SQLite database, whose connection stays open."""
        self.validate_thread_sharing()
        self._closes_after_block = self.in_atomic_block
        if not self.in_atomic_block:
            super().close()

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

    # --- statements and calls

    def statement(self, text: Callable[[], Text], work: Callable[[], T], lane: str = "") -> T:
        """Run `work` as one statement, logged and wrapped as such; inside another statement it is part of that.

        `text` renders it in SQL. It may raise `EmptyResultSet`, for which Django sends no statement either. `lane` is
        that of its calls, if it is known before.
        """
        if self._statement is None and not is_observed(self):
            return work()
        if lane:
            work = partial(self._run_in_lane, lane, work)
        if self._statement is not None:
            return work()
        rendered = text()
        cursor: Any = self.cursor()
        answer: T = cursor.cursor.answer(cursor, rendered, work)
        return answer

    def _run_in_lane(self, lane: str, work: Callable[[], T]) -> T:
        with self.lane(lane):
            return work()

    def in_statement(self, statement: Statement) -> AbstractContextManager[None]:
        """RPCs made inside belong to this statement."""
        return override_attr(self, "_statement", statement)

    @contextmanager
    def ahead_of_statement(self) -> Iterator[Callable[[], None]]:
        """RPCs made inside belong to the statement that calls the function yielded here."""
        if self._statement is not None:
            yield lambda: None
            return
        early = Statement()

        def claim() -> None:
            if self._statement is not None:
                for call in early.entry["rpcs"]:
                    self._statement.add(call)

        with self.in_statement(early):
            yield claim

    @contextmanager
    def _transacting(self, sql: str) -> Iterator[None]:
        """The calls that end a transaction, logged as Django logs them of SQL databases, unless a statement made it."""
        if self._statement is not None:
            yield
            return
        statement = Statement()
        try:
            with self.in_statement(statement), debug_transaction(self, sql):
                yield
        finally:
            if self.queries_logged and self.queries_log:
                statement.attach_to(self.queries_log[-1])

    def iterated_in_statement(self, rows: Iterator[T]) -> Iterator[T]:
        """The rows, lazily; RPCs that the iteration makes belong to the statement that is running now."""
        return rows if self._statement is None else self._iterate_in_statement(self._statement, rows)

    def _iterate_in_statement(self, statement: Statement, rows: Iterator[T]) -> Iterator[T]:
        missing: Any = object()
        while True:
            with override_attr(self, "_statement", statement):
                row = next(rows, missing)
            if row is missing:
                return
            yield row

    @property
    def rpcs_log(self) -> deque[dict[str, Any]]:
        """The log behind `rpcs`."""
        return self.queries_log.rpcs

    @property
    def rpcs(self) -> list[dict[str, Any]]:
        """The calls to Firestore, logged while `queries` are, the latest 9,000 of them."""
        return list(self.rpcs_log)

    def lane(self, name: str) -> AbstractContextManager[None]:
        """Names the lane of the calls made inside, and of their statement."""
        if self._statement is not None:
            self._statement.set_lane(name)
        return override_attr(self, "_lane", name)

    def _wrap_call(self, description: str, send: Callable[[], T]) -> T:
        """A call that is part of no statement inside Django's `execute_wrappers`."""
        if not self.execute_wrappers or self._statement is not None:
            return send()

        def execute(sql: str, params: Any, many: bool, context: Any) -> T:
            return send()

        call: Callable[..., T] = execute
        for wrapper in reversed(self.execute_wrappers):
            call = partial(wrapper, call)
        return call(description, None, False, {"connection": self, "cursor": None})

    def _log(self, rpc: Rpc) -> None:
        """A call that ended; one that is part of no statement is an entry of `queries` by itself."""
        for cost in COSTS.get():
            cost.add(rpc)
        if telemetry.is_active():
            telemetry.record_call(rpc, self._lane, str(self.settings_dict["NAME"]))
        if not self.queries_logged:
            return
        call, statement = as_entry(rpc, self._lane), self._statement
        self.rpcs_log.append(call)
        if statement is None:
            statement = Statement()
            statement.set_lane(self._lane)
            logged = {"sql": rpc.description, "time": call["time"]}
            statement.attach_to(logged)
            self.queries_log.append(logged)
        statement.add(call)

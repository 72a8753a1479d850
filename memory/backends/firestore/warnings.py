"""In development, on SQLite: warns about queries that Firestore does not support natively.

    warnings.watch(connection, {"memory"})    # for example in a receiver of `connection_created`, if settings.DEBUG

After that, a query for a model of these apps that would need the mirror in production issues a warning with the
reasons, once per line of code. It uses the same planner as in production. Nothing is sent, and the query runs as usual.

A query whose `queryset.query.expects_mirror` is True issues no warning: its code is made for the mirror's limits, or
runs another query on Firestore.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import django
from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models.sql import compiler

from .base import DatabaseWrapper
from .query import analysis
from .query.analysis import AggregateAnalysis
from .query.planner import NotNative, plan

# Frames in these directories are skipped to find the line of code that runs the query.
LIBRARIES: Final = (str(Path(django.__file__).parent), str(Path(__file__).parents[1]))

_already_warned: set[tuple[str, int, tuple[str, ...]]] = set()


class MirrorWarning(UserWarning):
    """A query that would run in the mirror on Firestore."""


def watch(connection: Any, labels: Collection[str]) -> None:
    """Enables warnings for queries on an SQLite connection, for models of the apps with these labels.

    The mirror's own SQLite connections are ignored.
    """
    if connection.vendor != "sqlite" or getattr(connection, "is_mirror", False):
        return
    connection.ops.compiler_module = __name__
    # The query that opened the connection was compiled before, and Django caches the compiler module.
    connection.ops._cache = None
    connection.watched_apps = frozenset(labels)
    connection.planning_connection = DatabaseWrapper(_nowhere(connection), connection.alias)


def _nowhere(connection: Any) -> dict[str, Any]:
    return {**connection.settings_dict, "NAME": "nowhere", "PROJECT": "nowhere", "HOST": "nowhere:1", "OPTIONS": {}}


def unsupported_parts(query: Any, planning_connection: DatabaseWrapper) -> tuple[str, ...]:
    """The parts of a query that Firestore does not support; empty if the query is native."""
    outer: Any = query.get_compiler(connection=planning_connection)
    analyzed = analysis.analyze(outer, outer.setup())
    if isinstance(analyzed, AggregateAnalysis):
        plans = [plan(column.select) for column in analyzed.aggregates]
        found = analyzed.unsupported
    else:
        plans, found = [analysis.plan_rows(analyzed)], analyzed.select.unsupported  # type: ignore[list-item]
    for answer in plans:
        if isinstance(answer, NotNative):
            found = (*found, *answer.unsupported)
    return tuple(dict.fromkeys(found))


def expects_mirror(query: Any) -> bool:
    """Whether `expects_mirror` was set on a query, or on the one whose rows it counts."""
    inner = getattr(query, "inner_query", None)
    return bool(getattr(query, "expects_mirror", False)) or (inner is not None and expects_mirror(inner))


class WarningCompiler:
    """A mixin for SQLite's compilers that warns before a statement is executed."""

    connection: Any
    query: Any

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Warns if needed, and executes the statement."""
        if not expects_mirror(self.query) and self.query.get_meta().app_label in self.connection.watched_apps:
            self.warn_once()
        return super().execute_sql(*args, **kwargs)  # type: ignore[misc]

    def native_query(self) -> Any:
        """The query that Firestore would run."""
        return self.query.clone()

    def warn_once(self) -> None:
        """Warns once per line of code and reasons."""
        try:
            reasons = unsupported_parts(self.native_query(), self.connection.planning_connection)
        except (EmptyResultSet, FullResultSet):
            return
        if reasons:
            _warn(reasons)


class WarningWriteCompiler(WarningCompiler):
    """The same for UPDATE and DELETE, whose target rows are selected by a query for primary keys."""

    def native_query(self) -> Any:
        return analysis.primary_key_query(self.query)


class SQLCompiler(WarningCompiler, compiler.SQLCompiler):
    """SELECT."""


class SQLAggregateCompiler(SQLCompiler, compiler.SQLAggregateCompiler):
    """Aggregates over a subquery."""


class SQLInsertCompiler(compiler.SQLInsertCompiler):
    """INSERT, which needs no warning."""


class SQLUpdateCompiler(WarningWriteCompiler, compiler.SQLUpdateCompiler):
    """UPDATE."""


class SQLDeleteCompiler(WarningWriteCompiler, compiler.SQLDeleteCompiler):
    """DELETE."""


def _warn(reasons: tuple[str, ...]) -> None:
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(LIBRARIES):
        frame = frame.f_back
    place = (frame.f_code.co_filename, frame.f_lineno, reasons)
    if place in _already_warned:
        return
    _already_warned.add(place)
    warnings.warn_explicit(
        f"On Firestore this query would run in the mirror, because of {', '.join(reasons)}.",
        MirrorWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
    )

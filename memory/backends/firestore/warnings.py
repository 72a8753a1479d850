"""In development, on SQLite: says which queries Firestore would not answer itself.

    advice.watch(connection, {"memory"})    # for example in a receiver of `connection_created`, if settings.DEBUG

From then on a query for a model of these apps that would need the mirror in production warns, once for each line of
code that runs it, with what to blame. The same planner decides as in production; nothing is sent, and the query runs.
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

# Frames of these are not the line of code that a reader would look for.
LIBRARIES: Final = (str(Path(django.__file__).parent), str(Path(__file__).parents[1]))

_already_warned: set[tuple[str, int, tuple[str, ...]]] = set()


class MirrorWarning(UserWarning):
    """A query that Firestore would answer by reading documents into the mirror."""


def watch(connection: Any, labels: Collection[str]) -> None:
    """Warns of queries on an SQLite connection, for models of the apps with these labels.

    The mirror's own connections, which are SQLite's too, are left alone.
    """
    if connection.vendor != "sqlite" or getattr(connection, "is_mirror", False):
        return
    connection.ops.compiler_module = __name__
    # The query that opened the connection has compiled already, and Django remembers by which module.
    connection.ops._cache = None
    connection.watched_apps = frozenset(labels)
    connection.planning_connection = DatabaseWrapper(_nowhere(connection), connection.alias)


def _nowhere(connection: Any) -> dict[str, Any]:
    return {**connection.settings_dict, "NAME": "nowhere", "PROJECT": "nowhere", "HOST": "nowhere:1", "OPTIONS": {}}


def unsupported_parts(query: Any, planning_connection: DatabaseWrapper) -> tuple[str, ...]:
    """What Firestore could not do for a query; empty if it answers all of it."""
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


class WarningCompiler:
    """A statement on SQLite, with advice."""

    connection: Any
    query: Any

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        """As Django's, after the advice."""
        if self.query.get_meta().app_label in self.connection.watched_apps:
            self.warn_once()
        return super().execute_sql(*args, **kwargs)  # type: ignore[misc]

    def native_query(self) -> Any:
        """The query whose rows Firestore would be asked for."""
        return self.query.clone()

    def warn_once(self) -> None:
        """Warns, if this line of code has not been warned of the same."""
        try:
            reasons = unsupported_parts(self.native_query(), self.connection.planning_connection)
        except (EmptyResultSet, FullResultSet):
            return
        if reasons:
            _warn(reasons)


class WarningWriteCompiler(WarningCompiler):
    """A write of rows that are chosen by a condition; what is computed from them is left to the rows that match."""

    def native_query(self) -> Any:
        return analysis.primary_key_query(self.query)


class SQLCompiler(WarningCompiler, compiler.SQLCompiler):
    """SELECT."""


class SQLAggregateCompiler(SQLCompiler, compiler.SQLAggregateCompiler):
    """Aggregates over a subquery."""


class SQLInsertCompiler(compiler.SQLInsertCompiler):
    """INSERT: needs no advice."""


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
        f"On Firestore this query would be answered in the mirror, because of {', '.join(reasons)}.",
        MirrorWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
    )

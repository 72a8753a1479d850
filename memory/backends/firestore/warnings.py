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
from .query.analysis import Numbers
from .query.planner import Unanswerable, plan

# Frames of these are not the line of code that a reader would look for.
LIBRARIES: Final = (str(Path(django.__file__).parent), str(Path(__file__).parents[1]))

_warned: set[tuple[str, int, tuple[str, ...]]] = set()


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
    connection.advised_apps = frozenset(labels)
    connection.advisor = DatabaseWrapper(_nowhere(connection), connection.alias)


def _nowhere(connection: Any) -> dict[str, Any]:
    return {**connection.settings_dict, "NAME": "nowhere", "PROJECT": "nowhere", "HOST": "nowhere:1", "OPTIONS": {}}


def blame(query: Any, advisor: DatabaseWrapper) -> tuple[str, ...]:
    """What Firestore could not do for a query; empty if it answers all of it."""
    outer: Any = query.get_compiler(connection=advisor)
    asked = analysis.ask(outer, outer.setup())
    if isinstance(asked, Numbers):
        plans = [plan(number.select) for number in asked.numbers]
        found = asked.blame
    else:
        plans, found = [analysis.answer(asked)], asked.select.blame  # type: ignore[list-item]
    for answer in plans:
        if isinstance(answer, Unanswerable):
            found = (*found, *answer.blame)
    return tuple(dict.fromkeys(found))


class Advised:
    """A statement on SQLite, with advice."""

    connection: Any
    query: Any

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        """As Django's, after the advice."""
        if self.query.get_meta().app_label in self.connection.advised_apps:
            self.advise()
        return super().execute_sql(*args, **kwargs)  # type: ignore[misc]

    def read(self) -> Any:
        """The query whose rows Firestore would be asked for."""
        return self.query.clone()

    def advise(self) -> None:
        """Warns, if this line of code has not been warned of the same."""
        try:
            reasons = blame(self.read(), self.connection.advisor)
        except (EmptyResultSet, FullResultSet):
            return
        if reasons:
            _warn(reasons)


class AdvisedWrite(Advised):
    """A write of rows that are chosen by a condition; what is computed from them is left to the rows that match."""

    def read(self) -> Any:
        return analysis.keys_of(self.query)


class SQLCompiler(Advised, compiler.SQLCompiler):
    """SELECT."""


class SQLAggregateCompiler(SQLCompiler, compiler.SQLAggregateCompiler):
    """Aggregates over a subquery."""


class SQLInsertCompiler(compiler.SQLInsertCompiler):
    """INSERT: needs no advice."""


class SQLUpdateCompiler(AdvisedWrite, compiler.SQLUpdateCompiler):
    """UPDATE."""


class SQLDeleteCompiler(AdvisedWrite, compiler.SQLDeleteCompiler):
    """DELETE."""


def _warn(reasons: tuple[str, ...]) -> None:
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(LIBRARIES):
        frame = frame.f_back
    place = (frame.f_code.co_filename, frame.f_lineno, reasons)
    if place in _warned:
        return
    _warned.add(place)
    warnings.warn_explicit(
        f"On Firestore this query would be answered in the mirror, because of {', '.join(reasons)}.",
        MirrorWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
    )

"""The compilers, by the names that `Query.get_compiler` expects."""

from __future__ import annotations

from django.db.models.sql import compiler

from .compilers.delete import SQLDeleteCompiler
from .compilers.insert import SQLInsertCompiler
from .compilers.select import SQLCompiler
from .compilers.update import SQLUpdateCompiler


class SQLAggregateCompiler(SQLCompiler, compiler.SQLAggregateCompiler):
    """Aggregates over a subquery: counts of slices are native, the others run in the mirror."""


__all__ = [
    "SQLAggregateCompiler",
    "SQLCompiler",
    "SQLDeleteCompiler",
    "SQLInsertCompiler",
    "SQLUpdateCompiler",
]

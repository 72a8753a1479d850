"""Django's compilers by the names that `Query.get_compiler` looks for."""

from __future__ import annotations

from django.db.models.sql import compiler

from .reading import SQLCompiler
from .writing import SQLDeleteCompiler, SQLInsertCompiler, SQLUpdateCompiler


class SQLAggregateCompiler(SQLCompiler, compiler.SQLAggregateCompiler):
    """Aggregates over a subquery: counts of slices natively, the rest in the mirror."""


__all__ = [
    "SQLAggregateCompiler",
    "SQLCompiler",
    "SQLDeleteCompiler",
    "SQLInsertCompiler",
    "SQLUpdateCompiler",
]

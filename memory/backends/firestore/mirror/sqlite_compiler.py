"""Django's compilers for the mirror, whose connection has no alias in `django.db.connections`."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from django.db.models.sql import compiler
from django.db.models.sql.compiler import (
    SQLCompiler,
    SQLDeleteCompiler,
    SQLInsertCompiler,
    SQLUpdateCompiler,
)


class SQLAggregateCompiler(compiler.SQLAggregateCompiler):
    """Aggregates over a subquery, which Django compiles by the alias of this compiler."""

    query: Any

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        """As Django's, with the subquery compiled on this connection."""
        asked = self.query
        inner = copy.copy(asked.inner_query)
        inner.get_compiler = partial(asked.inner_query.get_compiler, connection=self.connection)
        self.query = copy.copy(asked)
        self.query.inner_query = inner
        try:
            return super().as_sql(*args, **kwargs)
        finally:
            self.query = asked


__all__ = [
    "SQLAggregateCompiler",
    "SQLCompiler",
    "SQLDeleteCompiler",
    "SQLInsertCompiler",
    "SQLUpdateCompiler",
]

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
    """Aggregates over a subquery. Django looks up the subquery's compiler by alias."""

    query: Any

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Like Django's, with the subquery compiled for this connection."""
        query = self.query
        inner = copy.copy(query.inner_query)
        inner.get_compiler = partial(query.inner_query.get_compiler, connection=self.connection)
        self.query = copy.copy(query)
        self.query.inner_query = inner
        try:
            return super().as_sql(*args, **kwargs)
        finally:
            self.query = query


__all__ = [
    "SQLAggregateCompiler",
    "SQLCompiler",
    "SQLDeleteCompiler",
    "SQLInsertCompiler",
    "SQLUpdateCompiler",
]

"""DELETE."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models.sql import compiler

from ..errors import contention
from ..query.plan import Delete, Outcome
from ..statements import Text
from .target_rows import TargetRowsCompiler


class SQLDeleteCompiler(compiler.SQLDeleteCompiler, TargetRowsCompiler):
    """Deletes matching rows and counts them."""

    connection: Any
    query: Any

    def execute_sql(self, result_type: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """The number of rows deleted."""
        try:
            return self.connection.statement(self.text, self.delete)
        except EmptyResultSet:
            return 0

    def text(self) -> Text:
        """The DELETE in SQL."""
        sql, params = self.connection.mirror.compiler(self.query.clone()).as_sql()
        return sql, params

    def delete(self) -> int:
        """The number of rows deleted."""
        table = self.query.get_meta().db_table
        columns = self.markers.columns(self.markers.keys)
        count, deadline = 0, self.deadline()
        while True:
            try:
                targets = self.target_rows(self.query, columns)
            except EmptyResultSet:
                return count
            deletes = [
                Delete(table, name, must_exist=version is None, version=version)
                for name, version in zip(targets.ids, targets.versions, strict=True)
            ]
            outcomes = self.write(self.markers.deleted(deletes, targets.rows) if columns else deletes)
            count += outcomes.count(Outcome.APPLIED)
            if Outcome.STALE not in outcomes:
                return count
            if not deadline.pause():
                raise contention(table)

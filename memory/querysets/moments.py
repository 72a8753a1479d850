"""Times that are computed when a query runs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models.expressions import Expression
from django.utils import timezone

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler


class CurrentTime(Expression):
    """The time at which a query runs, by this process's clock, or a time `before` it.

    Unlike `timezone.now()` it stays current in a queryset that is built once and run often, such as a view's. Unlike
    the database's `Now()` it is a plain parameter, which every engine can compare natively.
    """

    def __init__(self, before: timedelta | None = None) -> None:
        super().__init__(output_field=models.DateTimeField())
        self.before = before or timedelta()

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        now = models.Value(timezone.now() - self.before, output_field=self.output_field)
        sql, params = now.as_sql(compiler, connection)
        return sql, tuple(params)

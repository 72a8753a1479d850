"""A field of texts such as an app would bring: the engine knows its lookups by `array_operator` alone."""

from __future__ import annotations

from typing import Any

from django.db.models import JSONField, Lookup


class ArrayField(JSONField):
    """A list of texts."""


@ArrayField.register_lookup
class Has(Lookup):  # type: ignore[type-arg]
    """A list that holds a text."""

    lookup_name = "has"
    array_operator = "array-contains"

    def get_prep_lookup(self) -> Any:
        return self.rhs

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        column, params = self.process_lhs(compiler, connection)
        values = [self.rhs] if isinstance(self.rhs, str) else list(self.rhs)
        marks = ", ".join(["%s"] * len(values)) or "NULL"
        return f"EXISTS (SELECT 1 FROM json_each({column}) WHERE value IN ({marks}))", [*params, *values]  # noqa: S608


@ArrayField.register_lookup
class HasAny(Has):
    """A list that holds one of several texts."""

    lookup_name = "has_any"
    array_operator = "array-contains-any"

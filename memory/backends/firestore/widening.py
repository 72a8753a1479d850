"""The clause of SQL by which an INSERT moves bounds of existing rows outwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import NotSupportedError

FUNCTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "sqlite": ("MIN", "MAX"),
    "postgresql": ("LEAST", "GREATEST"),
    "mysql": ("LEAST", "GREATEST"),
}
"""The functions of two values for the lesser and the greater one, by vendor."""


def conflict_clause(connection: Any, model: Any, least: Sequence[Any], greatest: Sequence[Any]) -> str:
    """What follows the VALUES. Raises `NotSupportedError` for other vendors."""
    if connection.vendor not in FUNCTIONS:
        raise NotSupportedError(f"widen() is not supported on {connection.display_name}.")
    name, table = connection.ops.quote_name, connection.ops.quote_name(model._meta.db_table)
    given = "VALUES({0})" if connection.vendor == "mysql" else "EXCLUDED.{0}"
    moved = ", ".join(
        f"{column} = {function}({table}.{column}, {given.format(column)})"
        for function, fields in zip(FUNCTIONS[connection.vendor], (least, greatest), strict=True)
        for column in (name(field.column) for field in fields)
    )
    if connection.vendor == "mysql":
        return f"ON DUPLICATE KEY UPDATE {moved}"
    return f"ON CONFLICT ({name(model._meta.pk.column)}) DO UPDATE SET {moved}"

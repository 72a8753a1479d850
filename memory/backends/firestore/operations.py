"""Which Python value a field's value becomes before the codec spells it, and the other way round.

The wire takes most values as they are, so most methods return what they are given. What Django calls SQL is
refused here, before any call.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.conf import settings
from django.db import NotSupportedError
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models import DecimalField
from django.db.models.expressions import Col
from django.utils import timezone

from .creation import flush_emulator
from .rpc import channel
from .values.auto_ids import AUTO_IDS
from .values.json_copy import json_copy
from .values.marker_collections import marker_collection
from .values.types import JSON_NULL

Converter = Callable[[Any, Any, Any], Any]

INT64: Final = (-(2**63), 2**63 - 1)


class DatabaseOperations(BaseDatabaseOperations):
    """Values and names, by Django's hooks."""

    connection: Any
    compiler_module = "memory.backends.firestore.compiler"
    explain_prefix = "EXPLAIN"
    integer_field_ranges = {
        name: (0, INT64[1]) if name.startswith("Positive") else INT64
        for name in BaseDatabaseOperations.integer_field_ranges
    }

    def quote_name(self, name: str) -> str:
        return name if name.startswith('"') and name.endswith('"') else f'"{name}"'

    def bulk_batch_size(self, fields: Sequence[Any], objs: Sequence[Any]) -> int:
        """All at once: the executor cuts commits by their bytes."""
        return len(objs) or 1

    def max_in_list_size(self) -> None:
        return None

    # --- Python values for the codec

    def adapt_integerfield_value(self, value: Any, internal_type: str | None) -> Any:
        return value

    def adapt_datefield_value(self, value: Any) -> Any:
        return value

    def adapt_timefield_value(self, value: Any) -> Any:
        if isinstance(value, datetime.time) and timezone.is_aware(value):
            raise ValueError("Django does not support timezone-aware times: store the time of day without a zone.")
        return value

    def adapt_datetimefield_value(self, value: Any) -> Any:
        """An instant. Without USE_TZ the naive time is kept as if it were UTC."""
        if not isinstance(value, datetime.datetime):
            return value
        if timezone.is_naive(value):
            return value.replace(tzinfo=datetime.UTC)
        if not settings.USE_TZ:
            raise ValueError("Firestore was given a timezone-aware datetime while USE_TZ is False: make it naive.")
        return value.astimezone(datetime.UTC)

    def adapt_durationfield_value(self, value: Any) -> Any:
        return value

    def adapt_ipaddressfield_value(self, value: Any) -> Any:
        return value or None

    def adapt_json_value(self, value: Any, encoder: Any) -> Any:
        """The value as JSON would give it back: string keys, lists for tuples, no foreign types."""
        value = json_copy(value, encoder)
        return JSON_NULL if value is None else value

    def adapt_vector(self, value: Sequence[float]) -> list[float]:
        """A vector as the wire takes it."""
        return list(value)

    # --- and back

    def get_db_converters(self, expression: Any) -> list[Converter]:
        converters = super().get_db_converters(expression)
        if expression.output_field.get_internal_type() == "DateTimeField":
            converters.append(self.convert_datetimefield_value)
        if isinstance(expression, Col) and isinstance(expression.output_field, DecimalField):
            converters.append(self.convert_decimalfield_value)
        return converters

    def convert_decimalfield_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """The number with the column's decimal places; one that has more digits than the column may, as it is."""
        field = expression.output_field
        if not isinstance(value, Decimal) or field.decimal_places is None:
            return value
        try:
            return value.quantize(Decimal(1).scaleb(-field.decimal_places), context=field.context)
        except InvalidOperation:
            return value

    def convert_datetimefield_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """The instant in the connection's time zone, or naive without USE_TZ."""
        if not isinstance(value, datetime.datetime):
            return value
        if not settings.USE_TZ:
            return value.replace(tzinfo=None)
        return value if connection.timezone is datetime.UTC else value.astimezone(connection.timezone)

    def new_auto_id(self) -> int:
        """An id for a new row of a model with an AutoField."""
        return AUTO_IDS[self.connection.auto_ids]()

    # --- flush, refusals

    def sql_flush(
        self, style: Any, tables: Iterable[str], *, reset_sequences: bool = False, allow_cascade: bool = False
    ) -> list[str]:
        """The collections to empty (there is no SQL to say so): the tables', and those of their markers."""
        return [collection for table in tables for collection in (table, marker_collection(table))]

    def execute_sql_flush(self, sql_list: Iterable[str]) -> None:
        wanted = set(sql_list)
        with self.connection.cursor() as cursor:
            present = cursor.collections()
            to = channel.target(self.connection.settings_dict)
            if to.emulator and wanted.issuperset(present):
                flush_emulator(to)
                return
            for collection in wanted.intersection(present):
                cursor.clear(collection)

    def sequence_reset_sql(self, style: Any, model_list: Any) -> list[str]:
        return []

    def prepare_sql_script(self, sql: str) -> list[str]:
        raise NotSupportedError("Firestore has no SQL: write the script with the ORM, in a RunPython migration.")

    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> str:
        return str(sql)

    def explain_query_prefix(self, format: str | None = None, **options: Any) -> str:
        if format or options:
            given = ", ".join(sorted({*(["format"] if format else []), *options}))
            raise ValueError(f"explain() takes no format and no options on Firestore; it was given {given}.")
        return "EXPLAIN"

"""Converts field values to Python values for the codec, and back.

The codec accepts most values unchanged, so most methods return their argument. SQL operations raise NotSupportedError.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.conf import settings
from django.db import DataError
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models import DecimalField
from django.db.models.expressions import Col
from django.utils import timezone

from .creation import flush_emulator
from .query.plan import Delete, Put, Query
from .rpc import channel, sequences
from .statements import interpolated
from .values.auto_ids import AUTO_IDS, SEQUENCE
from .values.json_copy import json_copy
from .values.marker_collections import SEQUENCES, lease_collection, marker_collection
from .values.sortable_text import INT64
from .values.types import DOCUMENT_ID, FIELDS, JSON_NULL, Kind, Ref

Converter = Callable[[Any, Any, Any], Any]


KEPT: Final = frozenset({"django_migrations"})
"""Small collections that a flush keeps, since no installed model has them."""


class DatabaseOperations(BaseDatabaseOperations):
    """Conversion of values, names, and flush."""

    connection: Any
    compiler_module = "memory.backends.firestore.compiler"
    explain_prefix = "EXPLAIN"
    integer_field_ranges = {
        name: (0 if name.startswith("Positive") else INT64.start, INT64.stop - 1)
        for name in BaseDatabaseOperations.integer_field_ranges
    }

    def quote_name(self, name: str) -> str:
        return name if name.startswith('"') and name.endswith('"') else f'"{name}"'

    def bulk_batch_size(self, fields: Sequence[Any], objs: Sequence[Any]) -> int:
        """All objects, since the executor splits commits by size, or what `max_query_params` allows."""
        return super().bulk_batch_size(fields, objs) or 1

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
        """An aware datetime in UTC. Without USE_TZ, the naive datetime is stored as if it were UTC."""
        if not isinstance(value, datetime.datetime):
            return value
        if timezone.is_naive(value):
            return value.replace(tzinfo=datetime.UTC)
        if not settings.USE_TZ:
            raise ValueError("Firestore does not support timezone-aware datetimes if USE_TZ is False: make it naive.")
        return value.astimezone(datetime.UTC)

    def adapt_durationfield_value(self, value: Any) -> Any:
        return value

    def adapt_ipaddressfield_value(self, value: Any) -> Any:
        return value or None

    def adapt_json_value(self, value: Any, encoder: Any) -> Any:
        """A copy of the value as JSON round-trips it: string keys, lists for tuples, only JSON types.

        Raises DataError if the encoder's text is not JSON.
        """
        try:
            value = json_copy(value, encoder)
        except json.JSONDecodeError as error:
            raise DataError(f"the field's encoder returned text that is not JSON: {error}") from error
        return JSON_NULL if value is None else value

    def adapt_vector(self, value: Sequence[float]) -> list[float]:
        """A vector for the codec."""
        return list(value)

    # --- and back

    def get_db_converters(self, expression: Any) -> list[Converter]:
        converters = super().get_db_converters(expression)
        is_datetime = expression.output_field.get_internal_type() == "DateTimeField"
        if is_datetime and self.connection.timezone is not datetime.UTC:  # values are in UTC
            converters.append(self.convert_datetimefield_value)
        if isinstance(expression, Col) and isinstance(expression.output_field, DecimalField):
            converters.append(self.convert_decimalfield_value)
        return converters

    def convert_decimalfield_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """The number with the column's decimal places; unchanged if it has more digits than the column allows."""
        field = expression.output_field
        if not isinstance(value, Decimal) or field.decimal_places is None:
            return value
        try:
            return value.quantize(Decimal(1).scaleb(-field.decimal_places), context=field.context)
        except InvalidOperation:
            return value

    def convert_datetimefield_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """The datetime in the connection's time zone, or naive without USE_TZ."""
        zone = connection.timezone  # None: USE_TZ is False
        if zone is datetime.UTC or not isinstance(value, datetime.datetime):
            return value
        return value.replace(tzinfo=None) if zone is None else value.astimezone(zone)

    def new_auto_id(self, table: str = "") -> int:
        """An id for a new row of a model with an AutoField."""
        return self.new_auto_ids(table, 1)[0]

    def new_auto_ids(self, table: str, count: int) -> list[int]:
        """Ids for new rows of a table."""
        if self.connection.auto_ids != SEQUENCE:
            new_id = AUTO_IDS[self.connection.auto_ids]
            return [new_id() for _ in range(count)]
        if not count:
            return []
        self.connection.ensure_connection()
        unit = self.connection.unit
        if unit is not None and unit.is_of_test:
            return list(unit.take_ids(table, count))
        return sequences.take(self.connection.connection, table, count)

    def pass_over_ids(self, table: str, ids: Iterable[Any]) -> None:
        """Makes later ids of a table higher than these, which rows were given."""
        highest = max((id for id in ids if isinstance(id, int)), default=0)
        if highest <= 0 or self.connection.auto_ids != SEQUENCE:
            return
        self.connection.ensure_connection()
        unit = self.connection.unit
        if unit is not None and unit.is_of_test:
            unit.pass_over_id(table, highest)
        else:
            sequences.pass_over(self.connection.connection, table, highest)

    # --- flush, unsupported operations

    def sql_flush(
        self, style: Any, tables: Iterable[str], *, reset_sequences: bool = False, allow_cascade: bool = False
    ) -> list[str]:
        """The collections to empty: those of the tables, of their markers and locks. The list is not SQL."""
        own = (marker_collection, lease_collection)
        return [name for table in tables for name in (table, *(collection(table) for collection in own))]

    def execute_sql_flush(self, sql_list: Iterable[str]) -> None:
        wanted = set(sql_list)
        with self.connection.cursor() as cursor:
            present = set(cursor.collections())
            to = channel.target(self.connection.settings_dict)
            if to.emulator and self.connection.unit is None and present - wanted <= KEPT | {SEQUENCES}:
                self._flush_emulator(cursor, to, present - wanted - {SEQUENCES})
            else:
                for collection in wanted & present:
                    cursor.clear(collection)
                if SEQUENCES in present:
                    cursor.commit([Delete(SEQUENCES, sequences.counter_id(table)) for table in sorted(wanted)])
        sequences.forget(to, wanted)

    def _flush_emulator(self, cursor: Any, to: channel.Target, kept: Iterable[str]) -> None:
        """Empties an emulator's database at once, and writes the documents of `kept` again."""
        writes = [
            Put(name, id, tuple(Ref((field,), Kind.WIRE) for field in fields), tuple(fields.values()))
            for name in kept
            for id, fields in cursor.run(Query(name, (DOCUMENT_ID, FIELDS)))
        ]
        flush_emulator(to)
        if writes:
            cursor.commit(writes)

    def sequence_reset_sql(self, style: Any, model_list: Any) -> list[str]:
        return []

    def prepare_sql_script(self, sql: str) -> list[str]:
        return [sql]  # the schema editor raises NotSupportedError for it

    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> str:
        """The statement for a reader; no SQL is sent."""
        return interpolated(sql, params)

    def explain_query_prefix(self, format: str | None = None, **options: Any) -> str:
        if format or options:
            given = ", ".join(sorted({*(["format"] if format else []), *options}))
            raise ValueError(f"explain() does not support a format or options on Firestore: {given}.")
        return "EXPLAIN"

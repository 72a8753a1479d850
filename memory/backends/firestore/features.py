"""What the engine does and does not do, for Django and for its tests: the honest ledger.

Most of what SQL can do is `True`, since the mirror answers it with SQLite; what is `False` states a fact
about Firestore or about this engine, one sentence each. `docs/known-issues.md` repeats them for users.
"""

from __future__ import annotations

import sqlite3
import sys

from django.db.backends.base.features import BaseDatabaseFeatures
from django.utils.functional import cached_property

from .rpc import channel
from .rpc.commit import MAX_EMULATOR_BYTES, MAX_WHOLE_BYTES


class DatabaseFeatures(BaseDatabaseFeatures):
    """The engine's abilities, by Django's names."""

    # An INSERT names every value itself, ids too, so all of them can be handed back.
    can_return_columns_from_insert = True
    can_return_rows_from_bulk_insert = True
    supports_update_conflicts = True
    supports_update_conflicts_with_target = True
    supports_unspecified_pk = True
    has_bulk_insert = True
    can_use_chunked_reads = True

    # The wire's own types, so that fields hand over Python values as they are.
    has_native_boolean_field = True
    has_native_uuid_field = True
    has_native_duration_field = True
    supports_unlimited_charfield = True
    supports_no_precision_decimalfield = True

    # Firestore sorts null first.
    order_by_nulls_first = True

    # Answered in the mirror, by SQLite, hence as SQLite does.
    supports_over_clause = True
    supports_frame_range_fixed_distance = True
    supports_frame_exclusion = True
    supports_aggregate_filter_clause = True
    supports_aggregate_order_by_clause = sqlite3.sqlite_version_info >= (3, 44)
    supports_aggregate_distinct_multiple_argument = False
    supports_any_value = True
    supports_uuid4_function = True
    supports_uuid4_function_in_default = True
    supports_uuid7_function = sys.version_info >= (3, 14)
    supports_temporal_subtraction = True
    supports_cast_with_precision = False
    time_cast_precision = 3
    supports_json_field_contains = False
    supports_stored_generated_columns = True
    supports_virtual_generated_columns = True
    supports_parentheses_in_compound = False
    supports_tuple_lookups = False
    supports_default_keyword_in_insert = False
    supports_default_keyword_in_bulk_insert = False
    test_collations = {"ci": "nocase", "cs": "binary", "non_default": "nocase", "virtual": "nocase"}

    # Writes are held back until a block commits, and savepoints are marks among them.
    supports_transactions = True
    uses_savepoints = True
    can_release_savepoints = True
    # A statement that failed has written nothing, so the block may go on once it is told to.
    atomic_transactions = False

    @cached_property
    def max_transaction_bytes(self) -> int:
        """Bytes that one transaction may write. Not Django's: for code that can write in several."""
        target = channel.target(self.connection.settings_dict)
        return MAX_EMULATOR_BYTES if target.emulator else MAX_WHOLE_BYTES

    # What a transaction reads is locked, all of it; `select_for_update()` says that it is meant, and takes no options.
    # https://firebase.google.com/docs/firestore/transaction-data-contention
    has_select_for_update = True
    has_select_for_update_nowait = False
    has_select_for_update_skip_locked = False
    has_select_for_update_of = False

    # Unique constraints are kept by markers (`constraints/`), with conditions, expressions and nulls_distinct; what
    # `include` and `opclasses` ask for makes no difference to what is unique.
    supports_partial_indexes = True
    supports_functions_in_partial_indexes = True
    supports_expression_indexes = True
    supports_nulls_distinct_unique_constraints = True
    supports_covering_indexes = True

    # Firestore has no schema: no foreign keys, indexes on demand, comments, or defaults that it
    # would apply.
    supports_foreign_keys = False
    # `check` refuses these (fields.E324): use `CASCADE`, `SET_NULL` and `SET_DEFAULT`, which Django itself carries out.
    supports_on_delete_db_cascade = False
    supports_on_delete_db_default = False
    supports_on_delete_db_null = False
    # Nothing checks a foreign key, so rows may go in any order, and none is set to null before its target is deleted.
    can_defer_constraint_checks = True
    can_create_inline_fk = False
    supports_column_check_constraints = False
    supports_table_check_constraints = True  # SQLite computes them from the row that is to be written
    can_introspect_check_constraints = True
    can_introspect_foreign_keys = False
    can_introspect_default = False
    supports_index_column_ordering = False
    supports_deferrable_unique_constraints = False
    can_rollback_ddl = False
    supports_collation_on_charfield = True
    supports_collation_on_textfield = True
    implied_column_null = True

    # Ids are random, so there is no sequence to put back.
    supports_sequence_reset = False

    # A Firestore database is made by an administrator; tests use another database id of the same project.
    can_clone_databases = True
    test_db_allows_multiple_connections = True
    supported_explain_formats: set[str] = set()

    @cached_property
    def supports_explaining_query_execution(self) -> bool:
        """Whether `QuerySet.explain()` works: it tells the lane and the documents' bound."""
        return True

    @cached_property
    def introspected_field_types(self) -> dict[str, str]:  # type: ignore[override]
        """Collections carry no types."""
        return {}

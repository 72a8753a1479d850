"""The engine's feature flags, for Django and its tests.

Most SQL features are `True`, because the mirror runs such queries on SQLite. Features that are `False` are limitations
of Firestore or of this engine. `docs/known-issues.md` describes them for users.
"""

from __future__ import annotations

import sqlite3
import sys

from django.db.backends.base.features import BaseDatabaseFeatures
from django.utils.functional import cached_property

from .django_tests import EXPECTED_FAILURES, SKIPS
from .rpc import channel
from .rpc.commit import MAX_EMULATOR_BYTES, MAX_WHOLE_BYTES


class DatabaseFeatures(BaseDatabaseFeatures):
    """The engine's features."""

    # An INSERT has all values, including ids, so it can return all of them.
    can_return_columns_from_insert = True
    can_return_rows_from_bulk_insert = True
    # An UPDATE can too, except for increments in a transaction, whose results are returned by the commit.
    can_return_rows_from_update = True
    supports_update_conflicts = True
    supports_update_conflicts_with_target = True
    supports_unspecified_pk = True
    has_bulk_insert = True
    can_use_chunked_reads = True

    # Fields pass these Python values to the codec unchanged.
    has_native_boolean_field = True
    has_native_uuid_field = True
    has_native_duration_field = True
    supports_unlimited_charfield = True
    supports_no_precision_decimalfield = True

    # Firestore sorts null first.
    order_by_nulls_first = True

    # SQLite's features, in the mirror.
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
    supports_tuple_lookups = True
    supports_default_keyword_in_insert = False
    supports_default_keyword_in_bulk_insert = False
    test_collations = {"ci": "nocase", "cs": "binary", "non_default": "nocase", "virtual": "nocase"}

    # Writes are buffered until the commit, and savepoints are positions in the buffer.
    supports_transactions = True
    uses_savepoints = True
    can_release_savepoints = True
    # A failed statement has written nothing, so a transaction can continue after an error.
    atomic_transactions = False

    @cached_property
    def max_transaction_bytes(self) -> int:
        """Maximum bytes of writes in one transaction. Not a Django feature; for code that can split its writes."""
        target = channel.target(self.connection.settings_dict)
        return MAX_EMULATOR_BYTES if target.emulator else MAX_WHOLE_BYTES

    # A transaction locks all documents that it reads, also without `select_for_update()`, and so at least those of
    # `of`. It does not know the locks of others: rows of `skip_locked` are claimed by leases of the engine's own
    # (`transactions/leases.py`).
    # https://firebase.google.com/docs/firestore/transaction-data-contention
    has_select_for_update = True
    has_select_for_update_nowait = False
    has_select_for_update_skip_locked = True
    has_select_for_no_key_update = True
    has_select_for_update_of = True

    # Markers (`constraints/`) enforce unique constraints, including conditions, expressions and nulls_distinct.
    # `include` and `opclasses` do not affect uniqueness.
    supports_partial_indexes = True
    supports_functions_in_partial_indexes = True
    supports_expression_indexes = True
    supports_nulls_distinct_unique_constraints = True
    supports_covering_indexes = True

    # Firestore has no schema: no foreign keys, comments or defaults.
    supports_foreign_keys = False
    # System check fields.E324 rejects these; use `CASCADE`, `SET_NULL` and `SET_DEFAULT`, implemented by Django.
    supports_on_delete_db_cascade = False
    supports_on_delete_db_default = False
    supports_on_delete_db_null = False
    # Foreign keys are not checked, so rows can be deleted in any order without setting references to null first.
    can_defer_constraint_checks = True
    can_create_inline_fk = False
    supports_column_check_constraints = True  # of positive numbers
    supports_table_check_constraints = True  # evaluated by SQLite before a row is written
    can_introspect_check_constraints = True
    can_introspect_foreign_keys = False  # there are no constraints; `get_relations()` has the models' fields
    can_introspect_default = True
    supports_index_column_ordering = False
    supports_deferrable_unique_constraints = False
    can_rollback_ddl = False
    supports_collation_on_charfield = True
    supports_collation_on_textfield = True
    implied_column_null = True

    # Ids are random, so there is no sequence to reset.
    supports_sequence_reset = False

    # Tests use another database id of the same project.
    can_clone_databases = True
    test_db_allows_multiple_connections = True
    supported_explain_formats: set[str] = set()

    django_test_expected_failures = set().union(*EXPECTED_FAILURES.values())
    django_test_skips = SKIPS

    @cached_property
    def supports_explaining_query_execution(self) -> bool:
        """Whether `QuerySet.explain()` works. It shows the lane and the limit of documents read."""
        return True

"""Django's own tests that the engine does not pass, by reason: a fact about Firestore.

`python -m tests.fidelity.run` runs them. An expected failure that passes fails the run, so the lists stay true; a test
is skipped instead where it fails in some runs only. Tests that Django skips itself, by `features.py`, are not listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Final

import django

ON_EVERY_VERSION: Final[Mapping[str, frozenset[str]]] = {
    # https://firebase.google.com/docs/firestore/query-data/queries
    "SQL that writes or defines tables is refused: Firestore has no SQL": frozenset(
        {
            "backends.base.test_base.ExecuteWrapperTests.test_database_queried",
            "backends.base.test_base.ExecuteWrapperTests.test_nested_wrapper_invoked",
            "backends.base.test_base.ExecuteWrapperTests.test_wrapper_invoked_many",
            "backends.tests.BackendTestCase.test_cursor_execute_with_pyformat",
            "backends.tests.BackendTestCase.test_cursor_executemany",
            "backends.tests.BackendTestCase.test_cursor_executemany_with_empty_params_list",
            "backends.tests.BackendTestCase.test_cursor_executemany_with_iterator",
            "backends.tests.BackendTestCase.test_cursor_executemany_with_pyformat",
            "backends.tests.BackendTestCase.test_cursor_executemany_with_pyformat_iterator",
            "backends.tests.BackendTestCase.test_queries",
            "backends.tests.LastExecutedQueryTest.test_last_executed_query_dict",
            "backends.tests.LastExecutedQueryTest.test_last_executed_query_dict_overlap_keys",
            "backends.tests.LastExecutedQueryTest.test_last_executed_query_with_duplicate_params",
            "inspectdb.tests.InspectDBTransactionalTests.test_include_views",
            "introspection.tests.IntrospectionTests.test_django_table_names",
            "introspection.tests.IntrospectionTests.test_table_names_with_views",
            "migrations.test_multidb.MultiDBOperationTests.test_run_sql_migrate_foo_router_with_hints",
            "migrations.test_operations.OperationTests.test_alter_unique_together",
            "migrations.test_operations.OperationTests.test_create_model_with_boolean_expression_in_check_constraint",
            "migrations.test_operations.OperationTests.test_create_model_with_constraint",
            "migrations.test_operations.OperationTests.test_rename_field_unique_together",
            "migrations.test_operations.OperationTests.test_run_sql",
            "migrations.test_operations.OperationTests.test_run_sql_add_missing_semicolon_on_collect_sql",
            "migrations.test_operations.OperationTests.test_run_sql_params",
            "migrations.test_operations.OperationTests.test_separate_database_and_state",
            "schema.tests.SchemaTests.test_remove_constraints_capital_letters",
        }
    ),
    # https://firebase.google.com/docs/firestore/data-model
    "the first document makes a collection: unknown tables are empty, and known ones can be made": frozenset(
        {
            "inspectdb.tests.InspectDBTestCase.test_introspection_errors",
            "migrations.test_commands.MigrateTests.test_migrate_fake_initial",
            "migrations.test_commands.MigrateTests.test_migrate_initial_false",
            "migrations.test_executor.ExecutorTests.test_soft_apply",
            "schema.tests.SchemaTests.test_creation_deletion",
            "schema.tests.SchemaTests.test_creation_deletion_reserved_names",
            "schema.tests.SchemaTests.test_m2m",
            "schema.tests.SchemaTests.test_m2m_custom",
            "schema.tests.SchemaTests.test_m2m_inherited",
            "schema.tests.SchemaTests.test_m2m_repoint",
            "schema.tests.SchemaTests.test_m2m_repoint_custom",
            "schema.tests.SchemaTests.test_m2m_repoint_inherited",
        }
    ),
    # https://firebase.google.com/docs/firestore/data-model
    "tables have no constraints, defaults or collations: those of the model that is used apply": frozenset(
        {
            "migrations.test_operations.OperationTests.test_add_constraint",
            "migrations.test_operations.OperationTests.test_add_field_both_defaults",
            "migrations.test_operations.OperationTests.test_remove_constraint",
            "migrations.test_operations.OperationTests.test_remove_covering_unique_constraint",
            "migrations.test_operations.OperationTests.test_remove_func_unique_constraint",
            "migrations.test_operations.OperationTests.test_remove_partial_unique_constraint",
            "schema.tests.SchemaTests.test_add_field_default_transform",
            "schema.tests.SchemaTests.test_check_constraint_exact_jsonfield",
            "schema.tests.SchemaTests.test_check_constraint_timedelta_param",
            "schema.tests.SchemaTests.test_ci_cs_db_collation",
            "schema.tests.SchemaTests.test_unique",
            "schema.tests.SchemaTests.test_unique_together",
        }
    ),
    # https://firebase.google.com/docs/firestore/query-data/get-data
    "foreign keys are not enforced: Firestore has no constraints": frozenset(
        {"fixtures_regress.tests.TestFixtures.test_loaddata_raises_error_when_fixture_has_invalid_foreign_key"}
    ),
    # https://firebase.google.com/docs/firestore/manage-data/transactions
    "writes are sent when the block ends, so a duplicate key raises IntegrityError at commit": frozenset(
        {
            "transactions.tests.AtomicErrorsTests.test_atomic_allows_queries_after_fixing_transaction",
            "transactions.tests.AtomicErrorsTests.test_atomic_prevents_queries_in_broken_transaction",
        }
    ),
    "the test reads SQL that is never sent": frozenset(
        {
            "migrations.test_commands.MigrateTests.test_migrate_syncdb_app_label",
            "migrations.test_commands.MigrateTests.test_migrate_syncdb_deferred_sql_executed_with_schemaeditor",
            "migrations.test_commands.MigrateTests.test_sqlmigrate_backwards",
            "migrations.test_commands.MigrateTests.test_sqlmigrate_forwards",
            "migrations.test_operations.OperationTests.test_rename_index",
            "schema.tests.SchemaTests.test_db_comment_table_unsupported",
            "schema.tests.SchemaTests.test_rename_table_renames_deferred_sql_references",
        }
    ),
}

SINCE_6_0: Final[Mapping[str, frozenset[str]]] = {
    "the first document makes a collection: unknown tables are empty, and known ones can be made": frozenset(
        {"schema.tests.SchemaTests.test_m2m_rename"}
    ),
    "the test reads SQL that is never sent": frozenset({"migrations.test_operations.OperationTests.test_remove_field"}),
}
"""Tests that Django 6.0 added or changed. Django fails to start where a listed test does not exist."""

SINCE_6_1: Final[Mapping[str, frozenset[str]]] = {
    "the test reads SQL that is never sent": frozenset(
        {
            "bulk_create.tests.BulkCreateTests.test_db_default_field_excluded",
            "migrations.test_commands.MigrateTests.test_migrate_syncdb_installed_truncated_db_model",
            "migrations.test_operations.OperationTests.test_rename_model_with_self_referential_fk_collect_sql",
        }
    ),
    # https://firebase.google.com/docs/firestore/reference/rpc/google.firestore.v1#writeresult
    "a write returns no columns: a generated column is read on access if the save did not write all that it is "
    "computed from": frozenset(
        {
            "model_fields.test_generatedfield.StoredGeneratedFieldTests.test_save",
            "model_fields.test_generatedfield.VirtualGeneratedFieldTests.test_save",
        }
    ),
}
"""Tests that Django 6.1 added or changed."""

_LISTS: Final = [
    known
    for first, known in (((5, 2), ON_EVERY_VERSION), ((6, 0), SINCE_6_0), ((6, 1), SINCE_6_1))
    if first <= django.VERSION
]

EXPECTED_FAILURES: Final[Mapping[str, frozenset[str]]] = {
    reason: frozenset().union(*(known.get(reason, frozenset()) for known in _LISTS))
    for reason in dict.fromkeys(chain.from_iterable(_LISTS))
}
"""Those of the installed Django."""

SKIPS: Final[dict[str, set[str]]] = {
    # https://firebase.google.com/docs/firestore/best-practices
    "ids are not small numbers, so the order in which Django adds a set of them is not that of their values": {
        "m2m_recursive.tests.RecursiveM2MTests.test_recursive_m2m_all",
        "m2m_recursive.tests.RecursiveM2MTests.test_recursive_m2m_reverse_add",
        "m2m_recursive.tests.RecursiveSymmetricalM2MThroughTests.test_recursive_m2m_all",
        "model_forms.tests.OtherModelFormTests.test_prefetch_related_queryset",
        "fixtures.tests.ForwardReferenceTests.test_forward_reference_m2m_natural_key",
    },
}

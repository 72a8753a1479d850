"""Django's own tests that the engine does not pass, by reason: a fact about Firestore, or a decision of the engine.

`python -m tests.fidelity.run` runs them. An expected failure that passes fails the run, so the lists stay true; a test
is skipped instead where it fails in some runs only. Tests that Django skips itself, by `features.py`, are not listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Final

import django

ON_EVERY_VERSION: Final[Mapping[str, frozenset[str]]] = {
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
    "unique columns are enforced by markers, and the models of these migrations have no unique_together": frozenset(
        {
            "contenttypes_tests.test_operations.ContentTypeOperationsTests.test_content_type_rename_conflict",
            "contenttypes_tests.test_operations.ContentTypeOperationsTests.test_existing_content_type_rename",
        }
    ),
    "expressions are computed by SQLite, so as_firestore() and patched features have no effect on them": frozenset(
        {
            "aggregation.tests.AggregateTestCase.test_add_implementation",
            "expressions_window.tests.WindowUnsupportedTests.test_unsupported_backend",
        }
    ),
    "the test reads SQL that is never sent": frozenset(
        {"model_fields.test_jsonfield.TestQuerying.test_key_sql_injection_escape"}
    ),
}

SINCE_6_1: Final[Mapping[str, frozenset[str]]] = {
    "expressions are computed by SQLite, so as_firestore() and patched features have no effect on them": frozenset(
        {
            "composite_pk.test_filter.CompositePKFilterTupleLookupFallbackTests"
            ".test_outer_ref_pk_filter_on_pk_comparison_unsupported"
        }
    ),
    "statements have no parameters that are limited in number, so in_bulk() needs one": frozenset(
        {"composite_pk.tests.CompositePKTests.test_in_bulk_batching"}
    ),
    "the test reads SQL that is never sent": frozenset(
        {"bulk_create.tests.BulkCreateTests.test_db_default_field_excluded"}
    ),
    "a generated column is read on access if the save did not write all columns that it is computed from": frozenset(
        {
            "model_fields.test_generatedfield.StoredGeneratedFieldTests.test_save",
            "model_fields.test_generatedfield.VirtualGeneratedFieldTests.test_save",
        }
    ),
}
"""Tests that Django 6.1 added. Django fails to start where a listed test does not exist."""

_LISTS: Final = (ON_EVERY_VERSION, SINCE_6_1) if django.VERSION >= (6, 1) else (ON_EVERY_VERSION,)

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

"""The inventory of what holds data of people."""

from __future__ import annotations

from collections import Counter

import pytest
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist

from memory.lifecycle.inventory import HOLDINGS, How, holdings
from memory.lifecycle.naming import MATCHERS

TEST_APPS = frozenset({"differential"})
NOT_INSTALLED = frozenset({"django_tasks_database.DBTaskResult"})
OWNERS = frozenset({"user_id", "agent_id", "owner"})


def labels() -> set[str]:
    """The labels of all models of the project, without those of tests."""
    return {model._meta.label for model in apps.get_models() if model._meta.app_label not in TEST_APPS}


def test_every_model_is_listed() -> None:
    """A new model must be listed, with how its rows of a person are found, or why they stay."""
    listed = {one.label for one in HOLDINGS}
    assert labels() - listed == set(), "list these models in memory/lifecycle/inventory.py"
    assert listed - labels() == NOT_INSTALLED


def test_fields_exist() -> None:
    """The fields of holdings are those of the models."""
    for one in holdings(How.OWNED, How.NAMED):
        if one.label in NOT_INSTALLED:
            continue
        for name in one.fields:
            try:
                apps.get_model(one.label)._meta.get_field(name)
            except FieldDoesNotExist as error:
                pytest.fail(f"{one.label}: {error}")


def test_models_with_an_owner_are_erased() -> None:
    """A model of the app with a field for the owner is erased by it."""
    erased = {one.label: one.fields[0] for one in holdings(How.OWNED)}
    for model in apps.get_models():
        names = OWNERS & {field.name for field in model._meta.concrete_fields}
        if model._meta.app_label in ("memory", "memory_access") and names:
            assert erased[model._meta.label] in names


def test_shared_tables_have_a_matcher() -> None:
    """Each table that is read as a whole has a function that recognises rows of a person; others have a reason."""
    assert {one.label for one in holdings(How.NAMED)} == set(MATCHERS)
    assert all(one.reason for one in holdings(How.NAMED, How.KEPT))
    assert max(Counter((one.label, one.how) for one in HOLDINGS).values()) == 1

"""Owner ids: the user name, reserved for its first user."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection

from memory.access.models import Owner
from memory.models import AgentData, MemoryItem

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEMS, DATA = "/api/memory-items/", "/api/agent-data/"


def own(client: Any) -> dict[str, list[str]]:
    """The owners of what a client sees, and of what it writes."""
    listed = [item["user_id"] for item in client.get(ITEMS).json()["results"]]
    data = [item["agent_id"] for item in client.get(DATA).json()["results"]]
    made = client.post(ITEMS, {"item_type": "m"}, format="json").json()["user_id"]
    return {"listed": listed, "data": data, "made": [made]}


def test_a_user_of_the_name_of_a_deleted_one(make_user: Callable[..., Any], client_for: Callable[..., Any]) -> None:
    """Reads nothing of the earlier one, and writes under another id."""
    MemoryItem.objects.create(user_id="ada", item_type="message")
    AgentData.objects.create(agent_id="ada", data_type="plan")
    first = make_user("ada")
    assert own(client_for(first)) == {"listed": ["ada"], "data": ["ada"], "made": ["ada"]}
    first.delete()
    second = make_user("ada")
    assert own(client_for(second)) == {"listed": [], "data": [], "made": [f"ada~{second.pk}"]}


def test_a_renamed_user_keeps_the_records(make_user: Callable[..., Any], client_for: Callable[..., Any]) -> None:
    """And the next user of the old name does not get them."""
    ada = make_user("ada")
    MemoryItem.objects.create(user_id="ada", item_type="message")
    User.objects.filter(pk=ada.pk).update(username="lovelace")
    assert own(client_for(User.objects.get(pk=ada.pk)))["listed"] == ["ada"]
    assert own(client_for(make_user("ada")))["listed"] == []


@pytest.mark.parametrize("way", ["bulk_create", "raw"])
def test_users_made_without_signals(client_for: Callable[..., Any], way: str) -> None:
    """They get their name at the first request, if it is free."""
    User.objects.bulk_create([User(username="ada")])
    ada = User.objects.get()
    assert not Owner.objects.exists()
    assert own(client_for(ada))["made"] == ["ada"]
    assert Owner.objects.get().user == ada


def test_the_id_of_a_deleted_user_can_be_released(
    make_user: Callable[..., Any], client_for: Callable[..., Any]
) -> None:
    """By deleting its row, as the admin does: the next user of the name gets it."""
    make_user("ada").delete()
    Owner.objects.get(pk="ada").delete()
    assert own(client_for(make_user("ada")))["made"] == ["ada"]


def test_names_of_existing_users_are_reserved_by_the_migration(client_for: Callable[..., Any]) -> None:
    """So their records stay theirs after the upgrade; it can run twice."""
    User.objects.bulk_create([User(username=f"user-{number}") for number in range(3)])
    migration: Any = import_module("memory.access.migrations.0002_reserve_names")
    for _ in range(2):
        migration.reserve(apps, SimpleNamespace(connection=connection))
    assert sorted(Owner.objects.values_list("id", "user__username")) == [(f"user-{n}", f"user-{n}") for n in range(3)]


def test_a_principal_function_of_the_project_is_kept(make_user: Callable[..., Any], settings: Any) -> None:
    """No names are reserved where `MEMORY["PRINCIPAL"]` is another function."""
    settings.MEMORY = {**settings.MEMORY, "PRINCIPAL": "memory.api.permissions.username"}
    make_user("ada")
    assert not Owner.objects.exists()

"""`FirestoreMemoryManager`: the number of its queries, their indexes, and its database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import override_settings

from memory.models import MemoryItem
from memory.stores import FirestoreMemoryManager, MemoryManager, PersonaConfig
from tests.watching import queries

both = pytest.mark.django_db(databases=["default", "memory"])


@pytest.fixture
def manager() -> Iterator[MemoryManager]:
    """One on the app's own database."""
    manager = FirestoreMemoryManager()
    manager.initialize()
    yield manager
    manager.close()


def asked(function: Callable[..., Any], *args: Any) -> list[str]:
    """The queries that an awaited call makes, in the memory's database."""
    return queries("memory", lambda: async_to_sync(function)(*args))


@both
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_memory_item", ("x",)),
        ("get_conversation_history", ("ada",)),
        ("get_conversation_history", ("ada", "s", 5, {"item_type": "message"})),
        ("semantic_search", ("ada", [1.0], PersonaConfig("guide"))),
        ("get_raw_agent_data", ("x",)),
        ("health_check", ()),
    ],
)
def test_a_read_is_one_query(manager: FirestoreMemoryManager, name: str, arguments: tuple[Any, ...]) -> None:
    """For every kind of read."""
    assert len(asked(getattr(manager, name), *arguments)) == 1


@both
def test_a_duplicate_is_looked_for_by_one_indexed_query(manager: FirestoreMemoryManager) -> None:
    """By the hash of the content: the database compares no texts."""
    item = MemoryItem(user_id="ada", item_type="message", text_content="text")
    (query,) = asked(manager.check_duplicate, item)
    if connections["memory"].vendor == "sqlite":
        assert "text_content" not in query
        assert "memory_items_user_content" in MemoryItem.objects.duplicates_of(item).order_by().explain()


@both
def test_many_items_are_not_many_queries(manager: FirestoreMemoryManager) -> None:
    """A hundred items of one session cost about as many queries as one."""
    few, many = (
        [MemoryItem(user_id="ada", session_id="s", item_type="message") for _ in range(count)] for count in (1, 100)
    )
    assert len(asked(manager.add_memory_items, many)) <= len(asked(manager.add_memory_items, few)) + 2


@both
def test_a_persona_looks_at_its_items_in_the_database(manager: FirestoreMemoryManager) -> None:
    """Filtering afterwards would return too few."""
    items = [MemoryItem(user_id="ada", item_type="m", persona_active="critic", embedding=[1.0, 0.0]) for _ in range(9)]
    mine = MemoryItem(user_id="ada", item_type="m", persona_active="guide", embedding=[0.5, 0.5])
    async_to_sync(manager.add_memory_items)([*items, mine])
    found = async_to_sync(manager.semantic_search)("ada", [1.0, 0.0], PersonaConfig("guide"), top_k=1)
    assert [item.pk for item in found] == [mine.pk]


FIRESTORE = {
    "ENGINE": "memory.backends.firestore",
    "NAME": "(default)",
    "PROJECT": "own-project",
    "OPTIONS": {"credentials_path": "/run/key.json", "timeout": 5},
}


@pytest.fixture
def on_firestore() -> Iterator[str]:
    """Alias of an app's database that is Firestore; no connection is made."""
    made = connections.configure_settings({"default": {}, "app": {**FIRESTORE}})["app"]
    before = set(connections.databases)
    connections.databases["app"] = made
    with override_settings(MEMORY={"DATABASE": "app"}):
        yield "app"
    for alias in set(connections.databases) - before:
        del connections.databases[alias]


def test_without_arguments_it_is_the_apps_database(on_firestore: str) -> None:
    """Or the alias that `using` names."""
    assert FirestoreMemoryManager().alias == on_firestore
    assert FirestoreMemoryManager(using="default").alias == "default"


def test_a_project_gets_an_alias_of_its_own(on_firestore: str) -> None:
    """Omitted arguments are as in the app's own database; the same project has the same alias."""
    manager = FirestoreMemoryManager(project_id="other-project")
    config = connections.databases[manager.alias]
    assert manager.alias != on_firestore
    assert (config["ENGINE"], config["PROJECT"], config["NAME"]) == (FIRESTORE["ENGINE"], "other-project", "(default)")
    assert config["OPTIONS"] == FIRESTORE["OPTIONS"]
    assert FirestoreMemoryManager(project_id="other-project").alias == manager.alias
    assert FirestoreMemoryManager(project_id="other-project", database="tests").alias != manager.alias


def test_a_project_beside_an_embedded_database() -> None:
    """Omitted arguments are as in `MEMORY["FIRESTORE"]`."""
    options = {"credentials_path": "/run/key.json"}
    with override_settings(MEMORY={"FIRESTORE": {"HOST": "localhost:8080", "OPTIONS": options}}):
        alias = FirestoreMemoryManager(project_id="beside").alias
    config = connections.databases.pop(alias)
    assert (config["ENGINE"], config["PROJECT"]) == (FIRESTORE["ENGINE"], "beside")
    assert (config["HOST"], config["OPTIONS"]) == ("localhost:8080", options)


def test_the_apps_own_project_is_the_apps_own_alias(on_firestore: str) -> None:
    """So that both share one connection and one cache."""
    assert FirestoreMemoryManager(project_id="own-project").alias == on_firestore


def test_credentials_are_given_to_the_engine(on_firestore: str) -> None:
    """As in the specification's order; one process has one way to a database."""
    key = json.dumps({"type": "service_account", "private_key": "hunter2"})
    manager = FirestoreMemoryManager("other-project", credentials_json=key, host="localhost:8080")
    config = connections.databases[manager.alias]
    assert (config["OPTIONS"]["credentials_json"], config["HOST"]) == (key, "localhost:8080")
    with pytest.raises(ImproperlyConfigured) as raised:
        FirestoreMemoryManager("other-project", credentials_path="/other.json")
    assert "other-project" in str(raised.value)
    assert "hunter2" not in str(raised.value) + repr(manager)


def test_a_project_and_an_alias_contradict() -> None:
    """Only one of them may be given."""
    with pytest.raises(ImproperlyConfigured):
        FirestoreMemoryManager(project_id="project", using="default")

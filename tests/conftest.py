"""Shared fixtures: available backends, and makers of users and records."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import dj_database_url
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import override_settings
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from memory.models import AgentData, MemoryItem

from . import backends, randomness

pytest_plugins = ["memory.testing.redis", "memory.testing.plugin"]
# The engine's own tests, and those on Firestore alone, have other settings: `make test` runs them.
collect_ignore = ["engine", "firestore_only"]
randomness.load_profile()


def pytest_configure(config: pytest.Config) -> None:
    for name in backends.BACKENDS:
        config.addinivalue_line("markers", f"{name}: needs the real backend {name}")
    config.addinivalue_line("markers", "embedded: holds of the embedded engine alone; says why")
    config.addinivalue_line("markers", "long: takes minutes on Firestore; `make test-firestore` runs it there")
    if backends.required() and (missing := backends.missing()):
        raise pytest.UsageError(f"MEMORY_REQUIRE_BACKENDS=1, but this machine lacks: {', '.join(missing)}")
    if os.environ.get("MEMORY_TEST_ENGINE") == "firestore" and "firestore_emulator" in backends.missing():
        pytest.exit("No Firestore emulator here: the tests on Firestore are skipped", returncode=0)

    if os.environ.get("MEMORY_TEST_ENGINE") == "postgresql" and "postgresql" in backends.missing():
        pytest.exit("No PostgreSQL here: the tests on PostgreSQL are skipped", returncode=0)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if missing := backends.missing():
        terminalreporter.write_line(f"Backends missing here, their tests skipped: {', '.join(missing)}", yellow=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = set(backends.missing())
    for item in items:
        for name in missing & {marker.name for marker in item.iter_markers()}:
            item.add_marker(pytest.mark.skip(reason=f"{name} is missing on this machine"))


@pytest.fixture(scope="session")
def django_db_modify_db_settings_xdist_suffix(request: pytest.FixtureRequest) -> None:
    """Keeps workers apart: SQLite's test databases are in a worker's own memory, others get its name."""
    worker = getattr(request.config, "workerinput", {}).get("workerid")
    for database in settings.DATABASES.values():
        if worker and "sqlite" not in database["ENGINE"]:
            database["TEST"]["NAME"] = f"test-{worker}"


@pytest.fixture(scope="session")
def postgresql(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The alias of an empty PostgreSQL with the app's tables. Mark the test `postgresql` too."""
    from . import databases, postgres

    options = dj_database_url.parse(postgres.url())
    with django_db_blocker.unblock(), databases.added("postgresql", {**options}):
        with override_settings(MEMORY={**settings.MEMORY, "DATABASE": "postgresql"}):  # which the router asks
            call_command("migrate", database="postgresql", verbosity=0)
        yield "postgresql"


@pytest.fixture
def make_item() -> Callable[..., MemoryItem]:
    """Saves a memory item; fields that a test does not set have default values."""
    numbers = itertools.count(1)

    def make(**values: Any) -> MemoryItem:
        defaults = {"user_id": "ada", "item_type": "message", "text_content": f"text {next(numbers)}"}
        return MemoryItem.objects.create(**{**defaults, **values})

    return make


@pytest.fixture
def make_agent_data() -> Callable[..., AgentData]:
    """Saves agent data; fields that a test does not set have default values."""

    def make(**values: Any) -> AgentData:
        defaults = {"agent_id": "planner", "data_type": "plan", "content": {"steps": [1, 2]}}
        return AgentData.objects.create(**{**defaults, **values})

    return make


@pytest.fixture
def make_user() -> Callable[..., Any]:
    """Saves a Django user; `permissions` are of the app `memory`."""
    from django.contrib.auth.models import Permission

    def make(username: str = "ada", permissions: tuple[str, ...] = (), **values: Any) -> Any:
        user = get_user_model().objects.create_user(username, password="secret-for-tests", **values)
        found = Permission.objects.filter(content_type__app_label="memory", codename__in=permissions)
        assert len(found) == len(permissions), "a permission that the test names does not exist"
        user.user_permissions.set(found)
        return user

    return make


@pytest.fixture
def client_for() -> Callable[[Any], APIClient]:
    """An API client that is logged in as a user."""

    def make(user: Any) -> APIClient:
        client = APIClient()
        client.force_authenticate(user)
        return client

    return make

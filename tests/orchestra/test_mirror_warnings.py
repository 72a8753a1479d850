"""The service's pages and commands run no query that would need the mirror on Firestore: development warns of none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.urls import reverse

from memory.backends.firestore import warnings as mirror
from memory.models import AgentData, MemoryItem, UserSession
from orchestra.apps import watch_memory

pytestmark = [
    pytest.mark.django_db(databases=["default", "memory"]),
    pytest.mark.embedded("the warnings are SQLite's"),
]


@contextmanager
def watched(connection: Any) -> Iterator[list[str]]:
    """Collects the warnings of a connection, as `make run` has them."""
    compilers, known = connection.ops.compiler_module, set(mirror._already_warned)
    mirror._already_warned.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watch_memory(connection)
        seen: list[str] = []
        try:
            yield seen
        finally:
            seen += [str(one.message) for one in caught if issubclass(one.category, mirror.MirrorWarning)]
            connection.ops.compiler_module, connection.ops._cache = compilers, None
            mirror._already_warned.clear()
            mirror._already_warned.update(known)


@pytest.fixture
def client() -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada"))
    return client


@pytest.fixture
def stored() -> dict[type[Any], str]:
    """One conversation, and agent data; the primary key of a record of each model."""
    for number in range(3):
        item = MemoryItem.objects.create(
            user_id="ada",
            session_id="monday",
            item_type="message",
            persona_active="guide",
            text_content=f"I like green tea, {number} cups a day.",
            metadata={"role": "user"},
        )
    data = AgentData.objects.create(agent_id="ada", data_type="plan", content={"steps": [1]})
    return {MemoryItem: item.pk, AgentData: data.pk, UserSession: UserSession.objects.get().pk}


def admin_pages(stored: dict[type[Any], str]) -> Iterator[str]:
    """Each kind of page of each model, each filter, each date, and searches."""
    yield reverse("admin:index")
    for model, key in stored.items():
        name = f"admin:memory_{model._meta.model_name}"
        yield from (reverse(f"{name}_{page}", args=[key]) for page in ("change", "delete", "history"))
        yield reverse(f"{name}_add")
        changelist, model_admin = reverse(f"{name}_changelist"), admin.site.get_model_admin(model)
        yield changelist
        yield f"{changelist}?q=ada"
        for column in range(1, len(model_admin.list_display) + 1):
            yield f"{changelist}?o={column}"
        for one in model_admin.list_filter:
            if not isinstance(one, tuple):
                yield f"{changelist}?{one.parameter_name}=ada"
        yield f"{changelist}?{model_admin.date_hierarchy}__year=2026"
    yield reverse("admin:memory_memoryitem_changelist") + "?q=user:ada+which+tea"
    yield reverse("admin:memory_usersession_conversation", args=[stored[UserSession]])


def api_pages(stored: dict[type[Any], str]) -> Iterator[str]:
    """Lists, filters, records, a history, a search, health, and the documentation."""
    for path, model in (("memory-items", MemoryItem), ("agent-data", AgentData), ("sessions", UserSession)):
        yield from (f"/api/{path}/", f"/api/{path}/{stored[model]}/")
    yield from ("/api/memory-items/?user_id=ada&session_id=monday&item_type=message", "/api/agent-data/?agent_id=ada")
    yield from (f"/api/sessions/{stored[UserSession]}/history/", "/api/memory-items/search/?q=which+tea&user_id=ada")
    yield from ("/api/health", "/api/health/ready", "/api/schema/", "/api/docs/", "/api/redoc/")


def test_watching_sees_the_mirror() -> None:
    """The test's own way to see warnings."""
    with watched(connections["memory"]) as seen:
        list(MemoryItem.objects.filter(text_content__icontains="tea"))
    assert len(seen) == 1
    assert "text_content__icontains" in seen[0]


@pytest.mark.parametrize("pages", [admin_pages, api_pages])
def test_pages_run_natively(client: Client, stored: dict[type[Any], str], pages: Any) -> None:
    """Each answers, without a `MirrorWarning`."""
    failed = {}
    for page in pages(stored):
        with watched(connections["memory"]) as seen:
            status = client.get(page).status_code
        if status != 200 or seen:
            failed[page] = (status, seen)
    assert failed == {}


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
@pytest.mark.parametrize(
    "arguments",
    [
        ("memory_index",),
        ("memory_index", "--check"),
        ("memory_embed",),
        ("memory_export",),
        ("memory_purge",),
        ("memory_erase", "ada", "--dry-run"),
        ("memory_tokens", "list"),
    ],
    ids=" ".join,
)
def test_commands_run_natively(stored: dict[type[Any], str], arguments: tuple[str, ...]) -> None:
    """Each runs without a `MirrorWarning`."""
    call_command("memory_index")
    with watched(connections["memory"]) as seen:
        call_command(*arguments)
    assert seen == []

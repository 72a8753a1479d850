"""Which composite indexes Django's own applications need in production, where the emulator needs none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from memory.backends.firestore.indexes import derive, manifest
from memory.backends.firestore.rpc.executor import Executor

from .conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)

APPS = ("admin", "auth", "authtoken", "contenttypes", "memory_access", "sessions", "sites")
PAGES = (
    "/admin/",
    "/admin/auth/user/",
    "/admin/auth/user/?q=cle",
    "/admin/auth/user/?is_staff__exact=1",
    "/admin/auth/user/?is_staff__exact=1&is_active__exact=0&is_superuser__exact=0",
    "/admin/auth/user/?o=-1",
    "/admin/auth/group/",
    "/admin/auth/group/?o=-1",
    "/admin/authtoken/tokenproxy/",
    "/admin/memory_access/accesstoken/",
    "/admin/memory_access/owner/",
    "/admin/sites/site/",
    "/admin/auth/user/{pk}/change/",
    "/admin/auth/user/{pk}/history/",
)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All queries sent to Firestore."""
    asked: list[Any] = []
    run, aggregate = Executor.run, Executor.aggregate

    def note_run(self: Executor, read: Any, **more: Any) -> Any:
        asked.append((read, ()))
        return run(self, read, **more)

    def note_aggregate(self: Executor, aggregates: Any, **more: Any) -> Any:
        asked.extend((one.source, () if one.ref is None else (one.ref,)) for one in aggregates)
        return aggregate(self, aggregates, **more)

    monkeypatch.setattr(Executor, "run", note_run)
    monkeypatch.setattr(Executor, "aggregate", note_aggregate)
    return asked


def served(needed: dict[str, Any], declared: list[dict[str, Any]]) -> bool:
    """Whether a composite index is declared, or Firestore can merge several: each has the order and some equalities."""
    same = [one for one in declared if one["collectionGroup"] == needed["collectionGroup"]]
    if needed["fields"] in [one["fields"] for one in same]:
        return True
    *equal, last = needed["fields"]
    merged = [one["fields"][0] for one in same if one["fields"][1:] == [last]]
    return all(one in merged for one in equal)


def test_firestore_indexes_knows_what_django_asks(
    boss: User, clerk: User, reads: list[Any], client: Client, cost: Callable[[], Any]
) -> None:
    """The admin's lists, filters and histories, sessions, logins: no query lacks an index that the command derives."""
    client.post("/admin/login/", {"username": "boss", "password": PASSWORD})
    client.post(f"/admin/auth/user/{clerk.pk}/password/", {"password1": "1-new-secret", "password2": "1-new-secret"})
    for path in PAGES:
        assert client.get(path.format(pk=clerk.pk)).status_code == 200
    assert clerk.has_perm("memory.view_memoryitem")
    client.post(f"/admin/auth/user/{clerk.pk}/delete/", {"post": "yes"})
    client.post("/admin/logout/")
    call_command("clearsessions")
    call_command("migrate", verbosity=0)

    models = [model for label in APPS for model in apps.get_app_config(label).get_models(include_auto_created=True)]
    tables = {model._meta.db_table for model in models}
    declared = manifest.of_models(models, manifest.Options()).indexes
    found = [needed for read, refs in reads if (needed := derive.required_index(read, refs)) is not None]
    ours = [needed for needed in found if needed["collectionGroup"] in tables]
    assert len(ours) > 3
    assert [needed for needed in ours if not served(needed, declared)] == []

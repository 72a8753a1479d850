"""The admin of the audit trail."""

from __future__ import annotations

from itertools import combinations

import pytest
from django.test import Client

from memory.lifecycle import audit
from memory.models import AuditEntry

from .conftest import Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

QUERIES = (
    {"action": "erase"},
    {"channel": "mcp"},
    {"principal": "ada"},
    {"at__gte": "2026-03-01 00:00:00+00:00", "at__lt": "2099-01-01 00:00:00+00:00"},
)


@pytest.fixture
def entry() -> AuditEntry:
    """One that passes every filter, and one that passes none."""
    AuditEntry.objects.create(channel="api", action="read", principal="bob", operation="GET x", at="2020-01-01T00:00Z")
    principal = audit.digest_of("ada")
    return AuditEntry.objects.create(channel="mcp", action="erase", principal=principal, operation="<b>forget</b>")


def test_entries_are_listed_by_any_two_filters(superuser: Client, url: Url, entry: AuditEntry) -> None:
    """A name finds its digest; texts are escaped."""
    page = superuser.get(url("auditentry"))
    assert len(page.context["cl"].result_list) == 2
    assert "<b>forget" not in page.content.decode()
    for one, other in combinations(QUERIES, 2):
        found = superuser.get(url("auditentry"), {**one, **other}).context["cl"].result_list
        assert [row.pk for row in found] == [entry.pk], (one, other)


def test_an_entry_is_shown_and_not_changed(superuser: Client, url: Url, entry: AuditEntry) -> None:
    """Nobody adds, changes or deletes one."""
    assert superuser.get(url("auditentry", "change", entry.pk)).status_code == 200
    assert superuser.post(url("auditentry", "change", entry.pk), {"action": "read"}).status_code == 403
    assert superuser.post(url("auditentry", "delete", entry.pk), {"post": "yes"}).status_code == 403
    assert superuser.get(url("auditentry", "add")).status_code == 403

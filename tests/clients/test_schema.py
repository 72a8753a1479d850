"""The checked-in schema, from which the TypeScript client is generated, is that of the service."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from .schema import SCHEMA, text_of


@pytest.mark.django_db
@pytest.mark.embedded
def test_the_checked_in_schema_is_current(client: Client) -> None:
    """After a change of the API: python -m tests.clients.schema."""
    current = text_of(client.get("/api/schema/?format=json").json())
    assert SCHEMA.read_text() == current, "the API changed: python -m tests.clients.schema"


def test_names_are_fit_for_generators() -> None:
    """Operation ids are unique identifiers, and each operation has one tag."""
    ids = re.findall(r'"operationId": "([^"]*)"', SCHEMA.read_text())
    assert len(ids) == len(set(ids)) > 20
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in ids)

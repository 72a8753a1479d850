"""UUIDs are native values in both lanes: with hyphens as texts, and cast from any form."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.db.models import CharField, F, TextField, UUIDField, Value
from django.db.models.functions import Cast, Concat

from tests.engine.app.models import Everything

pytestmark = pytest.mark.django_db(transaction=True)

KEY = uuid.UUID("550e8400-e29b-41d4-a716-446655440000")
OTHER = uuid.UUID("550e8400-e29b-41d4-a716-446655440001")


@pytest.fixture
def rows() -> None:
    """A row that refers to `KEY` by text, in the form that `str()` returns; other rows refer to nothing."""
    Everything.objects.bulk_create(
        [
            Everything(uuid=KEY, char=""),
            Everything(uuid=OTHER, char="no UUID"),
            Everything(uuid=uuid.uuid4(), char=str(KEY)),
        ]
    )


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("text", [str(KEY), KEY.hex, str(KEY).upper(), f"{{{KEY}}}"])
def test_texts_are_cast_to_uuids(text: str) -> None:
    """In every form that PostgreSQL accepts; as django-guardian refers to objects."""
    Everything.objects.filter(char=str(KEY)).update(char=text)
    named = Everything.objects.annotate(key=Cast("char", UUIDField())).exclude(char__in=["", "no UUID"])
    assert [row.key for row in named] == [KEY]
    every = Everything.objects.annotate(key=Cast("char", UUIDField())).values("key")
    assert [row.uuid for row in Everything.objects.filter(uuid__in=every)] == [KEY]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("field", [CharField(), CharField(max_length=36), TextField()])
def test_uuids_are_cast_to_texts_with_hyphens(field: Any) -> None:
    """As PostgreSQL does, where `has_native_uuid_field` is true, too."""
    assert connection.features.has_native_uuid_field
    found = Everything.objects.annotate(text=Cast("uuid", field)).filter(text=str(KEY))
    assert [(row.uuid, row.text) for row in found] == [(KEY, str(KEY))]
    assert Everything.objects.filter(char=Cast(Value(KEY, UUIDField()), CharField())).count() == 1


@pytest.mark.usefixtures("rows")
def test_lookups_of_parts_are_of_the_text_with_hyphens() -> None:
    """As Django expects of a database with a native type. A whole UUID is found in every form."""
    parts = Everything.objects.filter(uuid__in=[KEY, OTHER])
    assert parts.filter(uuid__icontains="E29B-41D4").count() == 2
    assert parts.filter(uuid__contains="e29b41d4").count() == 0
    assert parts.filter(uuid__startswith="550e8400-").count() == 2
    assert parts.filter(uuid__endswith=Concat(Value("44000"), Value("1"))).get().uuid == OTHER
    assert [row.uuid for row in parts.annotate(same=F("uuid")).filter(same=KEY.hex)] == [KEY]
    assert parts.filter(uuid__lt=OTHER, char__icontains="").get().uuid == KEY

"""Versions of items: kept when a write changes something, and deleted with the item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memory.models import MemoryItem, MemoryVersion, UserSession
from memory.models.versions import values_of, versions_of

pytestmark = pytest.mark.django_db(databases=["default", "memory"])


@pytest.fixture(autouse=True)
def kept(settings: Any) -> None:
    """Three versions of each item."""
    settings.MEMORY = {**settings.MEMORY, "VERSIONS": 3}


def texts(item: MemoryItem) -> list[Any]:
    """The replaced texts, newest first."""
    return [values_of(one).get("text_content") for one in versions_of(item)]


def test_every_write_keeps_what_it_replaces(make_item: Callable[..., MemoryItem]) -> None:
    """The changed fields alone; at most as many versions as configured."""
    item = make_item(text_content="one", metadata={"a": 1})
    item.save()
    assert texts(item) == []
    item.text_content = "two"
    item.save()
    item.text_content = "three"
    item.save(update_fields=["text_content"])
    MemoryItem.objects.filter(pk=item.pk).update(text_content="four")
    assert texts(item) == ["three", "two", "one"]
    assert [set(values_of(one)) for one in versions_of(item)] == [{"text_content"}] * 3
    found = MemoryItem.objects.get(pk=item.pk)
    found.item_type = "note"
    MemoryItem.objects.bulk_update([found], ["item_type"])
    assert set(values_of(versions_of(item)[0])) == {"item_type"}
    assert len(versions_of(item)) == 3


def test_a_superseded_item_has_a_version(make_item: Callable[..., MemoryItem]) -> None:
    """Of its validity."""
    old = make_item()
    make_item(supersedes=[old.pk])
    [version] = versions_of(old)
    assert values_of(version) == {"valid_to": None, "superseded_by": None}


@pytest.mark.parametrize(
    "delete",
    [
        lambda item: item.delete(),
        lambda item: MemoryItem.objects.filter(pk=item.pk).delete(),
        lambda item: UserSession.objects.for_user("ada").delete(),
    ],
    ids=["one", "queryset", "session"],
)
@pytest.mark.parametrize("most", [3, 0])
def test_versions_are_deleted_with_their_item(
    delete: Callable[[MemoryItem], Any], most: int, make_item: Callable[..., MemoryItem], settings: Any
) -> None:
    """Those of others stay; also if no new ones are kept."""
    item, other = make_item(session_id="s"), make_item(user_id="bob", session_id="s")
    for one in (item, other):
        one.text_content = "changed"
        one.save()
    assert MemoryVersion.objects.count() == 2
    settings.MEMORY = {**settings.MEMORY, "VERSIONS": most}
    delete(item)
    assert [one.item_id for one in MemoryVersion.objects.all()] == [other.pk]


def test_none_are_kept_by_default(make_item: Callable[..., MemoryItem], settings: Any) -> None:
    """No table is read or written."""
    settings.MEMORY = {**settings.MEMORY, "VERSIONS": None}
    item = make_item()
    item.text_content = "changed"
    item.save()
    assert not MemoryVersion.objects.exists()

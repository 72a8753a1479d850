"""The state of items in the search index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from memory.admin import index_states
from memory.admin.index_states import INDEXED, UNKNOWN, WAITING, WITHOUT_TEXT, states_of
from memory.models import MemoryItem, SearchIndex
from memory.search.packing import pack
from memory.snapshots import epoch_microseconds

from .conftest import Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"], transaction=True)


@pytest.fixture
def indexed(make_item: Callable[..., Any]) -> list[MemoryItem]:
    """Two items in the index (one has no text), and one that was written later."""
    items = [make_item(id="a", text_content="a night train"), make_item(id="b", text_content=None)]
    pack("ada", "memory")
    written = MemoryItem.objects.only("written").get(pk="b").written
    SearchIndex.objects.update(since=epoch_microseconds(written))
    return [*items, make_item(id="c", text_content="a day train")]


def test_states(indexed: list[MemoryItem], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written after the index was made waits; beyond the limit the state is not known."""
    assert states_of(indexed, "ada") == {"a": INDEXED, "b": WITHOUT_TEXT, "c": WAITING}
    monkeypatch.setattr(index_states, "MOST_WAITING", 0)
    assert states_of(indexed, "ada") == {"a": UNKNOWN, "b": WITHOUT_TEXT, "c": WAITING}
    SearchIndex.objects.all().delete()
    assert states_of(indexed, "ada") == {"a": WAITING, "b": WITHOUT_TEXT, "c": WAITING}


def test_record_shows_its_state(superuser: Client, url: Url, indexed: list[MemoryItem]) -> None:
    """On the page of the item."""
    for pk, text in (("a", "in the index"), ("b", "no text"), ("c", "waits for the index")):
        assert text in superuser.get(url("memoryitem", "change", pk)).content.decode()

"""The labelled conversations on SQLite, PostgreSQL and Firestore, and in memory: the same items in the same order.

`DIFFERENTIAL_QUESTIONS=0 pytest tests/differential/test_search.py` asks all questions of all conversations, which takes
the emulator more than an hour, `DIFFERENTIAL_QUESTIONS=20` twenty of each; a few of the first one are the default.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

import pytest
from django.db import connections

from memory.models import MemoryItem
from memory.search.labelled import Conversation, read_conversations
from memory.search.packing import pack
from memory.search.recall import search_items
from memory.search.stored import items_of
from memory.text_index import SearchOptions
from tests.search.data import build

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(databases=["default", "memory", "firestore", "postgresql"], transaction=True),
]

EVERYWHERE = "DIFFERENTIAL_QUESTIONS" in os.environ
QUESTIONS = int(os.environ.get("DIFFERENTIAL_QUESTIONS", "6"))
LIMIT = 10


def conversations() -> list[Conversation]:
    """The first of the tuning half, or all of all sets."""
    sets = build.SETS if EVERYWHERE else ("tuning",)
    found = [one for name in sets for one in read_conversations((build.FOLDER / f"{name}.json").read_text("utf-8"))]
    return found if EVERYWHERE else found[:1]


def remember(alias: str, conversation: Conversation) -> None:
    """Each turn as an item of the user that the conversation is called after."""
    named = [replace(passage, id=f"{conversation.id}:{passage.id}") for passage in conversation.passages]
    MemoryItem.objects.using(alias).bulk_create(items_of(named, conversation.id))


def in_memory(items: list[MemoryItem], question: str) -> list[str]:
    """The ids that the same ranking returns without a database."""
    found = search_items(items, {item.pk for item in items}, question, SearchOptions(limit=LIMIT))
    return [item.pk for item in found]


def ids(found: Iterable[MemoryItem], conversation: Conversation) -> list[str]:
    return [item.pk.removeprefix(f"{conversation.id}:") for item in found]


@pytest.mark.parametrize("conversation", conversations(), ids=lambda one: one.id)
def test_the_same_order_everywhere(conversation: Conversation, postgresql: str) -> None:
    """Ids, and scores to six digits; from items, and from segments that have all, or some, of them."""
    aliases = ["memory", "firestore", postgresql]
    vendors = [connections[alias].vendor for alias in aliases]
    assert vendors[:2] == ["sqlite", "firestore"], "unset FIRESTORE_EMULATOR_HOST: the settings keep the memory there"
    for alias in aliases:
        MemoryItem.objects.using(alias).filter(user_id=conversation.id).delete()
        remember(alias, conversation)
    items = list(items_of(conversation.passages, conversation.id))
    labels = conversation.labels[:: max(1, len(conversation.labels) // QUESTIONS)] if QUESTIONS else conversation.labels
    for number, label in enumerate(labels):
        if number == 1:
            pack(conversation.id, "firestore")
        if number == 2:
            for alias in aliases:
                pack(conversation.id, alias)
        found = {
            alias: MemoryItem.objects.using(alias).search(label.question, user_id=conversation.id, limit=LIMIT)
            for alias in aliases
        }
        expected = in_memory(items, label.question)
        for alias, some in found.items():
            assert ids(some, conversation) == expected, (alias, label.question)
            assert [one.score for one in some] == pytest.approx([one.score for one in found["memory"]], abs=1e-6)

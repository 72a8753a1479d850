"""The labelled conversations on SQLite, PostgreSQL and Firestore, and in memory: the same items in the same order.

`DIFFERENTIAL_QUESTIONS=0 pytest tests/differential/test_search.py` asks all questions of all conversations, which takes
the emulator more than an hour, `DIFFERENTIAL_QUESTIONS=20` twenty of each; a few of the first one are the default.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

import pytest
from django.db import connections

from memory.models import MemoryItem
from memory.search.labelled import Conversation, Passage, read_conversations
from memory.search.packing import erase, pack
from memory.search.recall import MOST_EMBEDDED, search_items
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
Found: TypeAlias = tuple[list[str], list[float]]
FEW = 100
"""Passages whose texts a search reads and embeds whole, although they are not indexed."""


def conversations() -> list[Conversation]:
    """The first of the tuning half, or all of all sets."""
    sets = build.SETS if EVERYWHERE else ("tuning",)
    found = [one for name in sets for one in read_conversations((build.FOLDER / f"{name}.json").read_text("utf-8"))]
    return found if EVERYWHERE else found[:1]


@pytest.fixture
def aliases(postgresql: str) -> list[str]:
    """The databases: SQLite, Firestore and PostgreSQL."""
    found = ["memory", "firestore", postgresql]
    vendors = [connections[alias].vendor for alias in found]
    assert vendors[:2] == ["sqlite", "firestore"], "unset FIRESTORE_EMULATOR_HOST: the settings keep the memory there"
    return found


def remember(alias: str, conversation: Conversation, passages: Iterable[Passage]) -> None:
    """Each turn as an item of the user that the conversation is called after."""
    named = [replace(passage, id=f"{conversation.id}:{passage.id}") for passage in passages]
    MemoryItem.objects.using(alias).bulk_create(items_of(named, conversation.id))


def forget(aliases: Iterable[str], conversation: Conversation) -> None:
    """Delete the items and the index of the conversation's user."""
    for alias in aliases:
        MemoryItem.objects.using(alias).filter(user_id=conversation.id).delete()
        erase(conversation.id, alias)


def in_memory(items: list[MemoryItem], question: str) -> Found:
    """The ids that the same ranking returns without a database, with their scores."""
    found = search_items(items, {item.pk for item in items}, question, SearchOptions(limit=LIMIT))
    return [item.pk for item in found], [item.score for item in found]


def found_in(alias: str, conversation: Conversation, question: str) -> Found:
    """As `in_memory`, by a search of a database."""
    found = MemoryItem.objects.using(alias).search(question, user_id=conversation.id, limit=LIMIT)
    return [item.pk.removeprefix(f"{conversation.id}:") for item in found], [item.score for item in found]


def assert_same(found: Found, expected: Found, about: object) -> None:
    """The same ids, and scores to six digits."""
    assert found[0] == expected[0], about
    assert found[1] == pytest.approx(expected[1], abs=1e-6), about


def asked_of(conversation: Conversation) -> Sequence[str]:
    """The questions to ask of a conversation."""
    labels = conversation.labels[:: max(1, len(conversation.labels) // QUESTIONS)] if QUESTIONS else conversation.labels
    return [label.question for label in labels]


@pytest.mark.parametrize("conversation", conversations(), ids=lambda one: one.id)
def test_the_same_order_everywhere(conversation: Conversation, aliases: list[str]) -> None:
    """All of a conversation: in memory as from indexes; while there is no index, the databases as each other."""
    forget(aliases, conversation)
    for alias in aliases:
        remember(alias, conversation, conversation.passages)
    first, *questions = asked_of(conversation)
    expected = found_in(aliases[0], conversation, first)
    for alias in aliases[1:]:
        assert_same(found_in(alias, conversation, first), expected, (alias, first))
    for alias in aliases:
        pack(conversation.id, alias)
    items = list(items_of(conversation.passages, conversation.id))
    for question in (first, *questions):
        expected = in_memory(items, question)
        for alias in aliases:
            assert_same(found_in(alias, conversation, question), expected, (alias, question))


@pytest.mark.parametrize("conversation", conversations()[:1], ids=lambda one: one.id)
def test_the_same_order_before_and_after_indexing(conversation: Conversation, aliases: list[str]) -> None:
    """Few items: from an index of some, of all, or without one."""
    passages = conversation.passages[:FEW]
    assert sum(len(passage.text) for passage in passages) <= MOST_EMBEDDED
    forget(aliases, conversation)
    sqlite, firestore, postgresql = aliases
    for alias in aliases:
        remember(alias, conversation, passages[: FEW // 2])
    for alias in (sqlite, firestore):
        pack(conversation.id, alias)
    for alias in aliases:
        remember(alias, conversation, passages[FEW // 2 :])
    pack(conversation.id, sqlite)
    items = list(items_of(passages, conversation.id))
    for question in asked_of(conversation):
        expected = in_memory(items, question)
        for alias in (sqlite, firestore, postgresql):
            assert_same(found_in(alias, conversation, question), expected, (alias, question))

"""The labelled conversations, searched on SQLite, on Firestore and in memory: the same items in the same order.

`DIFFERENTIAL_QUESTIONS=0 pytest tests/differential/test_search.py` asks all questions of all conversations, which takes
the emulator more than an hour, `DIFFERENTIAL_QUESTIONS=20` twenty of each; a few of the first one are the default.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

import pytest
from django.db import connections

from memory.conf import memory_settings
from memory.models import MemoryItem
from memory.search.candidates import gather
from memory.search.in_memory import InMemorySource
from memory.search.labelled import Conversation, read_conversations
from memory.search.passages import ask
from memory.search.ranking import rank
from memory.search.stored import items_of
from tests.search.data import build

pytestmark = pytest.mark.django_db(databases=["default", "memory", "firestore"], transaction=True)

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


def in_memory(source: InMemorySource, question: str) -> list[str]:
    """The ids that the same ranking returns without a database."""
    asked = ask(question, memory_settings.language, memory_settings.embedder)
    gathered = gather(source, asked, LIMIT)
    return [one.passage.id for one in rank(gathered.question, gathered.pool)[:LIMIT]]


def ids(found: Iterable[MemoryItem], conversation: Conversation) -> list[str]:
    return [item.pk.removeprefix(f"{conversation.id}:") for item in found]


@pytest.mark.parametrize("conversation", conversations(), ids=lambda one: one.id)
def test_the_same_order_everywhere(conversation: Conversation) -> None:
    """Ids, and scores to eight digits."""
    vendors = [connections[alias].vendor for alias in ("memory", "firestore")]
    assert vendors == ["sqlite", "firestore"], "unset FIRESTORE_EMULATOR_HOST: the settings keep the memory there"
    for alias in ("memory", "firestore"):
        MemoryItem.objects.using(alias).filter(user_id=conversation.id).delete()
        remember(alias, conversation)
    source = InMemorySource(conversation.passages, memory_settings.embedder)
    labels = conversation.labels[:: max(1, len(conversation.labels) // QUESTIONS)] if QUESTIONS else conversation.labels
    for label in labels:
        found = {
            alias: MemoryItem.objects.using(alias).search(label.question, user_id=conversation.id, limit=LIMIT)
            for alias in ("memory", "firestore")
        }
        orders = {alias: ids(items, conversation) for alias, items in found.items()}
        assert orders["firestore"] == orders["memory"], label.question
        assert orders["memory"] == in_memory(source, label.question), label.question
        scores = [[item.score for item in items] for items in found.values()]
        assert scores[0] == pytest.approx(scores[1], abs=1e-8)

"""The cost of a search on Firestore, counted on the wire: documents and calls, cold and warm, and of a write."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from pytest_django import DjangoDbBlocker

from memory.models import MemoryItem, SearchIndex
from memory.search.packing import pack
from memory.search.segment_cache import cache
from tests import databases
from tests.faults.meter import Meter

pytestmark = [pytest.mark.firestore_emulator, pytest.mark.django_db(databases=["default", "memory"])]

ALIAS = "metered"
START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = (
    "harbour",
    "sunset",
    "paint",
    "dentist",
    "train",
    "soup",
    "guitar",
    "parrot",
    "roof",
    "letter",
    "glass",
    "moss",
)
QUESTIONS = (
    "Who painted the sunset at the harbour?",
    "guitar soup train letter moss glass roof parrot",
    "nothing known",
)


@pytest.fixture(autouse=True)
def by_hand(settings: Any) -> None:
    """Nothing is indexed in the background."""
    settings.MEMORY = {**settings.MEMORY, "INDEX_AFTER": None}


@pytest.fixture
def meter(firestore_emulator: str, django_db_blocker: DjangoDbBlocker) -> Iterator[Meter]:
    """The calls between the engine and an empty database."""
    with (
        django_db_blocker.unblock(),
        Meter(firestore_emulator) as meter,
        databases.firestore(ALIAS, meter.address, f"cost-{uuid.uuid4().hex[:12]}", timeout=60),
    ):
        cache.clear()
        yield meter
        cache.clear()


def remember(count: int, start: int = 0) -> None:
    """That many turns of few words, thirty per session: most sessions have every word."""
    chance = random.Random(start)  # noqa: S311
    MemoryItem.objects.using(ALIAS).bulk_create(
        MemoryItem(
            user_id="ada",
            session_id=f"s{number // 30}",
            item_type="message",
            timestamp=START + timedelta(minutes=number),
            text_content=" ".join(chance.choices(WORDS, k=8)),
            metadata={"speaker": ("Ada", "Bo")[number % 2]},
        )
        for number in range(start, start + count)
    )


def settle() -> None:
    """As if the margin had passed since the items were written."""
    SearchIndex.objects.using(ALIAS).update(since=F("newest"))


def cost(meter: Meter, narrow: Callable[[Any], Any] = lambda items: items) -> tuple[int, int]:
    """The documents and the calls of the dearest of some searches."""
    found = []
    for question in QUESTIONS:
        meter.bill.clear()
        assert len(narrow(MemoryItem.objects.using(ALIAS).for_user("ada")).search(question)) == 10
        assert not meter.bill.written
        found.append((meter.bill.read, sum(meter.bill.calls.values())))
    return max(read for read, _ in found), max(calls for _, calls in found)


def test_a_cold_search_reads_segments_and_results(meter: Meter) -> None:
    """Two thousand items are a few segments; the rest are results, and items that were written since."""
    remember(2_000)
    pack("ada", ALIAS)
    settle()
    remember(12, start=2_000)
    meter.bill.clear()
    assert len(MemoryItem.objects.using(ALIAS).search(QUESTIONS[0], user_id="ada")) == 10
    assert meter.bill.read <= 1 + 3 + 12 + 10
    assert sum(meter.bill.calls.values()) <= 4


def test_a_warm_search_reads_the_directory_the_tail_and_results(meter: Meter) -> None:
    """Whatever the size of the memory."""
    remember(2_000)
    pack("ada", ALIAS)
    settle()
    remember(12, start=2_000)
    MemoryItem.objects.using(ALIAS).search(QUESTIONS[0], user_id="ada")
    documents, calls = cost(meter)
    assert documents <= 1 + 12 + 10
    assert calls <= 3


@pytest.mark.parametrize(
    "narrow",
    [
        lambda q: q.in_session("s1"),
        lambda q: q.between(START, START + timedelta(days=1)),
        lambda q: q.in_session("s1").between(START),
        lambda q: q.filter(metadata__speaker="Ada"),
    ],
    ids=["session", "time", "session and time", "metadata"],
)
def test_filters_cost_no_more_reads(meter: Meter, narrow: Callable[[Any], Any]) -> None:
    """Those that the index knows, and others that many items pass."""
    remember(300)
    pack("ada", ALIAS)
    settle()
    MemoryItem.objects.using(ALIAS).search(QUESTIONS[0], user_id="ada")
    documents, calls = cost(meter, narrow)
    assert documents <= 40
    assert calls <= 5


def test_a_write_reads_nothing_for_search(meter: Meter) -> None:
    """No turn before it, and no document of the index; one document is written for an item."""
    remember(30)
    meter.bill.clear()
    MemoryItem.objects.using(ALIAS).create(user_id="ada", item_type="fact", text_content="They painted a parrot.")
    assert meter.bill.read == 0
    assert meter.bill.written == ["memory_items"]


def test_packing_costs_the_new_items_and_a_few_documents(meter: Meter) -> None:
    """It reads the directory, the items and the segments that it merges, and writes a segment and the directory."""
    remember(100)
    pack("ada", ALIAS)
    settle()
    remember(20, start=100)
    meter.bill.clear()
    pack("ada", ALIAS)
    assert meter.bill.read <= 20 + 8
    assert len(meter.bill.written) <= 5

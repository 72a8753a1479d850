"""The cost of a search on Firestore: two rounds, a bounded number of documents, and deployed indexes."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from memory.backends.firestore import batch_fetch
from memory.backends.firestore.indexes import derive, manifest
from memory.backends.firestore.query.plan import Aggregate
from memory.models import MemoryItem
from memory.search.candidates import budget
from memory.search.sources import firestore
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


@pytest.fixture
def meter(firestore_emulator: str, django_db_blocker: DjangoDbBlocker) -> Iterator[Meter]:
    """The calls between the engine and an empty database."""
    with (
        django_db_blocker.unblock(),
        Meter(firestore_emulator) as meter,
        databases.firestore(ALIAS, meter.address, f"cost-{uuid.uuid4().hex[:12]}", timeout=60),
    ):
        yield meter


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


def rounds_of(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """The queries of each round from now on."""
    found: list[list[Any]] = []

    def fetch(asked: list[Any], **options: Any) -> Any:
        found.append(asked)
        return batch_fetch.fetch(asked, **options)

    monkeypatch.setattr(firestore, "fetch", fetch)
    return found


def test_two_rounds_and_a_bounded_number_of_documents(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 15 reads per result, counted on the wire, and no more calls for five times the memory."""
    rounds = rounds_of(monkeypatch)
    costs = []
    for size in (300, 1_200):
        remember(size, start=300 if size > 300 else 0)
        for query in QUESTIONS:
            rounds.clear()
            meter.bill.clear()
            found = MemoryItem.objects.using(ALIAS).search(query, user_id="ada")
            assert len(found) == 10
            assert len(rounds) <= 2
            assert meter.bill.read <= budget(10) == 150
            assert not meter.bill.written
            costs.append((sum(meter.bill.calls.values()), meter.bill.read))
    assert max(calls for calls, _ in costs) <= 100
    assert max(calls for calls, _ in costs[3:]) <= 1.3 * max(calls for calls, _ in costs[:3])


def test_no_vector_comes_back(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither vectors nor terms are selected; results have their texts without another call."""
    remember(60)
    answers: list[bytes] = []
    stream = Meter._stream

    def kept(self: Meter, path: str, request: bytes, context: Any) -> Iterator[bytes]:
        for answer in stream(self, path, request, context):
            answers.append(answer)
            yield answer

    monkeypatch.setattr(Meter, "_stream", kept)
    found = MemoryItem.objects.using(ALIAS).search(QUESTIONS[0], user_id="ada")
    calls = sum(meter.bill.calls.values())
    assert all(item.text_content and item.metadata for item in found)
    assert sum(meter.bill.calls.values()) == calls
    assert any(b"text_content" in answer for answer in answers)
    assert not any(b"text_embedding" in answer or b"__vector__" in answer or b"terms" in answer for answer in answers)


@pytest.mark.parametrize(
    "narrow",
    [
        lambda q: q,
        lambda q: q.in_session("s1"),
        lambda q: q.filter(item_type="message"),
        lambda q: q.between(START, START + timedelta(days=1)),
        lambda q: q.in_session("s1").between(START),
    ],
    ids=["user", "session", "type", "time", "session and time"],
)
def test_every_query_has_its_index(meter: Meter, monkeypatch: pytest.MonkeyPatch, narrow: Callable[[Any], Any]) -> None:
    """All indexes that a search needs are in `firestore.indexes.json` or can be merged from those."""
    remember(60)
    rounds = rounds_of(monkeypatch)
    narrow(MemoryItem.objects.using(ALIAS).for_user("ada")).search(QUESTIONS[0])
    deployed = manifest.parse((Path(__file__).parents[2] / "firestore.indexes.json").read_text())
    known = [keys(one) for one in deployed.indexes]
    asked = [one for some in rounds for one in some]
    assert {type(one).__name__ for one in asked} == {"MemoryItemQuerySet", "Counted"}
    for one in asked:
        read: Any = batch_fetch._prepare(one).read
        needed = derive.required_index(read.source if isinstance(read, Aggregate) else read)
        assert needed is None or merged(keys(needed), known), needed


Keys = tuple[tuple[str, str], ...]


def keys(definition: dict[str, Any]) -> Keys:
    """The fields of an index, each with how it is indexed."""
    return tuple(
        (one["fieldPath"], str(one.get("order") or one.get("arrayConfig") or one["vectorConfig"]["dimension"]))
        for one in definition["fields"]
    )


def merged(needed: Keys, known: list[Keys]) -> bool:
    """Whether indexes that end alike serve all the equalities together.

    https://firebase.google.com/docs/firestore/query-data/index-overview#taking_advantage_of_index_merging
    """
    if needed in known:
        return True
    for length in range(1, len(needed)):
        end, equal = needed[-length:], set(needed[:-length])
        serving = [set(one[:-length]) for one in known if one[-length:] == end and set(one[:-length]) <= equal]
        if set().union(*serving) == equal:
            return True
    return False

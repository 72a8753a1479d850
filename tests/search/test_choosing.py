"""A search of a large memory reads a bounded number of segments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connections
from django.db.models import F

from memory.models import MemoryItem, SearchIndex, SearchSegment
from memory.search import choosing
from memory.search import directory as directories
from memory.search.asking import asked
from memory.search.choosing import chosen, is_large
from memory.search.directory import Listed
from memory.search.known_filters import EVERYTHING, known_filters
from memory.search.packing import erase, pack
from memory.search.reading import read_base, read_memory
from memory.search.segment_cache import cache
from memory.search.segments import Segment, UnreadableSegment
from memory.search.summaries import Summaries, unpack
from memory.search.summaries import pack as packed
from memory.search.tail import configured_maker
from memory.search.verifying import state_of
from tests.search.test_corpus import corpus

USING = "memory"
START = datetime(2025, 1, 1, tzinfo=UTC)
TOPICS = ("harbour ferry", "violin lesson", "garden tomatoes", "tax return", "chess club", "bread oven")
ITEMS = 10  # of each topic
EVERY = set(range(len(TOPICS)))

pytestmark = pytest.mark.django_db(databases=["default", "memory"], transaction=True)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each segment is full, and a search reads thirty items. A process keeps no others."""
    monkeypatch.setattr("memory.search.choosing.MOST_ITEMS", 3 * ITEMS)
    for module in ("choosing", "packing"):
        monkeypatch.setattr(f"memory.search.{module}.MOST_BYTES", 1_000)
    monkeypatch.setattr("memory.search.reading.MOST_OF_A_USER", 0)
    cache.clear()
    yield
    cache.clear()


def write(topic: int, number: int = ITEMS, first: int = 0) -> None:
    """Items of a topic, each after the others."""
    MemoryItem.objects.bulk_create(
        MemoryItem(
            id=f"i{topic}-{one}",
            user_id="ada",
            session_id=f"s{topic}",
            item_type="m",
            timestamp=START + timedelta(days=topic, minutes=one),
            text_content=f"the {TOPICS[topic]} number {one} of ours",
            metadata={"topic": topic},
        )
        for one in range(first, first + number)
    )


def index() -> None:
    """Pack, as if the margin for late commits had passed."""
    pack("ada", USING)
    SearchIndex.objects.update(since=F("newest"))
    cache.clear()


@pytest.fixture
def large() -> None:
    """A segment for each topic."""
    for topic in range(len(TOPICS)):
        write(topic)
        index()


def read(question: str, **filters: Any) -> set[int]:
    """The topics of the entries that a search of a new process ranks."""
    cache.clear()
    maker = configured_maker()
    wanted = known_filters(MemoryItem.objects.for_user("ada").filter(**filters))
    memory = read_memory("ada", USING, maker, [asked(question, maker.embedder)], wanted)
    assert not memory.waiting
    return {int(identity[1]) for identity in memory.corpus.ids}


def found(question: str, **options: Any) -> list[str]:
    cache.clear()
    return [one.pk for one in MemoryItem.objects.search(question, user_id="ada", **options)]


@pytest.mark.parametrize("topic", range(4))
def test_segments_are_chosen_by_the_question(large: None, topic: int) -> None:
    """The newest ones are always read; of the others those that have the words or are near."""
    assert read(f"Where is the {TOPICS[topic]}?") == {4, 5, topic}
    assert found(f"Where is the {TOPICS[topic]} number 7?")[0] == f"i{topic}-7"


def test_small_memories_are_read_whole(large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory.search.choosing.MOST_ITEMS", ITEMS * len(TOPICS))
    assert read("Where is the ferry?") == EVERY


def test_known_segments_are_searched_too(large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the memory of the process allows: nothing is read again."""
    monkeypatch.setattr("memory.search.reading.MOST_OF_A_USER", 1)
    maker = configured_maker()
    for topic, expected in ((0, {0, 4, 5}), (1, {0, 1, 4, 5}), (2, {0, 1, 2, 4, 5})):
        memory = read_memory("ada", USING, maker, [asked(f"the {TOPICS[topic]}", maker.embedder)])
        assert {int(identity[1]) for identity in memory.corpus.ids} == expected
    assert len(set(memory.corpus.ids)) == len(memory.corpus)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"session_id": "s2"}, {2}),
        ({"timestamp__lt": START + timedelta(days=1)}, {0}),
        ({"timestamp__gte": START + timedelta(days=3), "timestamp__lt": START + timedelta(days=5)}, {3, 4}),
        ({"metadata__a": 1}, set()),
        ({"metadata__topic": 1}, {1}),
        ({"metadata__topic__in": [0, 3]}, {0, 3}),
        ({"item_type": "m"}, {1, 4, 5}),
    ],
)
def test_filters_choose_segments(large: None, filters: dict[str, Any], expected: set[int]) -> None:
    """Those that may have such items, by their times if the index does not know the filter."""
    assert read("Where is the violin?", **filters) == expected


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many items each query over ids returned that asks which of them pass the filters."""
    counts: list[int] = []

    def counted(rows: Any) -> list[Any]:
        found = list(rows)
        counts.append(len(found))
        return found

    for module in ("recall", "passing"):
        monkeypatch.setattr(f"memory.search.{module}.looked_up", counted)
    return counts


def test_the_few_items_that_pass_are_looked_up(large: None, looked_up: list[int]) -> None:
    """Once for all questions, and all results are found."""
    items = MemoryItem.objects.for_user("ada").filter(metadata__topic=0)
    for results in items.search_many(["the harbour ferry number 7", "Which ferry is ours?"], limit=20):
        assert {one.pk for one in results} == {f"i0-{number}" for number in range(ITEMS)}
        assert not results.is_cut
    assert looked_up == [ITEMS]


@pytest.mark.parametrize(("rounds", "is_complete"), [(2, False), (30, True)])
def test_of_many_items_that_pass_the_best_are_checked(
    rounds: int, is_complete: bool, large: None, looked_up: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most `MOST_PASSING` ids are looked up, then the best entries; results say whether there may be more."""
    monkeypatch.setattr("memory.search.passing.MOST_PASSING", 15)
    monkeypatch.setattr("memory.search.recall.CONSIDERED", 3)
    monkeypatch.setattr("memory.search.recall.ROUNDS", rounds)
    items = MemoryItem.objects.for_user("ada").filter(metadata__topic__in=[4, 5])
    results = items.search("the harbour ferry number 7", limit=3)
    assert {one.metadata["topic"] for one in results} <= {4, 5}
    assert looked_up[0] == 16
    assert len(looked_up) <= 1 + rounds
    assert max(looked_up[1:]) <= 3
    assert (len(results) == 3, results.is_cut) == (is_complete, not is_complete)


@pytest.mark.embedded("Firestore has an index for the filter")
def test_an_sql_database_evaluates_filters_for_the_newest_items(
    large: None, looked_up: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older ones are checked if they are among the best."""
    monkeypatch.setattr("memory.search.passing.MOST_SCANNED", 2 * ITEMS)
    items = MemoryItem.objects.for_user("ada").filter(metadata__topic__in=[1, 4])
    results = items.search("the violin lesson or the chess club", limit=20)
    assert looked_up[0] == ITEMS
    assert {one.metadata["topic"] for one in results} == {1, 4}
    assert len(results) == 20


def test_filters_that_firestore_has_no_index_for_are_checked(
    large: None, looked_up: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a large memory no query reads all items to evaluate them; on SQL databases they are looked up."""
    items = MemoryItem.objects.for_user("ada").filter(text_content__icontains="NUMBER 7")
    assert {one.metadata["topic"] for one in items.search("the harbour ferry number 7", limit=3)} >= {0}
    if connections[USING].vendor == "firestore":
        assert sum(looked_up) <= 3


def test_what_the_tail_may_have_is_read(large: None) -> None:
    """Otherwise an item would be indexed and searched twice."""
    SearchIndex.objects.update(since=F("newest") - 3_600_000_000)
    assert read("Where is the ferry?") == EVERY


def test_a_packer_reads_no_full_segments(large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It adds what is new; summaries follow. Every item is indexed once."""
    real, chosen = read_base, []

    def spy(*args: Any) -> Any:
        result = real(*args)
        chosen.append(len(result[1].segment))
        return result

    monkeypatch.setattr("memory.search.packing.read_base", spy)
    write(0, 4, first=ITEMS)
    index()
    assert chosen == [0]
    state = state_of("ada", USING, configured_maker())
    assert (state.indexed, state.is_clean()) == (len(TOPICS) * ITEMS + 4, True)
    assert len(directories.read("ada", USING).segments) == len(TOPICS) + 1  # type: ignore[union-attr]
    assert found("the harbour ferry number 12")[0] == "i0-12"


def test_deleted_and_changed_items_leave_full_segments(large: None) -> None:
    MemoryItem.objects.get(pk="i1-3").delete()
    MemoryItem.objects.filter(pk="i2-3").update(text_content="the harbour ferry sank")
    assert "i1-3" not in found("the violin lesson number 3")
    assert found("the harbour ferry sank")[0] == "i2-3"
    state = state_of("ada", USING, configured_maker())
    pack("ada", USING, gone=state.gone, mend=True)
    index()
    assert state_of("ada", USING, configured_maker()).is_clean()


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_without_summaries_all_segments_are_read(large: None, damage: str) -> None:
    """A rebuilt index has them again, and nothing else is left."""
    [listed] = directories.read("ada", USING).summaries  # type: ignore[union-attr]
    if damage == "damaged":
        SearchSegment.objects.filter(pk=listed.id).update(data=b"S1\x00")
        assert read("Where is the ferry?") == EVERY
    else:
        row = SearchIndex.objects.get()
        SearchIndex.objects.update(segments=[one for one in row.segments if one["id"] != listed.id])
        assert read("Where is the ferry?") == EVERY
        assert state_of("ada", USING, configured_maker()).unlisted == 1
    pack("ada", USING, rebuild=True)
    assert state_of("ada", USING, configured_maker()).is_clean()
    assert directories.read("ada", USING).summaries  # type: ignore[union-attr]


def test_damaged_summaries_that_a_process_knows_do_not_stop_a_packer(large: None) -> None:
    """The next packer makes those that it lacks."""
    found("Where is the ferry?")
    [listed] = directories.read("ada", USING).summaries  # type: ignore[union-attr]
    SearchSegment.objects.filter(pk=listed.id).update(data=b"S1\x00")
    write(0, ITEMS, first=ITEMS)
    MemoryItem.objects.search("Where is the ferry?", user_id="ada")
    index()
    write(1, ITEMS, first=ITEMS)
    index()
    for topic in (0, 1):
        assert found(f"the {TOPICS[topic]} number 12")[0] == f"i{topic}-12"
    assert state_of("ada", USING, configured_maker()).is_clean()


def test_an_index_that_becomes_small_has_no_summaries(large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory.search.choosing.MOST_ITEMS", 1_000)
    write(0, 1, first=ITEMS)
    index()
    assert not directories.read("ada", USING).summaries  # type: ignore[union-attr]
    assert state_of("ada", USING, configured_maker()).is_clean()


def test_an_erased_index_leaves_no_summaries(large: None) -> None:
    erase("ada", USING)
    assert not SearchSegment.objects.exists()


def test_summaries_are_stored_as_they_are(large: None) -> None:
    """In several rows, too; other bytes are refused."""
    _, base = read_base("ada", USING, configured_maker().model)
    model = configured_maker().model
    one = Summaries.of({"a": base.segment.take(base.owner == 0), "b": base.segment.take(base.owner == 1)}, model)
    stored = unpack(packed(one))
    assert vars(stored).keys() >= {"ids", "bits"}
    assert (stored.ids, stored.model, stored.first, stored.last) == (one.ids, one.model, one.first, one.last)
    assert (stored.written, stored.languages) == (one.written, one.languages)
    assert np.array_equal(stored.bits, one.bits)
    assert np.array_equal(stored.centroids, one.centroids)
    again = Summaries.concat([stored.within(["a"]), stored.within(["b"]), stored.within([])])
    assert packed(again) == packed(one)
    assert one.may_have_session("s0").tolist() == [True, False]
    for data in (b"", b"M1", packed(one)[:-1], packed(one)[:40]):
        with pytest.raises(UnreadableSegment):
            unpack(data)


def test_without_vectors_segments_are_chosen_by_words(settings: Any) -> None:
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": None}
    for topic in range(len(TOPICS)):
        write(topic)
        index()
    assert read("Where is the violin lesson?") == {1, 4, 5}


@pytest.mark.parametrize(
    ("of_each", "read"),
    [((1, 1_000), 16), ((5_000, 1_000), 10), ((1, 4 * 1024 * 1024), 4), ((50_000, 1), 1)],
)
def test_a_search_reads_few_entries_and_bytes(
    of_each: tuple[int, int], read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest segments, also of those that are always read as long as they fit."""
    monkeypatch.setattr(choosing, "MOST_ITEMS", 50_000)
    segments = tuple(Listed(f"s{place:02}", *of_each, "any@1", "model") for place in range(16))
    found = directories.Directory(1, segments, 0, 0, 0)
    summaries = Summaries.of({"another": Segment(corpus(), np.zeros(len(corpus()), np.int64))}, "model")
    assert is_large(segments) == (read < 16)
    chosen_ones = chosen(found, summaries, [], EVERYTHING, "model")
    assert sorted(chosen_ones) == [one.id for one in segments[-read:]]

"""The index has every item once, whatever is written, packed, killed and read in between."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.models import MemoryItem, SearchIndex, SearchSegment
from memory.search import directory as directories
from memory.search import packing
from memory.search.corpus import Stacked
from memory.search.reading import read_memory
from memory.search.segment_cache import cache
from memory.search.segments import packed_in_parts
from memory.search.tail import configured_maker

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "memory"])

USING = "memory"
NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def write(number: int, user: str = "ada", **values: Any) -> list[MemoryItem]:
    return MemoryItem.objects.bulk_create(
        MemoryItem(
            user_id=user,
            session_id=f"s{one % 3}",
            item_type="m",
            text_content=f"text {one} {next(NUMBERS)}",
            **values,
        )
        for one in range(number)
    )


def content(user: str = "ada") -> dict[str, Any]:
    """What a search would see: for each id its digest and its vector."""
    corpus = read_memory(user, USING, configured_maker()).corpus
    assert len(set(corpus.ids)) == len(corpus.ids)
    rows = np.diff(corpus.vector_starts)
    assert (rows > 0).all()
    return dict(zip(corpus.ids, corpus.digest.tolist(), strict=True))


def stored(user: str = "ada") -> dict[str, Any]:
    """The same, made of all items at once."""
    maker = configured_maker()
    entries = maker.entries(list(MemoryItem.all_objects.using(USING).for_user(user)))
    return {one.id: int.from_bytes(one.digest, "big") for one in entries}


def settle(user: str = "ada") -> None:
    """As if the margin had passed."""
    SearchIndex.objects.using(USING).update(since=SearchIndex.objects.using(USING).get(user_id=user).newest)


def test_a_search_sees_items_without_an_index() -> None:
    """They are read one by one."""
    write(5)
    write(3, user="bo")
    assert content() == stored()
    assert len(content()) == 5
    assert not SearchIndex.objects.using(USING).exists()


def test_packed_items_are_read_from_segments(django_assert_num_queries: Any) -> None:
    """And not as items: the second read has the directory and an empty tail."""
    write(20)
    assert packing.pack("ada", USING).added == 20
    settle()
    expected = stored()
    assert content() == expected
    with django_assert_num_queries(2, using=USING):
        assert content() == expected


def test_what_is_written_later_is_the_tail() -> None:
    """New items, changed ones (by each way of writing), and those that moved to another user."""
    items = write(12)
    packing.pack("ada", USING)
    settle()
    write(2)
    items[0].text_content = "changed by save"
    items[0].save()
    MemoryItem.objects.filter(pk=items[1].pk).update(text_content="changed by update")
    MemoryItem.objects.filter(pk=items[2].pk).update(session_id="other")
    items[3].text_content = "changed by bulk_update"
    MemoryItem.objects.bulk_update([items[3]], ["text_content"])
    memory = read_memory("ada", USING, configured_maker())
    assert memory.tail == 6
    assert content() == stored()
    assert len(content()) == 14


def test_packing_again_replaces_changed_entries() -> None:
    """And merges small segments."""
    items = write(30)
    packing.pack("ada", USING)
    for number in range(5):
        items[number].text_content = f"changed {number}"
        items[number].save()
        packing.pack("ada", USING)
    settle()
    cache.clear()
    memory = read_memory("ada", USING, configured_maker())
    assert memory.tail == 0
    assert len(memory.directory.segments) < 5
    assert SearchSegment.objects.using(USING).count() == len(memory.directory.segments)
    assert content() == stored()


def test_segments_grow_with_the_logarithm() -> None:
    """Many small packs leave few segments."""
    for _ in range(40):
        write(5)
        packing.pack("ada", USING)
    found = directories.read("ada", USING)
    assert found is not None
    assert sum(one.items for one in found.segments) == 200
    assert len(found.segments) <= 6
    assert content() == stored()


def test_expired_and_missing_items_leave_the_index() -> None:
    """Whenever their segment is written anew."""
    write(10, expiration=timezone.now() + timedelta(seconds=1))
    kept = write(10)
    packing.pack("ada", USING)
    gone = {one.pk for one in kept[:5]}
    MemoryItem.objects.filter(pk__in=gone).delete()
    MemoryItem.all_objects.using(USING).exclude(expiration=None).update(expiration=timezone.now())
    packing.pack("ada", USING, gone=gone)
    settle()
    cache.clear()
    found = directories.read("ada", USING)
    assert found is not None
    assert sum(one.items for one in found.segments) <= 15
    packing.pack("ada", USING, rebuild=True)
    assert set(content()) == set(stored())


def test_rebuild_makes_everything_anew() -> None:
    """Also of a damaged index, whose segments are replaced."""
    write(30)
    packing.pack("ada", USING)
    SearchSegment.objects.using(USING).update(data=b"damaged")
    cache.clear()
    assert content() == stored()
    packing.pack("ada", USING)
    settle()
    cache.clear()
    assert read_memory("ada", USING, configured_maker()).tail == 0
    assert content() == stored()
    assert SearchSegment.objects.using(USING).count() == 1


def test_a_missing_segment_is_read_as_items() -> None:
    """Nothing is missed even then."""
    write(30)
    packing.pack("ada", USING)
    SearchSegment.objects.using(USING).all().delete()
    cache.clear()
    assert content() == stored()


def test_erase_leaves_nothing() -> None:
    """Of the user; the next search reads the items that are left."""
    write(30)
    write(5, user="bo")
    packing.pack("ada", USING)
    packing.pack("bo", USING)
    packing.erase("ada", USING)
    assert not SearchIndex.objects.using(USING).filter(user_id="ada").exists()
    assert not SearchSegment.objects.using(USING).filter(user_id="ada").exists()
    assert SearchSegment.objects.using(USING).filter(user_id="bo").exists()
    assert content() == stored()


def test_of_two_packers_one_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that claimed first, and it leaves nothing."""
    write(10)
    real = packing.read_base

    def late(*args: Any) -> Any:
        monkeypatch.setattr(packing, "read_base", real)
        found = real(*args)
        packing.pack("ada", USING, lease=0)
        return found

    monkeypatch.setattr(packing, "read_base", late)
    with pytest.raises(packing.Lost):
        packing.pack("ada", USING)
    settle()
    found = directories.read("ada", USING)
    assert found is not None
    assert [one.items for one in found.segments] == [10]
    assert SearchSegment.objects.using(USING).count() == 1


def test_a_killed_packer_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments and directory are written together."""
    write(10)

    def killed(*args: Any) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(directories, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            packing.pack("ada", USING)
    assert not SearchSegment.objects.using(USING).exists()
    assert content() == stored()
    with pytest.raises(packing.Lost):  # it may be at work still
        packing.pack("ada", USING)
    packing.pack("ada", USING, lease=0)
    assert content() == stored()


def test_packing_inside_a_transaction_is_refused() -> None:
    """Its claim would not be visible to other packers."""
    with transaction.atomic(using=USING), pytest.raises(RuntimeError):
        packing.pack("ada", USING)


def test_large_memories_are_written_in_several_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """And in several transactions; each state in between is whole."""
    monkeypatch.setattr(packing, "packed_in_parts", lambda segment: packed_in_parts(segment, 8_000))
    monkeypatch.setattr(packing, "SEGMENTS_AT_ONCE", 1)
    write(600)
    packing.pack("ada", USING)
    settle()
    cache.clear()
    assert SearchSegment.objects.using(USING).count() > 2
    assert content() == stored()


STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "change", "move", "delete", "pack", "read", "forget"]), st.integers(0, 1_000)),
    min_size=3,
    max_size=25,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
def test_any_interleaving_equals_one_full_build(steps: list[tuple[str, int]]) -> None:
    """Writes, packs, reads and lost caches in any order."""
    MemoryItem.all_objects.using(USING).all().delete()
    packing.erase("ada", USING)
    packing.erase("bo", USING)
    for step, number in steps:
        there = sorted(MemoryItem.objects.using(USING).for_user("ada").values_list("pk", flat=True))
        chosen = there[number % len(there)] if there else ""
        rows = MemoryItem.objects.using(USING).filter(pk=chosen)
        match step:
            case "write":
                write(1 + number % 7)
            case "change":
                rows.update(text_content=f"changed {number} {next(NUMBERS)}")
            case "move":
                rows.update(user_id="bo")
            case "delete":
                rows.delete()
            case "pack":
                packing.pack("ada", USING)
            case "read":
                read_memory("ada", USING, configured_maker())
            case _:
                cache.clear()
    expected = stored()
    found = content()
    assert {key: found[key] for key in expected} == expected
    packing.pack("ada", USING, rebuild=True)
    settle()
    assert content() == expected
    assert connections[USING].in_atomic_block is False


def test_merged_segments_are_known_by_their_entries() -> None:
    """After a packer has merged what was known, only new entries are added; and after others, all is made anew."""
    write(100)
    packing.pack("ada", USING)
    settle()
    first = write(5)
    packing.pack("ada", USING)
    settle()
    assert content() == stored()
    before = cache.get((USING, "ada", configured_maker().model)).base
    more = write(5)
    packing.pack("ada", USING)
    assert content() == stored()
    after = cache.get((USING, "ada", configured_maker().model)).base
    assert set(before.ids) != set(after.ids)
    assert set(before.ids) & set(after.ids)
    assert after.segment.corpus.ids[: len(before.segment)] == before.segment.corpus.ids
    assert isinstance(after.segment.corpus.vectors, Stacked)
    for change in (
        lambda: MemoryItem.objects.filter(pk=first[0].pk).delete(),
        lambda: MemoryItem.objects.filter(pk=more[0].pk).update(text_content="another text"),
    ):
        settle()
        change()
        packing.pack("ada", USING, gone=[first[0].pk], mend=True)
        assert content() == stored()

"""What a search returns: items that pass the filters and are still as they were ranked; and what it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from memory.conf import memory_settings
from memory.models import MemoryItem, SearchIndex, SearchSegment
from memory.search import background, reading, recall, shared_segments
from memory.search.known_filters import by_id
from memory.search.packing import erase, pack
from memory.search.segment_cache import cache

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "memory"])

USING = "memory"
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    cache.clear()
    yield
    assert background.packing_thread.wait(20)
    cache.clear()


@pytest.fixture
def in_background(settings: Any) -> None:
    """Searches index long tails, as by default."""
    settings.MEMORY = {**settings.MEMORY, "INDEX_AFTER": 12}


def write(number: int, text: str = "a parrot in tree {}", **values: Any) -> list[MemoryItem]:
    return MemoryItem.objects.bulk_create(
        MemoryItem(
            **{
                "user_id": "ada",
                "session_id": f"s{one % 4}",
                "item_type": "fact" if one % 3 else "message",
                "timestamp": START + timedelta(hours=one),
                "text_content": text.format(one),
                "metadata": {"n": one},
                **values,
            }
        )
        for one in range(number)
    )


def search(items: Any = None, **options: Any) -> list[MemoryItem]:
    found = (MemoryItem.objects if items is None else items).for_user("ada").search("parrot in a tree", **options)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    return list(found)


@pytest.mark.parametrize("packed", [False, True], ids=["items", "segments"])
@pytest.mark.parametrize(
    "narrow",
    [
        lambda q: q.in_session("s1"),
        lambda q: q.in_session(None),
        lambda q: q.between(START + timedelta(hours=5), START + timedelta(hours=50)),
        lambda q: q.filter(timestamp__gt=START + timedelta(hours=70)),
        lambda q: q.of_type("message"),
        lambda q: q.filter(metadata__n=7),
        lambda q: q.filter(metadata__n__gte=75),
        lambda q: q.filter(Q(session_id="s1") | Q(item_type="message")),
        lambda q: q.exclude(session_id="s1"),
        lambda q: q.in_session("s1").in_session("s2"),
        lambda q: q.filter(pk__in=["none"]),
    ],
)
def test_filters_are_honoured_exactly(narrow: Callable[[Any], Any], packed: bool) -> None:
    """Results pass the filters, and there are as many as there can be, however few items pass."""
    write(80)
    write(3, session_id=None)
    if packed:
        pack("ada", USING)
    passing = set(narrow(MemoryItem.objects.for_user("ada")).values_list("pk", flat=True))
    found = [one.pk for one in search(narrow(MemoryItem.objects.all()), limit=20)]
    assert len(set(found)) == len(found) == min(20, len(passing))
    assert passing.issuperset(found)


def test_deleted_changed_and_expired_items_are_replaced() -> None:
    """By the next best, also where the index still has them."""
    items = write(40)
    pack("ada", USING)
    first = search(limit=5)
    MemoryItem.objects.filter(pk__in=[one.pk for one in first[:2]]).delete()
    MemoryItem.objects.filter(pk=first[2].pk).update(text_content="Something else.")
    MemoryItem.objects.filter(pk=first[3].pk).update(expiration=timezone.now() - timedelta(seconds=1))
    MemoryItem.objects.filter(pk=first[4].pk).update(user_id="bo")
    found = search(limit=10)
    assert len(found) == 10
    assert not {one.pk for one in first}.intersection(one.pk for one in found)
    assert len(search(limit=50)) == len(items) - 4  # the changed one is found last, by its neighbours
    MemoryItem.objects.for_user("ada").delete()
    assert search() == []


def test_items_that_change_between_ranking_and_reading_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of a result is the text that was ranked."""
    write(20)
    pack("ada", USING)
    best = search(limit=1)[0]
    real = recall.read_memory

    def meanwhile(*args: Any) -> Any:
        memory = real(*args)
        MemoryItem.objects.filter(pk=best.pk).update(text_content="Something else.")
        return memory

    monkeypatch.setattr(recall, "read_memory", meanwhile)
    assert best.pk not in [one.pk for one in search(limit=5)]


def test_what_was_not_found_is_not_looked_for_again(django_assert_num_queries: Any) -> None:
    """By this process; the next packer removes it from the index."""
    write(40)
    pack("ada", USING)
    SearchIndex.objects.using(USING).update(since=F("newest"))
    MemoryItem.objects.filter(pk__in=[one.pk for one in search(limit=5)]).delete()
    search(limit=5)
    with django_assert_num_queries(3, using=USING):
        search(limit=5)
    write(30)
    pack("ada", USING)
    [index] = SearchIndex.objects.using(USING)
    assert sum(one["items"] for one in index.segments) == 65


def test_an_item_is_found_as_soon_as_it_is_written() -> None:
    """In the transaction that writes it, and by others after it; a rolled back one is not found."""
    write(30)
    pack("ada", USING)
    with transaction.atomic(using=USING):
        [item] = write(1, text="A parrot in a tree, exactly.")
        assert item.pk in [one.pk for one in search(limit=50)]
    assert item.pk in [one.pk for one in search(limit=50)]
    with transaction.atomic(using=USING):
        [gone] = write(1, text="A parrot in a tree, exactly so.")
        assert gone.pk in [one.pk for one in search(limit=50)]
        transaction.set_rollback(True, using=USING)
    assert gone.pk not in [one.pk for one in search(limit=50)]


def test_a_search_that_finds_a_long_tail_indexes_it(in_background: None) -> None:
    """After it has answered; short ones are left alone."""
    write(5)
    search()
    assert background.packing_thread.wait(20)
    assert not SearchIndex.objects.using(USING).exists()
    write(20)
    search()
    assert background.packing_thread.wait(20)
    assert sum(one["items"] for one in SearchIndex.objects.using(USING).get().segments) == 25


def test_the_window_of_late_commits_is_closed_later(in_background: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items that were just written are read again until the margin has passed; then a search settles the index."""
    write(20)
    pack("ada", USING)
    index = SearchIndex.objects.using(USING).get()
    assert index.since < index.newest
    monkeypatch.setattr(recall, "real_time", lambda: time.time() + 3_600)
    SearchIndex.objects.using(USING).update(newest=F("since") + 1)
    search()
    assert background.packing_thread.wait(20)
    assert SearchIndex.objects.using(USING).get().generation > index.generation


@pytest.mark.parametrize("bytes_", [0, 200_000])
def test_memory_is_bounded(bytes_: int, settings: Any) -> None:
    """Many users searched in turn stay below the bound; what is not kept is read again."""
    settings.MEMORY = {**settings.MEMORY, "SEARCH_CACHE_BYTES": bytes_}
    for number in range(12):
        write(30, user_id=f"user {number}")
        pack(f"user {number}", USING)
    for _ in range(2):
        for number in range(12):
            assert MemoryItem.objects.for_user(f"user {number}").search("parrot in a tree")
            assert cache.nbytes <= bytes_
    assert (cache.nbytes > 0) == bool(bytes_)


@pytest.mark.redis
def test_segments_are_shared_by_redis(settings: Any, redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By id and for `CACHE_TTL` seconds: a new process reads them there, not in the database. `erase` deletes them."""
    location = f"redis://127.0.0.1:{redis_server.port}/0"
    settings.CACHES = {
        **settings.CACHES,
        "segments": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location},
    }
    settings.MEMORY = {**settings.MEMORY, "SEARCH_CACHE": "segments"}
    write(30)
    pack("ada", USING)
    expected = [one.pk for one in search()]
    cache.clear()
    with monkeypatch.context() as without_database:
        without_database.setattr(reading.SearchSegment, "objects", None)
        assert [one.pk for one in search()] == expected
    redis = caches["segments"].client.get_client()
    (segment,) = SearchSegment.objects.using(USING).values_list("pk", flat=True)
    (key,) = redis.keys("*memory:segment:*")
    assert key.decode().endswith(segment)
    assert 0 < redis.ttl(key) <= memory_settings.cache_ttl
    erase("ada", USING)
    assert not redis.keys("*memory:segment:*")


@pytest.mark.redis
def test_segments_below_a_prefix_of_special_characters_are_forgotten(settings: Any, redis_server: Any) -> None:
    """The cache's KEY_PREFIX is no pattern: `[ada]*` names its own keys, and those of no other application."""
    location = f"redis://127.0.0.1:{redis_server.port}/0"
    settings.CACHES = {
        **settings.CACHES,
        "segments": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location, "KEY_PREFIX": "[ada]*"},
    }
    settings.MEMORY = {**settings.MEMORY, "SEARCH_CACHE": "segments"}
    write(30)
    pack("ada", USING)
    assert search()
    redis = caches["segments"].client.get_client()
    redis.set("add:1:memory:segment:of another", "kept")
    assert shared_segments.forget_matching(lambda one: True) == 1
    assert redis.keys("*memory:segment:*") == [b"add:1:memory:segment:of another"]


def index(*options: str) -> None:
    call_command("memory_index", *options, "--database", USING)


def test_the_command_completes_checks_and_rebuilds() -> None:
    """New users, deleted items, lost segments; a clean index passes the check."""
    items = write(30)
    write(20, user_id="bo")
    with pytest.raises(CommandError, match="2 of 2 indexes differ"):
        index("--check")
    index("--user", "bo")
    with pytest.raises(CommandError, match="1 of 2 indexes differ"):
        index("--check")
    index()
    index("--check")
    MemoryItem.objects.filter(pk__in=[one.pk for one in items[:3]]).delete()
    items[4].text_content = "Changed."
    items[4].save()
    with pytest.raises(CommandError, match="1 of 2"):
        index("--check")
    index()
    index("--check")
    found = SearchIndex.objects.using(USING).get(user_id="ada")
    assert sum(one["items"] for one in found.segments) == 27
    SearchSegment.objects.using(USING).filter(user_id="bo").delete()
    with pytest.raises(CommandError, match="1 of 2"):
        index("--check")
    index("--rebuild")
    index("--check")


def test_the_command_removes_the_index_of_a_user_without_items() -> None:
    """Nothing of the deleted texts stays."""
    write(20)
    index("--pending")
    MemoryItem.all_objects.using(USING).all().delete()
    index()
    assert not SearchIndex.objects.using(USING).exists()
    assert not SearchSegment.objects.using(USING).exists()


@pytest.mark.parametrize("narrow", [lambda q: q, lambda q: q.filter(metadata__topic="art")], ids=["user", "metadata"])
def test_results_are_looked_up_by_id(narrow: Callable[[Any], Any]) -> None:
    """SQLite would otherwise read all items of the user, since it takes them for few."""
    items = by_id(narrow(MemoryItem.objects.for_user("ada"))).filter(pk__in=[f"i{number}" for number in range(10)])
    assert "memory_items_1 (id=?)" in items.explain()

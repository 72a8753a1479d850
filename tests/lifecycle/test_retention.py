"""Policies of retention: how they are parsed, what reads return, and what the purge deletes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.checks import run_checks
from django.core.management import call_command
from django.utils import timezone

from memory.history import recent
from memory.models import AgentData, MemoryItem, UserSession
from memory.retention import InvalidPolicy, Policy, parse, policies_of
from memory.stores import FirestoreMemoryManager

database = pytest.mark.django_db(databases=["default", "memory"], transaction=True)
DAY = timedelta(days=1)


@pytest.fixture
def retain(settings: Any) -> Callable[..., None]:
    """Sets the policies."""

    def apply(*policies: Any) -> None:
        settings.MEMORY = {**settings.MEMORY, "RETENTION": list(policies)}

    return apply


def test_policies_are_parsed() -> None:
    """Into frozen values, by model."""
    values = [{"item_type": "m", "age": DAY}, {"model": "AgentData", "agent_id": ["a", "b"], "count": 3}]
    assert parse(values) == (
        Policy("MemoryItem", (("item_type", ("m",)),), DAY),
        Policy("AgentData", (("agent_id", ("a", "b")),), None, 3),
    )
    assert [len(policies_of(values, model)) for model in ("MemoryItem", "AgentData", "UserSession")] == [1, 1, 0]
    assert [str(one) for one in parse(values)] == [
        "MemoryItem: item_type m, older than 1 day, 0:00:00",
        "AgentData: agent_id a or b, beyond the newest 3 of each agent_id",
    ]


@pytest.mark.parametrize(
    "policy",
    [
        "age",
        {},
        {"item_type": "m"},
        {"age": 3},
        {"age": timedelta(0)},
        {"age": -DAY},
        {"count": 0},
        {"count": True},
        {"count": 3, "age": DAY},
        {"importance_below": 2},
        {"importance_below": 0},
        {"model": "UserSession", "age": DAY},
        {"model": "AgentData", "item_type": "m", "age": DAY},
        {"model": "AgentData", "importance_below": 0.5},
        {"item_type": [], "age": DAY},
        {"item_type": 3, "age": DAY},
        {"days": 3},
    ],
)
def test_invalid_policies_are_errors_at_start(retain: Callable[..., None], policy: Any) -> None:
    """Each is refused by name, and reported by the check."""
    with pytest.raises(InvalidPolicy, match=r"RETENTION\[0\]"):
        parse([policy])
    retain(policy)
    assert [one.id for one in run_checks(tags=["memory"]) if one.id == "memory.E018"] == ["memory.E018"]


def names() -> set[str]:
    """The ids that reads return."""
    return set(MemoryItem.objects.values_list("pk", flat=True))


@database
def test_reads_apply_an_age_at_once(make_item: Callable[..., MemoryItem], retain: Callable[..., None]) -> None:
    """In lists, counts, reads by key and through relations of time; `all_objects` has everything."""
    now = timezone.now()
    make_item(id="old", session_id="s", timestamp=now - 3 * DAY)
    make_item(id="new", session_id="s", timestamp=now)
    assert names() == {"old", "new"}
    retain({"age": 2 * DAY})
    assert names() == {"new"}
    assert MemoryItem.objects.count() == 1
    assert not MemoryItem.objects.filter(pk="old").exists()
    listed = MemoryItem.objects.for_user("ada").in_session("s").newest_first()
    assert [one.pk for one in listed[:5]] == ["new"]
    assert MemoryItem.all_objects.count() == 2
    retain({"age": 4 * DAY})
    assert names() == {"old", "new"}


@database
def test_conditions(make_item: Callable[..., MemoryItem], retain: Callable[..., None]) -> None:
    """By type, user and importance: in every read at once, and the same after the purge."""
    old = timezone.now() - 3 * DAY
    make_item(id="message", item_type="message", timestamp=old)
    make_item(id="fact", item_type="fact", timestamp=old)
    make_item(id="trivial", item_type="fact", importance=0.1, timestamp=old)
    make_item(id="weighty", item_type="fact", importance=0.9, timestamp=old)
    make_item(id="new", item_type="message")
    make_item(id="bob", user_id="bob", item_type="fact", timestamp=old)
    make_item(id="no session", user_id="bob", item_type="fact", session_id=None, timestamp=old)
    retain(
        {"item_type": ["message", "event"], "age": DAY},
        {"importance_below": 0.2},
        {"user_id": "bob", "session_id": "s", "age": DAY},
    )
    kept = {"fact", "weighty", "new", "bob", "no session"}
    assert names() == kept
    assert MemoryItem.objects.count() == len(kept)
    assert {one.pk for one in MemoryItem.objects.filter(user_id="bob").newest_first()[:3]} == {"bob", "no session"}
    store = FirestoreMemoryManager()
    store.initialize()
    found = async_to_sync(store.get_memory_items)([*sorted(kept), "message", "trivial"])
    assert {one.pk for one in found if one is not None} == kept
    assert async_to_sync(store.get_memory_item)("message") is None
    assert async_to_sync(store.update_memory_item)("message", {"importance": 1.0}) is None
    assert {one.pk for one in async_to_sync(store.get_conversation_history)("ada")} == {"fact", "weighty", "new"}
    store.close()
    call_command("memory_purge", stdout=StringIO())
    assert names() == kept
    assert set(MemoryItem.all_objects.values_list("pk", flat=True)) == kept


@database
@pytest.mark.parametrize("policy", [{"item_type": "note", "age": DAY}, {"item_type": "note", "count": 1}])
def test_a_purge_corrects_the_times_of_sessions(
    make_item: Callable[..., MemoryItem], retain: Callable[..., None], policy: Any
) -> None:
    """Of those whose first item a policy covers."""
    times = [timezone.now().replace(microsecond=0) - number * DAY for number in (5, 3, 0)]
    for time, item_type in zip(times, ("note", "message", "note"), strict=True):
        make_item(session_id="s", item_type=item_type, timestamp=time)
    retain(policy)
    call_command("memory_purge", stdout=StringIO())
    session = UserSession.objects.get()
    assert (session.started_at, session.last_activity) == (times[1], times[2])


@database
def test_reads_apply_a_count_at_once(make_item: Callable[..., MemoryItem], retain: Callable[..., None]) -> None:
    """In lists, histories, counts, searches and reads by key of a person; ties in time are ordered by id."""
    now = timezone.now()
    for number in range(5):
        make_item(id=f"i{number}", session_id="s", timestamp=now - number // 2 * DAY)
        make_item(id=f"f{number}", session_id="s", item_type="fact", timestamp=now - number * DAY)
    make_item(id="b", user_id="bob", timestamp=now - 9 * DAY)
    retain({"item_type": "message", "count": 2}, {"item_type": "fact", "user_id": "ada", "count": 4})
    left = {"i0", "i1", "f0", "f1", "f2", "f3"}
    of_ada = MemoryItem.objects.for_user("ada")
    assert {one.pk for one in of_ada} == left
    assert of_ada.count() == len(left)
    assert [one.pk for one in of_ada.of_type("message").newest_first()] == ["i1", "i0"]
    assert not of_ada.filter(pk="i2").exists()
    assert {one.pk for one in recent("ada", "s", 20)} == left
    assert {one.pk for one in of_ada.search("text", limit=20)} == left
    store = FirestoreMemoryManager()
    store.initialize()
    assert async_to_sync(store.get_memory_item)("i2") is None
    assert async_to_sync(store.get_memory_item)("i1") is not None
    store.close()
    make_item(id="newest", session_id="s")
    assert {one.pk for one in of_ada.of_type("message")} == {"newest", "i1"}
    assert {one.pk for one in MemoryItem.objects.for_user("bob")} == {"b"}
    call_command("memory_purge", stdout=StringIO())
    assert set(MemoryItem.all_objects.values_list("pk", flat=True)) == (left | {"newest", "b"}) - {"i0"}


@database
def test_a_count_holds_in_reads_over_all_users(
    make_item: Callable[..., MemoryItem], retain: Callable[..., None]
) -> None:
    """In lists, slices, counts, reads by key and deletions; expired records and other types do not count."""
    now = timezone.now()
    for number in range(4):
        for user in ("ada", "bob"):
            make_item(id=f"{user}{number}", user_id=user, timestamp=now - number // 2 * DAY)
        make_item(id=f"eve{number}", user_id="eve", timestamp=now - number * DAY, item_type="fact")
        AgentData(id=f"d{number}", agent_id=f"a{number % 2}", data_type="t", timestamp=now - number * DAY).save()
    make_item(id="cy", user_id="cy", timestamp=now - 9 * DAY)
    make_item(id="gone", user_id="bob", timestamp=now + DAY, expiration=now - DAY)
    retain({"item_type": "message", "count": 3}, {"user_id": "bob", "count": 1}, {"model": "AgentData", "count": 1})
    left = {"ada0", "ada1", "ada3", "bob1", "cy", "eve0", "eve1", "eve2", "eve3"}
    assert names() == left
    assert MemoryItem.objects.count() == len(left)
    assert {one.pk for one in MemoryItem.objects.of_type("message").newest_first()[:3]} == {"ada0", "ada1", "bob1"}
    assert [one.pk for one in MemoryItem.objects.newest_first().of_type("message")[3:5]] == ["ada3", "cy"]
    assert [MemoryItem.objects.filter(pk=pk).exists() for pk in ("bob0", "bob1", "ada2", "ada3")] == [False, True] * 2
    both = MemoryItem.objects.filter(user_id__in=["ada", "bob"])
    assert set(both.values_list("pk", flat=True)) == {"ada0", "ada1", "ada3", "bob1"}
    assert set(MemoryItem.objects.filter(text_content__icontains="T").values_list("pk", flat=True)) == left
    assert set(AgentData.objects.values_list("pk", flat=True)) == {"d0", "d1"}
    assert MemoryItem.objects.newest_first()[:5].explain()
    assert MemoryItem.objects.of_type("message").delete()[0] == 5
    assert MemoryItem.all_objects.count() == 14 - 5
    call_command("memory_purge", stdout=StringIO())
    assert names() == {"bob0", "ada2", "eve0", "eve1", "eve2", "eve3"}


@database
@pytest.mark.redis
def test_cached_conversations_are_retained(
    use_redis: Any, redis_server: Any, make_item: Callable[..., MemoryItem], retain: Callable[..., None]
) -> None:
    """What the cache has is left out as what the database has."""
    now = timezone.now()
    use_redis(redis_server).clear()
    for number in range(4):
        make_item(id=f"i{number}", session_id="s", timestamp=now - number * DAY, importance=number / 10)
    assert len(recent("ada", "s", 10)) == 4
    retain({"count": 3}, {"importance_below": 0.1})
    assert [one.pk for one in recent("ada", "s", 10)] == ["i1", "i2"]


@database
def test_the_newest_of_each_owner_stay(make_item: Callable[..., MemoryItem], retain: Callable[..., None]) -> None:
    """The purge deletes what is beyond a count; a dry run says how many, and deletes nothing."""
    now = timezone.now()
    for user in ("ada", "bob"):
        for number in range(4):
            make_item(id=f"{user}{number}", user_id=user, timestamp=now - number * DAY)
    for number in range(3):
        AgentData(id=f"d{number}", agent_id="planner", data_type="t", timestamp=now - number * DAY).save()
    retain({"item_type": "message", "count": 3}, {"user_id": "bob", "count": 1}, {"model": "AgentData", "count": 2})
    out = StringIO()
    call_command("memory_purge", dry_run=True, stdout=out)
    assert [line for line in out.getvalue().splitlines() if "newest" in line] == [
        "MemoryItem: item_type message, beyond the newest 3 of each user_id: 2 would be deleted",
        "MemoryItem: user_id bob, beyond the newest 1 of each user_id: 3 would be deleted",
        "AgentData: beyond the newest 2 of each agent_id: 1 would be deleted",
    ]
    assert MemoryItem.all_objects.count() == 8
    call_command("memory_purge", stdout=StringIO())
    assert names() == {"ada0", "ada1", "ada2", "bob0"}
    assert set(AgentData.objects.values_list("pk", flat=True)) == {"d0", "d1"}

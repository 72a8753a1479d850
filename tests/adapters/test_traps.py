"""Faults that were seen in other stores and in clients, each with a test of ours.

The first part lists them with their tests, and fails if one is gone. The second has those that no other file has.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Avg, Count, Max, Min, Sum

from memory.models import AgentCheckpoint, MemoryItem
from tests.adapters import DATABASE

ROOT = Path(__file__).parents[1]
STORE, SAVER, FILTERS = (
    "adapters/test_langgraph_store",
    "adapters/test_langgraph_saver",
    "adapters/test_langgraph_filters",
)
OPENAI, LANGCHAIN = "adapters/test_openai_agents", "adapters/test_langchain"
SESSIONS, MEMORY, HERE = "adapters/test_adk_sessions", "adapters/test_adk_memory", "adapters/test_traps"

TRAPS = {
    "pending writes come back in string order": (SAVER, "test_writes_are_in_the_order_of_path_task_and_index"),
    "deleting a thread deletes those whose ids start alike": (SAVER, "test_only_the_thread_itself_is_deleted"),
    "writes that are put twice are overwritten": (SAVER, "test_of_writes_that_are_put_twice_the_first_stay"),
    "the limit applies before namespace and filter": (STORE, "test_a_filter_and_a_namespace_apply_before_the_limit"),
    "ids of two namespaces collide": (STORE, "test_names_never_collide"),
    "filters of nested maps never match": (FILTERS, "test_values_are_compared_as_json"),
    "two stores disagree on $ne, ranges and nested maps": (FILTERS, "test_values_are_compared_as_json"),
    "a page repeats items": (STORE, "test_pages_do_not_repeat_items"),
    "a repeated text fails a batch": (STORE, "test_items_with_one_text_are_all_found"),
    "an overwritten item is found by its old words": (
        STORE,
        "test_an_overwritten_item_is_not_found_by_its_old_words",
    ),
    "reads of a batch see its puts": (STORE, "test_reads_of_a_batch_do_not_see_its_writes"),
    "an update resets the time of creation": (STORE, "test_an_update_keeps_the_time_of_creation"),
    "events of one instant change places": (SESSIONS, "test_events_of_one_instant_keep_their_order"),
    "a list of lists fails": (SESSIONS, "test_events_come_back_as_they_were_appended"),
    "memory forgets numbers and other scripts": (MEMORY, "test_numbers_and_words_of_any_script_are_found"),
    "states of apps and users are not apart": (SESSIONS, "test_states_are_shared_by_their_prefix"),
    "an empty user lists everybody's sessions": (SESSIONS, "test_sessions_are_listed_by_their_last_update"),
    "the 501st text overwrites the first": (LANGCHAIN, "test_more_than_five_hundred_messages_and_two_workers"),
    "a second worker's history erases the first's": (LANGCHAIN, "test_more_than_five_hundred_messages_and_two_workers"),
    "a generator stores nothing": (LANGCHAIN, "test_messages_come_back_as_they_were_added"),
    "negative limits": (OPENAI, "test_a_limit_gives_the_latest_in_order"),
    "a time before 1970 moves": (HERE, "test_a_time_before_1970_stays"),
    "aggregates of nothing are 0.0": (HERE, "test_aggregates_of_nothing"),
    "vectors that are NaN or zero": ("search/test_broken_embedders", "test_no_write_fails_and_nothing_wrong_is_stored"),
    "a second server multiplies a TTL": ("cache/test_two_servers", "test_no_key_lives_longer_than_its_ttl"),
    "errors of Redis are not ignored by all commands": ("cache/test_faults", "test_a_fault_costs_one_request_a_moment"),
}


@cache
def names_in(path: str) -> set[str]:
    """The names of a file's tests."""
    tree = ast.parse((ROOT / f"{path}.py").read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("path", "name"), TRAPS.values(), ids=TRAPS)
def test_each_has_a_test(path: str, name: str) -> None:
    """Which exists."""
    assert name in names_in(path)


@DATABASE
def test_a_time_before_1970_stays(make_item: Callable[..., MemoryItem]) -> None:
    """With a fraction, however often the item is read and written."""
    time = datetime(1970, 1, 1, tzinfo=UTC) - timedelta(seconds=1, microseconds=500_000)
    pk = make_item(timestamp=time, metadata={"at": time.isoformat()}, expiration=None).pk
    for _ in range(3):
        item = MemoryItem.objects.get(pk=pk)
        assert item.timestamp == time
        item.save()
    assert MemoryItem.objects.filter(timestamp=time).count() == 1


@DATABASE
def test_aggregates_of_nothing() -> None:
    """Are None, and a count is the integer 0, as on SQL databases."""
    steps = AgentCheckpoint.objects.filter(pk="none")
    found: dict[str, Any] = steps.aggregate(Avg("step"), Sum("step"), Max("step"), Min("step"), Count("pk"))
    assert found == {"step__avg": None, "step__sum": None, "step__max": None, "step__min": None, "pk__count": 0}
    assert isinstance(found["pk__count"], int)
    assert MemoryItem.objects.filter(user_id="nobody").count() == 0

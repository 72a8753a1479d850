"""Imported conversations keep the order of the file, whatever its timestamps."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import router
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.interchange import order
from memory.interchange.export import all_records, to_dict
from memory.interchange.order import ORIGINAL
from memory.models import MemoryItem, UserSession
from memory.search.reading import read_memory
from memory.search.tail import configured_maker
from memory.stores import FirestoreMemoryManager

from .samples import START, conversation, langchain, message, node
from .test_formats import items

TICK = timedelta(microseconds=1)
EXAMPLES = int(os.environ.get("MEMORY_TEST_EXAMPLES", "12"))

CLOCKS = (
    st.none()
    | st.just(START)
    | st.floats(START - 5, START + 5)
    | st.sampled_from(
        [1.0, 7e9, START * 1_000, START * 1_000_000, -5, 0, 5e10, 1e300, "", "soon", "2026-01-02T03:04:05Z"]
    )
)


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[int | None, Any]]:
    """The parents and times of messages, where a parent precedes its children."""
    count = draw(st.integers(1, 12))
    parents = [draw(st.none() | st.integers(0, number - 1)) if number else None for number in range(count)]
    return [(parent, draw(CLOCKS)) for parent in parents]


def chatgpt(tree: Sequence[tuple[int | None, Any]], shuffled: Sequence[int]) -> bytes:
    nodes = [
        node(f"n{number}", None if parent is None else f"n{parent}", message("user", text(number), time))
        for number, (parent, time) in enumerate(tree)
    ]
    return json.dumps([conversation([nodes[place] for place in shuffled])]).encode()


def text(number: int) -> str:
    return f"turn {number}."


def imported(path: Path, *options: str) -> str:
    said = io.StringIO()
    call_command("memory_import", "--user-id", "ada", *options, str(path), stdout=said)
    return said.getvalue()


def history() -> list[str]:
    """The texts of the only session, oldest first."""
    return [item.text_content for item in reversed(UserSession.objects.get().items())]


def in_store() -> list[str | None]:
    """The texts of the store's history, oldest first."""
    store = FirestoreMemoryManager()
    store.initialize()
    try:
        items = async_to_sync(store.get_conversation_history)("ada", "c1", limit=100)
    finally:
        store.close()
    times = [item.timestamp for item in items]
    return [item.text_content for item in (items if times == sorted(times) else reversed(items))]


def in_admin(client: Client) -> list[str]:
    """The texts of the admin's page of the conversation, oldest first."""
    page = client.get("/admin/memory/usersession/ada_3Ac1/conversation/").content.decode()
    return list(dict.fromkeys(re.findall(r"turn \d+\.", page)))


def in_index() -> list[str]:
    """The texts in the order in which search takes them for neighbours."""
    session = UserSession.objects.get()
    corpus = read_memory(session.user_id, router.db_for_read(MemoryItem), configured_maker()).corpus
    texts = {item.pk: item.text_content for item in session.items()}
    place, found = int(np.flatnonzero(corpus.before < 0)[0]), []
    while place >= 0:
        found.append(texts[corpus.ids[place]])
        place = int(corpus.after[place])
    return found


def exported() -> list[dict[str, Any]]:
    lines = [to_dict(record) for record in all_records(MemoryItem)]
    return sorted(lines, key=lambda line: (datetime.fromisoformat(line["timestamp"]), line["id"]))


def clear() -> None:
    MemoryItem.all_objects.all().delete()
    UserSession.objects.all().delete()


def chains(tree: Sequence[tuple[int | None, Any]]) -> list[list[str]]:
    """Each message after all of its ancestors, as texts."""
    found = []
    for number in range(len(tree)):
        chain, current = [], number
        while current is not None:
            chain.append(text(current))
            current = tree[current][0]  # type: ignore[assignment]  # None ends the loop
        found.append(chain[::-1])
    return found


@pytest.mark.django_db(databases=["default", "memory"])
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(trees(), st.randoms())
def test_any_tree(tmp_path: Path, admin_client: Client, tree: list[tuple[int | None, Any]], random: Any) -> None:
    """Each chain keeps its order in the history (rows, store, admin), in the context of a search, in an export, and in
    the import of the export."""
    clear()
    shuffled = list(range(len(tree)))
    random.shuffle(shuffled)
    path, copy = tmp_path / "conversations.json", tmp_path / "copy.jsonl"
    path.write_bytes(chatgpt(tree, shuffled))
    imported(path)
    first, lines = history(), exported()
    for chain in chains(tree):
        assert [text for text in first if text in chain] == chain
    assert [line["text_content"] for line in lines] == first
    assert in_admin(admin_client) == first
    assert in_index() == first
    assert "added" not in imported(path)
    assert exported() == lines
    call_command("memory_export", output=str(copy), verbosity=0)
    clear()
    imported(copy)
    assert history() == first
    assert exported() == lines
    assert "added" not in imported(path)


@pytest.mark.django_db(databases=["default", "memory"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(CLOCKS, min_size=1, max_size=10), st.integers(1, 10), st.booleans())
def test_any_list_that_grows(tmp_path: Path, clocks: list[Any], part: int, on_lines: bool) -> None:
    """Messages on lines or in an array keep their order, also where an earlier state of the file is imported."""
    clear()
    path = tmp_path / "talk.json"
    said = [langchain("human", str(number), timestamp=clock) for number, clock in enumerate(clocks)]
    for messages in (said[:part], said):
        path.write_text("\n".join(map(json.dumps, messages)) if on_lines else json.dumps(messages))
        imported(path)
    assert history() == [str(number) for number in range(len(clocks))]


def entries(*clocks: Any) -> list[datetime]:
    return [item["timestamp"] for item in items([langchain("human", "x", timestamp=clock) for clock in clocks])]


@pytest.mark.django_db(databases=["default", "memory"])
@pytest.mark.parametrize(
    "clocks", [[START] * 6, [None] * 6, [START - n for n in range(6)], [5.0, None, 7e9, None, "", START]]
)
def test_the_store(tmp_path: Path, clocks: list[Any]) -> None:
    """The store's history has the order of the file, too."""
    path = tmp_path / "conversations.json"
    path.write_bytes(
        chatgpt([(number - 1 if number else None, clock) for number, clock in enumerate(clocks)], range(6))
    )
    imported(path)
    assert in_store() == [text(number) for number in range(6)]


def test_times_that_fit_are_kept() -> None:
    """Only the times that contradict the order change, to a microsecond after the predecessor."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    found = entries(*((at + timedelta(seconds=second)).isoformat() for second in (0, 9, 3, 3, 20)))
    assert [time - at for time in found] == [
        timedelta(seconds=0),
        timedelta(seconds=9),
        timedelta(seconds=9) + TICK,
        timedelta(seconds=9) + 2 * TICK,
        timedelta(seconds=20),
    ]


def test_missing_times_are_those_of_neighbours() -> None:
    """The first messages precede the first time, others follow their predecessor."""
    first, second = "2024-08-12T22:10:10.5Z", "2024-08-12T22:11:10.5Z"
    at = datetime(2024, 8, 12, 22, 10, 10, 500_000, tzinfo=UTC)
    assert entries(None, None, first, None, second, None) == [
        at - 2 * TICK,
        at - TICK,
        at,
        at + TICK,
        at + timedelta(minutes=1),
        at + timedelta(minutes=1) + TICK,
    ]


def test_the_time_of_the_file_is_kept() -> None:
    """A time that cannot be used is in the metadata; one that is used is not repeated."""
    times = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:01Z"]
    kept = [item["metadata"].get(ORIGINAL) for item in items([langchain("human", "x", timestamp=t) for t in times])]
    assert kept == [None, "2026-01-02T03:04:01Z"]


def test_few_entries_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without times is streamed; its messages keep their order if a time comes late."""
    monkeypatch.setattr(order, "MAX_WAITING", 3)
    found = entries(*[None] * 7, "2020-01-01T00:00:00Z", None)
    assert found == sorted(found)
    assert len(set(found)) == 9


SAID = {"role": "user", "content": "a", "created_at": 1e9}
HUMAN = {"type": "human", "data": {"content": "a", "timestamp": 1e9}}


@pytest.mark.django_db(databases=["default", "memory"])
@pytest.mark.parametrize(
    "conversation",
    [{"title": "Tides", "messages": [one, one]} for one in (SAID, HUMAN)],
    ids=["openai", "langchain"],
)
def test_a_session_with_metadata_has_the_times_of_its_messages(conversation: Any, tmp_path: Path) -> None:
    """Not that of the file, which counts only if no message has a time."""
    (file := tmp_path / "tides.json").write_text(json.dumps(conversation))
    assert "1 UserSession added" in imported(file)
    session = UserSession.objects.get()
    assert session.metadata["title"] == "Tides"
    assert session.started_at == datetime.fromtimestamp(1e9, UTC)
    assert session.last_activity - session.started_at <= TICK

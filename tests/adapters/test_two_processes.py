"""Two processes talk through a framework; one is killed and started again: nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client, override_settings

from memory.models import MemoryItem
from tests import databases

from . import ADAPTERS, is_installed
from .talk import APP, USER, answer, graph_of, question

ROOT = Path(__file__).parents[2]
TURNS = 100  # of each process
KILLED_AFTER = 40
ALIAS = "talk"

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "memory", ALIAS])


@pytest.fixture(scope="module", autouse=True)
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """An empty database with the app's tables, which processes share. Tests know it by `ALIAS`."""
    settings: dict[str, Any] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path_factory.mktemp("talk") / "talk.sqlite3"),
    }
    if os.environ.get("MEMORY_TEST_ENGINE") == "firestore":
        address, project = os.environ["FIRESTORE_EMULATOR_HOST"], f"talk-{uuid.uuid4().hex[:12]}"
        settings = {"ENGINE": databases.FIRESTORE, "HOST": address, "PROJECT": project, "OPTIONS": {}}
    with started("migrate", settings, "") as migrate:
        assert migrate.wait() == 0
    with databases.added(ALIAS, settings):
        yield settings


def started(framework: str, database: dict[str, Any], session_id: str) -> subprocess.Popen[str]:
    """A process that talks."""
    command = [sys.executable, "-m", "tests.adapters.talk", framework, json.dumps(database), session_id, str(TURNS)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def turns_of(process: subprocess.Popen[str]) -> Iterator[int]:
    """The turns that it has done."""
    assert process.stdout is not None
    return map(int, process.stdout)


@pytest.mark.parametrize("framework", [name for name, module in ADAPTERS.items() if is_installed(module)])
def test_a_killed_process_loses_and_doubles_nothing(
    framework: str, database: dict[str, Any], admin_client: Client
) -> None:
    """200 turns of two conversations, kill -9 in the middle; then they are found by search and browsed in the admin."""
    first, second = sessions = f"{framework}-first", f"{framework}-second"
    killed, other = started(framework, database, first), started(framework, database, second)
    acknowledged = next(turn for turn in turns_of(killed) if turn == KILLED_AFTER)
    killed.kill()
    killed.wait()
    again = started(framework, database, first)
    turns = list(turns_of(again))
    assert turns[0] in (acknowledged + 1, acknowledged + 2)  # the turn that ran when it was killed may be done
    assert list(turns_of(other)) == list(range(TURNS))
    assert (again.wait(), other.wait()) == (0, 0)
    for process in (killed, again, other):
        assert process.stdout is not None
        process.stdout.close()
    check(framework, sessions)
    with override_settings(MEMORY={"DATABASE": ALIAS, "CACHE": None}):
        page = admin_client.get("/admin/memory/memoryitem/", {"user_id": USER}, follow=True)
        assert page.status_code == 200
        assert "famous" in page.content.decode()


def check(framework: str, sessions: Sequence[str]) -> None:
    """The conversations are whole, and search finds a turn."""
    for session_id in sessions:
        said = [question(session_id, turn) for turn in range(TURNS)]
        assert conversation(framework, session_id) == [text for one in said for text in (one, answer(one))]
    wanted = question(sessions[0], 57)
    [best] = MemoryItem.objects.using(ALIAS).search(f"{wanted}?", user_id=USER, limit=1)
    assert wanted in best.text_content


def conversation(framework: str, session_id: str) -> list[str]:
    """The texts of a conversation, as the framework reads them."""
    if framework == "langgraph":
        graph = graph_of(ALIAS)
        return list(graph.get_state({"configurable": {"thread_id": session_id}}).values["log"])
    if framework == "crewai":
        from memory.adapters.crewai import DjangoStorage

        records = DjangoStorage(USER, using=ALIAS).list_records(f"/{session_id}", limit=10 * TURNS)
        records.sort(key=lambda record: int(record.metadata["turn"]))
        return [text for record in records for text in record.content.split("\n")]
    if framework == "langchain":
        from memory.adapters.langchain import DjangoChatMessageHistory

        return [str(message.content) for message in DjangoChatMessageHistory(session_id, USER, using=ALIAS).messages]
    if framework == "llama_index":
        from memory.adapters.llama_index import DjangoChatStore

        return [str(message.content) for message in DjangoChatStore(user_id=USER, using=ALIAS).get_messages(session_id)]
    if framework == "adk":
        from memory.adapters.adk import DjangoSessionService

        place = {"app_name": APP, "user_id": USER, "session_id": session_id}
        session = async_to_sync(DjangoSessionService(using=ALIAS).get_session)(**place)
        assert session is not None
        return [str(event.content.parts[0].text) for event in session.events]  # type: ignore[union-attr, index]
    if framework == "pydantic_ai":
        from memory.adapters.pydantic_ai import DjangoConversationStore

        found = async_to_sync(DjangoConversationStore(USER, using=ALIAS).load)(session_id)
        assert found is not None
        return [str(message.parts[0].content) for message in found.messages]  # type: ignore[union-attr]
    from memory.adapters.openai_agents import DjangoSession

    items: list[Any] = async_to_sync(DjangoSession(session_id, USER, using=ALIAS).get_items)()
    return [one["content"] if isinstance(one["content"], str) else one["content"][0]["text"] for one in items]

"""Export, then import into an empty database: equal records."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.html import escape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from memory.interchange.export import MODELS, all_records, to_dict
from memory.limits import document_id_problem
from memory.models import AgentData, MemoryItem, UserSession

from .samples import chatgpt_export

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = TEXT.filter(lambda text: 1 <= len(text) <= 255)
IDS = NAMES.filter(lambda text: document_id_problem(text) is None)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MAPS = st.dictionaries(TEXT, JSON, max_size=3)
COMMON = {"id": IDS, "timestamp": TIMES, "metadata": MAPS, "expiration": st.none() | TIMES}
ITEMS = st.fixed_dictionaries(
    {
        **COMMON,
        "user_id": NAMES,
        "session_id": st.none() | NAMES,
        "item_type": NAMES,
        "persona_active": st.none() | NAMES,
        "text_content": st.none() | TEXT,
        "embedding": st.none() | st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
    }
)
DATA = st.fixed_dictionaries({**COMMON, "agent_id": NAMES, "data_type": NAMES, "content": JSON})
SESSIONS = st.fixed_dictionaries(
    {"user_id": NAMES, "session_id": NAMES, "started_at": TIMES, "last_activity": TIMES, "metadata": MAPS}
)


def everything() -> dict[str, list[dict[str, Any]]]:
    return {name: [to_dict(record) for record in all_records(model).order_by("pk")] for name, model in MODELS.items()}


def clear() -> None:
    for model in MODELS.values():
        all_records(model).delete()
    assert not any(everything().values())


def export(*options: str) -> str:
    out = io.StringIO()
    call_command("memory_export", *options, stdout=out, stderr=io.StringIO())
    return out.getvalue()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(ITEMS, max_size=4, unique_by=lambda values: values["id"]),
    st.lists(DATA, max_size=3, unique_by=lambda values: values["id"]),
    st.lists(SESSIONS, max_size=3, unique_by=lambda values: (values["user_id"], values["session_id"])),
)
def test_any_records(tmp_path: Path, items: list[Any], data: list[Any], sessions: list[Any]) -> None:
    """All fields of all models, whatever their ids, texts, numbers and times."""
    clear()
    UserSession.objects.bulk_create([UserSession(**values) for values in sessions])
    MemoryItem.objects.bulk_create([MemoryItem(**values) for values in items])
    AgentData.objects.bulk_create([AgentData(**values) for values in data])
    before = everything()
    path = tmp_path / "all.jsonl"
    call_command("memory_export", "--include-expired", output=str(path), verbosity=0)
    clear()
    call_command("memory_import", str(path), stdout=io.StringIO())
    assert everything() == before
    call_command("memory_import", str(path), stdout=io.StringIO())
    assert everything() == before


@pytest.mark.long
def test_ten_thousand_messages(
    tmp_path: Path, admin_client: Client, make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]
) -> None:
    """A ChatGPT export of that size imports, once; is browsable over API and admin; and comes back equal."""
    path, copy = tmp_path / "conversations.json", tmp_path / "copy.jsonl"
    path.write_text(json.dumps(list(chatgpt_export(10_000))))
    assert "10,000 MemoryItem added; 100 UserSession added" in imported(path)
    before = everything()
    assert len(before["MemoryItem"]) == 10_000
    assert "10,000 MemoryItem already there; 100 UserSession already there" in imported(path)
    browse_api(client_for(make_user("ada")))
    browse_admin(admin_client)
    call_command("memory_export", output=str(copy), verbosity=0)
    clear()
    imported(copy)
    assert everything() == before


def imported(path: Path) -> str:
    said = io.StringIO()
    call_command("memory_import", "--user-id", "ada", str(path), stdout=said)
    return said.getvalue()


def browse_api(client: APIClient) -> None:
    """All pages together hold each item once, and a session's history its messages in order."""
    ids: list[str] = []
    url: str | None = "/api/memory-items/?limit=200"
    while url:
        page = client.get(url).json()
        ids += [item["id"] for item in page["results"]]
        url = page["next"]
    assert len(ids) == 10_000
    assert set(ids) == set(MemoryItem.objects.values_list("id", flat=True))
    history = client.get("/api/sessions/ada:conversation-7/history/?limit=100").json()["results"]
    assert [item["metadata"]["role"] for item in history[:2]] == ["assistant", "user"]
    assert len(history) == 100


def browse_admin(client: Client) -> None:
    """The lists and their last pages, an item, a session's conversation."""
    item = MemoryItem.objects.in_session("conversation-42").newest_first().last()
    assert item is not None
    text = escape(item.text_content)
    for url, shown in [
        ("/admin/memory/memoryitem/", "10000 memory items"),
        ("/admin/memory/memoryitem/?p=100", "10000 memory items"),
        (f"/admin/memory/memoryitem/{item.pk}/change/", text),
        ("/admin/memory/usersession/", "100 sessions"),
        ("/admin/memory/usersession/ada_3Aconversation-42/conversation/", text),
    ]:
        response = client.get(url)
        assert response.status_code == 200, url
        assert shown in response.content.decode(), url


@pytest.fixture
def records() -> None:
    """Two users' and an agent's records, one of them expired."""
    past, now = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    for user in ("ada", "bob"):
        MemoryItem.objects.create(id=f"{user}-1", user_id=user, session_id="s", item_type="note", timestamp=now)
    MemoryItem.objects.create(
        id="ada-2", user_id="ada", item_type="note", timestamp=now, expiration=past + timedelta(days=1)
    )
    AgentData.objects.create(id="d", agent_id="planner", data_type="plan", timestamp=now)


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ((), ["ada:s", "bob:s", "ada-1", "bob-1", "d"]),
        (("--include-expired",), ["ada:s", "bob:s", "ada-1", "ada-2", "bob-1", "d"]),
        (("--user-id", "ada"), ["ada:s", "ada-1"]),
        (("--user-id", "bob", "--user-id", "planner"), ["bob:s", "bob-1", "d"]),
        (("--model", "MemoryItem"), ["ada-1", "bob-1"]),
        (("--model", "AgentData", "--model", "UserSession"), ["ada:s", "bob:s", "d"]),
        (("--user-id", "nobody"), []),
    ],
)
@pytest.mark.usefixtures("records")
def test_a_selection(options: tuple[str, ...], ids: list[str]) -> None:
    """By user, by model, live or all."""
    assert [json.loads(line)["id"] for line in export(*options).splitlines()] == ids


@pytest.mark.usefixtures("records")
def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing export leaves the existing file, and no partial one."""
    path = tmp_path / "copy.jsonl"
    path.write_text("yesterday's")

    def failing(*args: Any) -> Any:
        yield "{}"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("memory.management.commands.memory_export.json_lines", failing)
    with pytest.raises(CommandError, match="No space left"):
        call_command("memory_export", output=str(path))
    assert path.read_text() == "yesterday's"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """One sentence with the path."""
    with pytest.raises(CommandError, match=r"nowhere.*No such file"):
        call_command("memory_export", output=str(tmp_path / "nowhere" / "x.jsonl"))

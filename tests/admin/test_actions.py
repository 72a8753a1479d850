"""Admin actions: export and deletion."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.http import StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from memory.admin.base import MAX_DELETE_COUNT
from memory.interchange.export import to_json_line
from memory.models import AgentData, MemoryItem, UserSession

from .conftest import Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(client: Client, page: str, action: str, selected: list[str], everything: bool = False) -> Any:
    """Submit the action's form."""
    return client.post(
        page, {"action": action, "_selected_action": selected, "select_across": str(int(everything)), "index": "0"}
    )


def text(response: Any) -> str:
    """The content of a streaming response."""
    assert isinstance(response, StreamingHttpResponse), response
    return b"".join(response).decode()


def fill(count: int, **values: Any) -> None:
    """Create items m0, m1, ... with timestamps 1 s apart."""
    MemoryItem.objects.bulk_create(
        MemoryItem(id=f"m{n}", user_id="ada", item_type="message", timestamp=NOON + timedelta(seconds=n), **values)
        for n in range(count)
    )


def test_export_as_json_lines(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., AgentData]
) -> None:
    """One line per record, vectors included; the file name has the model and the date."""
    item = make_item(session_id="s", embedding=[0.1, 0.2], metadata={"ü": [None]}, text_content="a\nb\u2028c")
    make_item()
    data, session = make_agent_data(), UserSession.objects.get()
    for model, record in (("memoryitem", item), ("agentdata", data), ("usersession", session)):
        response = run(superuser, url(model), "export_jsonl", [record.pk])
        name = {"memoryitem": "memory-items", "agentdata": "agent-data", "usersession": "sessions"}[model]
        expected = f'attachment; filename="{name}-{timezone.localdate():%Y-%m-%d}.jsonl"'
        assert response.headers["Content-Disposition"] == expected
        assert response.headers["Content-Type"].startswith("application/x-ndjson")
        record.refresh_from_db()
        assert text(response) == f"{to_json_line(record)}\n"


def test_select_all_includes_all_pages_and_keeps_filters(superuser: Client, url: Url) -> None:
    """Records of all pages are exported, filtered ones are not."""
    fill(120)
    MemoryItem.objects.filter(pk__in=["m3", "m4"]).update(item_type="fact")
    MemoryItem.objects.filter(pk="m5").update(expiration=timezone.now() - timedelta(seconds=1))
    some = text(run(superuser, url("memoryitem"), "export_jsonl", ["m7", "m8"]))
    assert [json.loads(line)["id"] for line in some.splitlines()] == ["m8", "m7"]
    response = run(superuser, f"{url('memoryitem')}?item_type=message&o=1", "export_jsonl", ["m7"], everything=True)
    found = [json.loads(line)["id"] for line in text(response).splitlines()]
    assert sorted(found) == sorted(f"m{n}" for n in range(120) if n not in {3, 4, 5})


@pytest.mark.parametrize("action", ["export_jsonl", "export_csv"])
def test_export_is_streamed_with_one_query(superuser: Client, url: Url, action: str) -> None:
    """One query for any number of records, with at most one chunk of them in memory."""
    counts = []
    for count in (10, 1200):
        MemoryItem.all_objects.all().delete()
        fill(count, embedding=[1.0])
        with CaptureQueriesContext(connections["memory"]) as captured:
            lines = text(run(superuser, url("memoryitem"), action, ["m0"], everything=True)).splitlines()
        assert len(lines) - (action == "export_csv") == count
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_export_as_csv(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """A header and one row per record: JSON for maps, empty for null, no vectors; special characters are quoted."""
    make_item(
        id="a", text_content='one, "two"\nthree', metadata={"n": 1}, timestamp=NOON, embedding=[1.0], session_id="s"
    )
    response = run(superuser, url("memoryitem"), "export_csv", ["a"])
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    [row] = csv.DictReader(io.StringIO(text(response), newline=""))
    assert row == {
        "id": "a",
        "timestamp": "2026-03-01T12:00:00Z",
        "metadata": '{"n": 1}',
        "expiration": "",
        "user_id": "ada",
        "session_id": "s",
        "item_type": "message",
        "persona_active": "",
        "text_content": 'one, "two"\nthree',
        **dict.fromkeys(("superseded_by", "valid_from", "valid_to", "source", "importance", "touched"), ""),
        **dict.fromkeys(("supersedes", "derived_from"), "[]"),
    }


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"])
def test_csv_escapes_formulas(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., Any], start: str
) -> None:
    """Texts that a spreadsheet would evaluate get an apostrophe in every column; others are unchanged."""
    make_item(id="a", user_id=start, session_id=start, item_type=start, persona_active=start, text_content=start)
    make_item(id="b", text_content=f"x{start}")
    rows = list(
        csv.DictReader(io.StringIO(text(run(superuser, url("memoryitem"), "export_csv", ["a", "b"])), newline=""))
    )
    made = {row["id"]: row for row in rows}
    for column in ("user_id", "session_id", "item_type", "persona_active", "text_content"):
        assert made["a"][column] == f"'{start}"
    assert made["b"]["text_content"] == f"x{start}"
    make_agent_data(id="c", content=start)
    [row] = csv.DictReader(io.StringIO(text(run(superuser, url("agentdata"), "export_csv", ["c"])), newline=""))
    assert not row["content"].startswith(start)


def test_export_requires_the_view_permission(staff: Callable[..., Client], url: Url) -> None:
    """With only the view permission, only the exports are available."""
    fill(2)
    client = staff("view_memoryitem")
    names = [name for name, _ in client.get(url("memoryitem")).context["action_form"].fields["action"].choices]
    assert names == ["", "export_jsonl", "export_csv"]
    assert len(text(run(client, url("memoryitem"), "export_jsonl", ["m0", "m1"])).splitlines()) == 2
    assert run(client, url("usersession"), "export_jsonl", ["x"]).status_code == 403
    run(client, url("memoryitem"), "delete_selected", ["m0"])
    assert MemoryItem.objects.count() == 2


def test_empty_selection_exports_nothing(superuser: Client, url: Url) -> None:
    """Django's message is shown."""
    fill(1)
    response = superuser.post(url("memoryitem"), {"action": "export_jsonl", "index": "0"}, follow=True)
    assert "Items must be selected" in response.content.decode()


def test_session_deletion_shows_the_number_of_items(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """The confirmation counts its items, expired ones included; only these are deleted."""
    for _ in range(3):
        make_item(session_id="s")
    make_item(session_id="s", expiration=timezone.now() - timedelta(seconds=1))
    others = [make_item(session_id="t"), make_item(session_id="s", user_id="eve"), make_item()]
    page = url("usersession", "delete", "ada:s")
    content = superuser.get(page).content.decode()
    assert "Sessions: 1" in content
    assert "Memory items: 4" in content
    assert superuser.post(page, {"post": "yes"}).status_code == 302
    assert set(MemoryItem.all_objects.all()) == set(others)
    assert {session.pk for session in UserSession.objects.all()} == {"ada:t", "eve:s"}


def test_deletion_of_sessions_shows_the_total(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """The items of all sessions are counted with a few queries."""
    for number in range(40):
        make_item(session_id=f"s{number}")
        make_item(session_id=f"s{number}", user_id="eve")
    selected = list(UserSession.objects.values_list("pk", flat=True))
    with CaptureQueriesContext(connections["memory"]) as captured:
        content = run(superuser, url("usersession"), "delete_selected", selected).content.decode()
    assert "Sessions: 80" in content
    assert "Memory items: 80" in content
    assert len(captured) < 20
    response = superuser.post(
        url("usersession"), {"action": "delete_selected", "_selected_action": selected, "post": "yes"}, follow=True
    )
    assert "Successfully deleted 80 sessions" in response.content.decode()
    assert not MemoryItem.all_objects.exists()


def test_session_deletion_requires_permission_to_delete_items(
    staff: Callable[..., Client], url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """A session with items cannot be deleted without the permission for items."""
    make_item(session_id="s")
    client = staff("view_usersession", "delete_usersession")
    page = url("usersession", "delete", "ada:s")
    assert "memory item" in client.get(page).content.decode()
    assert client.post(page, {"post": "yes"}).status_code == 403
    assert MemoryItem.objects.count() == 1


def test_deletion_is_logged(superuser: Client, url: Url) -> None:
    """The admin log has one entry per deleted record."""
    fill(3)
    superuser.post(url("memoryitem"), {"action": "delete_selected", "_selected_action": ["m0", "m1"], "post": "yes"})
    assert [item.pk for item in MemoryItem.objects.all()] == ["m2"]
    assert {entry.object_id for entry in LogEntry.objects.all() if entry.is_deletion()} == {"m0", "m1"}


def test_deletion_above_the_limit_is_rejected(superuser: Client, url: Url) -> None:
    """Above the limit a message is shown and nothing is deleted."""
    fill(MAX_DELETE_COUNT + 1)
    response = run(superuser, url("memoryitem"), "delete_selected", ["m0"], everything=True)
    assert response.status_code == 302
    assert "Nothing was deleted" in superuser.get(url("memoryitem")).content.decode()
    assert MemoryItem.objects.count() == MAX_DELETE_COUNT + 1
    MemoryItem.objects.get(pk="m0").delete()
    page = run(superuser, url("memoryitem"), "delete_selected", ["m1"], everything=True)
    selected = [item.pk for item in page.context["queryset"]]
    confirmed = superuser.post(
        url("memoryitem"), {"action": "delete_selected", "_selected_action": selected, "post": "yes"}, follow=True
    )
    assert f"Successfully deleted {MAX_DELETE_COUNT} memory items" in confirmed.content.decode()
    assert not MemoryItem.objects.exists()


@pytest.mark.parametrize("way", ["page", "action"])
def test_deleting_an_item_corrects_the_times_of_its_session(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], way: str
) -> None:
    """Of the newest and of the oldest one; a session whose last item is deleted keeps its times."""
    times = [NOON + timedelta(hours=number) for number in range(3)]
    for name, time in zip("abc", times, strict=True):
        make_item(id=name, session_id="s", timestamp=time)
    for gone, expected in (("c", (times[0], times[1])), ("a", (times[1], times[1])), ("b", (times[1], times[1]))):
        page = url("memoryitem", "delete", gone) if way == "page" else url("memoryitem")
        chosen = {} if way == "page" else {"action": "delete_selected", "_selected_action": [gone]}
        assert superuser.post(page, {**chosen, "post": "yes"}).status_code == 302
        assert not MemoryItem.all_objects.filter(pk=gone).exists()
        session = UserSession.objects.get()
        assert (session.started_at, session.last_activity) == expected

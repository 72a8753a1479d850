"""What is done with a selection: export and deletion."""

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

from memory.admin.base import MOST_DELETED_AT_ONCE
from memory.interchange.export import to_json_line
from memory.models import AgentData, MemoryItem, UserSession

from .conftest import Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(client: Client, page: str, action: str, selected: list[str], everything: bool = False) -> Any:
    """What the action's form sends."""
    return client.post(
        page, {"action": action, "_selected_action": selected, "select_across": str(int(everything)), "index": "0"}
    )


def text(response: Any) -> str:
    """The file that a streaming answer carries."""
    assert isinstance(response, StreamingHttpResponse), response
    return b"".join(response).decode()


def fill(count: int, **values: Any) -> None:
    """Items m0, m1, ... a second apart."""
    MemoryItem.objects.bulk_create(
        MemoryItem(id=f"m{n}", user_id="ada", item_type="message", timestamp=NOON + timedelta(seconds=n), **values)
        for n in range(count)
    )


def test_json_lines_are_the_records(
    boss: Client, url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., AgentData]
) -> None:
    """Each model's selection, complete with vectors, one line a record, as a file of its name and day."""
    item = make_item(session_id="s", embedding=[0.1, 0.2], metadata={"ü": [None]}, text_content="a\nb\u2028c")
    make_item()
    data, session = make_agent_data(), UserSession.objects.get()
    for model, record in (("memoryitem", item), ("agentdata", data), ("usersession", session)):
        response = run(boss, url(model), "export_jsonl", [record.pk])
        name = {"memoryitem": "memory-items", "agentdata": "agent-data", "usersession": "sessions"}[model]
        expected = f'attachment; filename="{name}-{timezone.localdate():%Y-%m-%d}.jsonl"'
        assert response.headers["Content-Disposition"] == expected
        assert response.headers["Content-Type"].startswith("application/x-ndjson")
        record.refresh_from_db()
        assert text(response) == f"{to_json_line(record)}\n"


def test_select_all_reaches_across_pages_and_keeps_filters(boss: Client, url: Url) -> None:
    """All that the list would show, on whatever page; nothing that its filters leave out."""
    fill(120)
    MemoryItem.objects.filter(pk__in=["m3", "m4"]).update(item_type="fact")
    MemoryItem.objects.filter(pk="m5").update(expiration=timezone.now() - timedelta(seconds=1))
    some = text(run(boss, url("memoryitem"), "export_jsonl", ["m7", "m8"]))
    assert [json.loads(line)["id"] for line in some.splitlines()] == ["m8", "m7"]
    response = run(boss, f"{url('memoryitem')}?item_type=message&o=1", "export_jsonl", ["m7"], everything=True)
    found = [json.loads(line)["id"] for line in text(response).splitlines()]
    assert sorted(found) == sorted(f"m{n}" for n in range(120) if n not in {3, 4, 5})


@pytest.mark.parametrize("action", ["export_jsonl", "export_csv"])
def test_an_export_is_streamed_with_constant_queries(boss: Client, url: Url, action: str) -> None:
    """One query for the records however many there are, no more than one batch of them in memory at a time."""
    counts = []
    for count in (10, 1200):
        MemoryItem.all_objects.all().delete()
        fill(count, embedding=[1.0])
        with CaptureQueriesContext(connections["memory"]) as captured:
            lines = text(run(boss, url("memoryitem"), action, ["m0"], everything=True)).splitlines()
        assert len(lines) - (action == "export_csv") == count
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_csv_is_for_spreadsheets(boss: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """A header, a row a record, maps as JSON, nothing for null, no vectors; commas, quotes and line ends survive."""
    make_item(
        id="a", text_content='one, "two"\nthree', metadata={"n": 1}, timestamp=NOON, embedding=[1.0], session_id="s"
    )
    response = run(boss, url("memoryitem"), "export_csv", ["a"])
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
    }


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"])
def test_no_cell_is_a_formula(
    boss: Client, url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., Any], start: str
) -> None:
    """A text that a spreadsheet would run gets an apostrophe before it, in whatever column; others stay as they are."""
    make_item(id="a", user_id=start, session_id=start, item_type=start, persona_active=start, text_content=start)
    make_item(id="b", text_content=f"x{start}")
    rows = list(csv.DictReader(io.StringIO(text(run(boss, url("memoryitem"), "export_csv", ["a", "b"])), newline="")))
    made = {row["id"]: row for row in rows}
    for column in ("user_id", "session_id", "item_type", "persona_active", "text_content"):
        assert made["a"][column] == f"'{start}"
    assert made["b"]["text_content"] == f"x{start}"
    make_agent_data(id="c", content=start)
    [row] = csv.DictReader(io.StringIO(text(run(boss, url("agentdata"), "export_csv", ["c"])), newline=""))
    assert not row["content"].startswith(start)


def test_exports_need_the_permission_to_view(staff: Callable[..., Client], url: Url) -> None:
    """Who may look may export, and do nothing else with a selection."""
    fill(2)
    client = staff("view_memoryitem")
    names = [name for name, _ in client.get(url("memoryitem")).context["action_form"].fields["action"].choices]
    assert names == ["", "export_jsonl", "export_csv"]
    assert len(text(run(client, url("memoryitem"), "export_jsonl", ["m0", "m1"])).splitlines()) == 2
    assert run(client, url("usersession"), "export_jsonl", ["x"]).status_code == 403
    run(client, url("memoryitem"), "delete_selected", ["m0"])
    assert MemoryItem.objects.count() == 2


def test_an_empty_selection_exports_nothing(boss: Client, url: Url) -> None:
    """It is told, as Django does."""
    fill(1)
    response = boss.post(url("memoryitem"), {"action": "export_jsonl", "index": "0"}, follow=True)
    assert "Items must be selected" in response.content.decode()


def test_deleting_a_session_tells_what_goes_with_it(
    boss: Client, url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """The number of its items, expired ones included; then they are gone, and nobody else's."""
    for _ in range(3):
        make_item(session_id="s")
    make_item(session_id="s", expiration=timezone.now() - timedelta(seconds=1))
    others = [make_item(session_id="t"), make_item(session_id="s", user_id="eve"), make_item()]
    page = url("usersession", "delete", "ada:s")
    content = boss.get(page).content.decode()
    assert "Sessions: 1" in content
    assert "Memory items: 4" in content
    assert boss.post(page, {"post": "yes"}).status_code == 302
    assert set(MemoryItem.all_objects.all()) == set(others)
    assert {session.pk for session in UserSession.objects.all()} == {"ada:t", "eve:s"}


def test_deleting_sessions_together_tells_the_sum(boss: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Of all items in them, counted with a few queries."""
    for number in range(40):
        make_item(session_id=f"s{number}")
        make_item(session_id=f"s{number}", user_id="eve")
    selected = list(UserSession.objects.values_list("pk", flat=True))
    with CaptureQueriesContext(connections["memory"]) as captured:
        content = run(boss, url("usersession"), "delete_selected", selected).content.decode()
    assert "Sessions: 80" in content
    assert "Memory items: 80" in content
    assert len(captured) < 20
    response = boss.post(
        url("usersession"), {"action": "delete_selected", "_selected_action": selected, "post": "yes"}, follow=True
    )
    assert "Successfully deleted 80 sessions" in response.content.decode()
    assert not MemoryItem.all_objects.exists()


def test_deleting_a_session_needs_the_permission_to_delete_items(
    staff: Callable[..., Client], url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """Items are not deleted by the way by those who may not delete them."""
    make_item(session_id="s")
    client = staff("view_usersession", "delete_usersession")
    page = url("usersession", "delete", "ada:s")
    assert "memory item" in client.get(page).content.decode()
    assert client.post(page, {"post": "yes"}).status_code == 403
    assert MemoryItem.objects.count() == 1


def test_a_deletion_is_kept_in_the_log(boss: Client, url: Url) -> None:
    """Who deleted what, for each record of the selection."""
    fill(3)
    boss.post(url("memoryitem"), {"action": "delete_selected", "_selected_action": ["m0", "m1"], "post": "yes"})
    assert [item.pk for item in MemoryItem.objects.all()] == ["m2"]
    assert {entry.object_id for entry in LogEntry.objects.all() if entry.is_deletion()} == {"m0", "m1"}


def test_a_large_deletion_is_refused_before_it_is_confirmed(boss: Client, url: Url) -> None:
    """One confirmation can carry a bounded number of ids; above it the page says so, and nothing is deleted."""
    fill(MOST_DELETED_AT_ONCE + 1)
    response = run(boss, url("memoryitem"), "delete_selected", ["m0"], everything=True)
    assert response.status_code == 302
    assert "Nothing was deleted" in boss.get(url("memoryitem")).content.decode()
    assert MemoryItem.objects.count() == MOST_DELETED_AT_ONCE + 1
    MemoryItem.objects.get(pk="m0").delete()
    page = run(boss, url("memoryitem"), "delete_selected", ["m1"], everything=True)
    selected = [item.pk for item in page.context["queryset"]]
    confirmed = boss.post(
        url("memoryitem"), {"action": "delete_selected", "_selected_action": selected, "post": "yes"}, follow=True
    )
    assert f"Successfully deleted {MOST_DELETED_AT_ONCE} memory items" in confirmed.content.decode()
    assert not MemoryItem.objects.exists()

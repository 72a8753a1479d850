"""The history of records: differences, and undoing a change."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from memory import sealing
from memory.admin import revisions
from memory.admin.revisions import NEW, OLD, SAME, difference
from memory.models import AgentData, MemoryItem, UserSession
from memory.models.versions import versions_of

from .conftest import VIEWER, Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def edit(client: Client, url: Url, pk: str, **values: str) -> None:
    """Change an item by its form."""
    page = url("memoryitem", "change", pk)
    form = client.get(page).context["adminform"].form
    item = form.instance
    data = {
        "item_type": item.item_type,
        "persona_active": item.persona_active or "",
        "text_content": item.text_content,
        "metadata": json.dumps(item.metadata),
        "timestamp_0": f"{item.timestamp:%Y-%m-%d}",
        "timestamp_1": f"{item.timestamp:%H:%M:%S}",
        "expiration_0": "",
        "expiration_1": "",
    }
    assert client.post(page, data | values).status_code == 302


def undo(client: Client, url: Url, entry: LogEntry) -> Any:
    """Press the button of an entry."""
    return client.post(f"{url('memoryitem', 'history', entry.object_id)}{entry.pk}/undo/", follow=True)


def newest() -> LogEntry:
    """The newest entry of the log."""
    return LogEntry.objects.order_by("-pk").first()  # type: ignore[return-value]


def test_a_change_is_shown_and_undone(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """All fields of the change get their old values; the undoing can be undone."""
    item = make_item(text_content="She paints <boats>.", metadata={"role": "user"}, timestamp=NOON)
    edit(
        superuser,
        url,
        item.pk,
        text_content="She paints <trains>.",
        metadata='{"role": "tool"}',
        timestamp_1="13:00:00",
    )
    history = url("memoryitem", "history", item.pk)
    page = superuser.get(history).content.decode()
    assert "<del>boats</del><ins>trains</ins>" in page
    assert "She paints &lt;" in page
    assert "<del>12</del><ins>13</ins>" in page
    changed = MemoryItem.objects.get(pk=item.pk)
    first = newest()
    assert "The change was undone." in undo(superuser, url, first).content.decode()
    restored = MemoryItem.objects.get(pk=item.pk)
    for name in ("text_content", "metadata", "timestamp", "content_hash"):
        assert getattr(restored, name) == getattr(item, name)
    undo(superuser, url, newest())
    again = MemoryItem.objects.get(pk=item.pk)
    assert (again.text_content, again.metadata, again.timestamp) == (
        changed.text_content, changed.metadata, changed.timestamp)  # fmt: skip
    assert LogEntry.objects.count() == 3


def test_a_later_change_is_not_overwritten(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Undoing fails if a field was changed since, by the admin or by an agent; other fields do not matter."""
    item = make_item(text_content="one", timestamp=NOON)
    edit(superuser, url, item.pk, text_content="two")
    first = newest()
    MemoryItem.objects.filter(pk=item.pk).update(text_content="three")
    assert "was changed since" in undo(superuser, url, first).content.decode()
    assert MemoryItem.objects.get(pk=item.pk).text_content == "three"
    MemoryItem.objects.filter(pk=item.pk).update(text_content="two", item_type="fact")
    undo(superuser, url, first)
    restored = MemoryItem.objects.get(pk=item.pk)
    assert (restored.text_content, restored.item_type) == ("one", "fact")


def test_who_may_undo(superuser: Client, staff: Callable[..., Client], url: Url, make_item: Any) -> None:
    """The permission to change; only by POST; only an entry of that record."""
    item, other = make_item(text_content="one", timestamp=NOON), make_item(text_content="x", timestamp=NOON)
    edit(superuser, url, item.pk, text_content="two")
    entry = newest()
    address = f"{url('memoryitem', 'history', item.pk)}{entry.pk}/undo/"
    viewer = staff(*VIEWER)
    assert viewer.post(address).status_code == 403
    assert "Undo" not in viewer.get(url("memoryitem", "history", item.pk)).content.decode()
    assert superuser.get(address).status_code == 405
    assert superuser.post(f"{url('memoryitem', 'history', other.pk)}{entry.pk}/undo/").status_code == 404
    assert superuser.post(f"{url('memoryitem', 'history', item.pk)}999/undo/").status_code == 404
    assert MemoryItem.objects.get(pk=item.pk).text_content == "two"


def test_large_values_are_not_kept(
    superuser: Client, url: Url, make_item: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their changes are listed without differences, and cannot be undone."""
    monkeypatch.setattr(revisions, "MAX_VALUE", 20)
    item = make_item(text_content="one", timestamp=NOON)
    edit(superuser, url, item.pk, text_content="x" * 30)
    page = superuser.get(url("memoryitem", "history", item.pk)).content.decode()
    assert "Changed Text" in page
    assert "Undo" not in page
    assert "<ins>" not in page
    assert "not known" in undo(superuser, url, newest()).content.decode()


def test_other_models(superuser: Client, url: Url, make_agent_data: Callable[..., AgentData]) -> None:
    """Agent data and sessions have a history, too; entries of other kinds of changes are listed."""
    data = make_agent_data(content={"a": 1})
    UserSession(user_id="ada", session_id="s").save()
    page = url("usersession", "change", "ada:s")
    assert superuser.post(page, {"metadata": '{"title": "Trip"}'}).status_code == 302
    assert "<ins>" in superuser.get(url("usersession", "history", "ada:s")).content.decode()
    superuser.post(f"{url('usersession', 'history', 'ada:s')}{newest().pk}/undo/")
    assert UserSession.objects.get().metadata == {}
    LogEntry.objects.log_actions(User.objects.get(username="superuser").pk, [data], 2, "by hand", single_object=True)
    assert "by hand" in superuser.get(url("agentdata", "history", data.pk)).content.decode()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a b c", "a x c", [(SAME, "a "), (OLD, "b"), (NEW, "x"), (SAME, " c")]),
        ("", "a", [(NEW, "a")]),
        ("a", "", [(OLD, "a")]),
        ("a", "a", [(SAME, "a")]),
        ("x " * 3_000, "y " * 3_000, [(OLD, "x " * 3_000), (NEW, "y " * 3_000)]),
    ],
)
def test_differences(old: str, new: str, expected: list[Any]) -> None:
    """By words; long texts one after the other, so that the time is bounded."""
    assert difference(old, new) == expected


def test_kept_versions_are_shown_and_undone(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], settings: Any
) -> None:
    """Whoever wrote them; a viewer has no button."""
    settings.MEMORY = {**settings.MEMORY, "VERSIONS": 5}
    item = make_item(text_content="She paints <boats>.", timestamp=NOON)
    item.text_content = "She paints <trains>."
    item.save()
    history = url("memoryitem", "history", item.pk)
    page = superuser.get(history).content.decode()
    assert "Kept versions" in page
    assert "<del>boats</del><ins>trains</ins>" in page
    [version] = versions_of(item)
    response = superuser.post(f"{history}{version.pk}/restore/", follow=True)
    assert "The change was undone." in response.content.decode()
    assert MemoryItem.objects.get(pk=item.pk).text_content == "She paints <boats>."
    assert len(versions_of(item)) == 2
    assert superuser.get(f"{history}{version.pk}/restore/").status_code == 405
    assert superuser.post(f"{history}nothing/restore/").status_code == 404


def test_the_log_has_no_encrypted_values(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], settings: Any
) -> None:
    """Nor does the page of an item fail."""
    keys = [Fernet.generate_key().decode()]
    settings.MEMORY = {**settings.MEMORY, "ENCRYPT": ["text_content"], "ENCRYPTION_KEYS": keys}
    sealing.known.forget()
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "firestore":  # keeps how it converts a model's columns
            connection.cache.row_shapes.clear()
            connection.cache.queries.clear()
    item = make_item(text_content="She hides a ruby.", timestamp=NOON)
    edit(superuser, url, item.pk, text_content="She hides a pearl.", item_type="fact")
    assert "pearl" not in newest().change_message
    assert "ruby" not in newest().change_message
    assert "She hides a pearl." in superuser.get(url("memoryitem", "change", item.pk)).content.decode()
    assert superuser.get(url("memoryitem"), {"q": "pearl"}).status_code == 200


def test_ids_are_edited_line_by_line(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """An item supersedes those whose ids are in its form."""
    old, new = make_item(timestamp=NOON), make_item(timestamp=NOON)
    edit(superuser, url, new.pk, supersedes=f"{old.pk}\r\n")
    assert MemoryItem.objects.get(pk=old.pk).superseded_by == new.pk
    edit(superuser, url, new.pk, supersedes="")
    assert MemoryItem.objects.get(pk=old.pk).superseded_by is None

"""A record that any entrance accepts can be read, changed and deleted over the API, whatever its id and texts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from memory.exceptions import ValidationError
from memory.limits import RESERVED_IDS
from memory.models import MemoryItem, UserSession
from memory.stores import FirestoreMemoryManager

from .conversations import clear, run_import

EXAMPLES = int(os.environ.get("MEMORY_TEST_EXAMPLES", "15"))
ODD = [
    "\0",
    "/",
    ".",
    "..",
    "__a__",
    "%2F",
    "%",
    "?",
    "#",
    "a b",
    " a",
    "\n",
    "a\n",
    "é",
    "猫",
    "\ud800",
    "\u2028",
    "a.json",
]
TEXTS = st.sampled_from([*ODD, *sorted(RESERVED_IDS), "history", "x" * 300]) | st.lists(
    st.sampled_from([*ODD, "a", ":", "\\", '"', "+", "&", ";"]), min_size=1, max_size=4
).map("".join)
RECORDS = st.fixed_dictionaries(
    {
        "id": TEXTS,
        "session_id": st.none() | TEXTS,
        "item_type": st.just("note") | TEXTS,
        "text_content": st.none() | TEXTS,
        "metadata": st.dictionaries(TEXTS, TEXTS, max_size=2),
    }
)
TIME = "2026-01-02T03:04:05Z"
pytestmark = pytest.mark.django_db(databases=["default", "memory"])


def by_import(values: dict[str, Any], client: APIClient, admin: Client, folder: Path) -> None:
    path = folder / "line.jsonl"
    path.write_text(json.dumps({"model": "MemoryItem", "user_id": "ada", "timestamp": TIME, **values}))
    assert run_import(path)[0] in (0, 1)


def by_save(values: dict[str, Any], client: APIClient, admin: Client, folder: Path) -> None:
    MemoryItem(user_id="ada", **values).save()


def by_bulk_create(values: dict[str, Any], client: APIClient, admin: Client, folder: Path) -> None:
    MemoryItem.objects.bulk_create([MemoryItem(user_id="ada", **values)])


def by_store(values: dict[str, Any], client: APIClient, admin: Client, folder: Path) -> None:
    store = FirestoreMemoryManager()
    store.initialize()
    try:
        async_to_sync(store.add_memory_item)(MemoryItem(user_id="ada", **values))
    finally:
        store.close()


def by_admin(values: dict[str, Any], client: APIClient, admin: Client, folder: Path) -> None:
    fields = {name: value for name, value in values.items() if value is not None and name != "metadata"}
    form = {"user_id": "ada", "timestamp_0": "2026-01-02", "timestamp_1": "03:04:05", **fields}
    form["metadata"] = json.dumps(values["metadata"])
    try:
        response = admin.post("/admin/memory/memoryitem/add/", form)
    except UnicodeEncodeError:  # a form cannot contain lone surrogates
        return
    assert response.status_code in (200, 302)


def by_api(values: dict[str, Any], client: APIClient, admin: Client, folder: Path) -> None:
    body = json.dumps({"user_id": "ada", **values})
    response = client.post("/api/memory-items/", body, content_type="application/json")
    assert response.status_code in (201, 400), response.content


ENTRANCES = [by_import, by_save, by_bulk_create, by_admin, by_api]


def use(client: APIClient, item: MemoryItem) -> None:
    """Read, list, change and delete an item, and its session."""
    url = f"/api/memory-items/{quote(item.pk, safe='')}/"
    read = client.get(url)
    assert read.status_code == 200, (url, read.content)
    assert (read.json()["id"], read.json()["text_content"]) == (item.pk, item.text_content)
    assert read.json()["metadata"] == item.metadata
    changed = client.patch(
        url, json.dumps({"text_content": "changed\0", "metadata": {}}), content_type="application/json"
    )
    assert changed.status_code == 200, changed.content
    assert client.get(url).json()["text_content"] == "changed\0"
    if item.session_id is not None:
        session = f"/api/sessions/{quote(UserSession.make_id('ada', item.session_id), safe='')}/"
        assert client.get(session).json()["session_id"] == item.session_id
        history = client.get(f"{session}history/").json()
        assert [each["id"] for each in history["results"]] == [item.pk]
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404


@pytest.mark.parametrize("entrance", ENTRANCES, ids=lambda entrance: entrance.__name__)
def test_an_entrance(
    entrance: Callable[..., None],
    tmp_path: Path,
    admin_client: Client,
    make_user: Callable[..., Any],
    client_for: Callable[[Any], APIClient],
) -> None:
    """What it accepts is as it was given, and the API can use it; what it rejects is not stored."""
    client = client_for(make_user("ada"))

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(RECORDS)
    def any_record(values: dict[str, Any]) -> None:
        clear()
        try:
            entrance(values, client, admin_client, tmp_path)
        except ValidationError:
            assert not MemoryItem.all_objects.exists()
            return
        for item in MemoryItem.all_objects.all():
            if entrance is not by_admin:  # whose forms strip spaces
                assert {name: getattr(item, name) for name in values} == values
            use(client, item)

    any_record()


@pytest.mark.django_db(databases=["default", "memory"])
@pytest.mark.parametrize("pk", [*ODD, *sorted(RESERVED_IDS)])
def test_the_store(
    pk: str, tmp_path: Path, make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]
) -> None:
    """The same of the store."""
    client = client_for(make_user("ada"))
    values = {"id": pk, "session_id": pk, "item_type": pk, "text_content": pk, "metadata": {pk: pk}}
    try:
        by_store(values, client, Client(), tmp_path)
    except ValidationError:
        assert not MemoryItem.all_objects.exists()
    else:
        use(client, MemoryItem.objects.get())


@pytest.mark.parametrize("pk", ["a\0b", "a\nb", "..a", "a.json", "history", " a ", "%2F", "?", "猫"])
def test_accepted_by_all(
    pk: str,
    tmp_path: Path,
    admin_client: Client,
    make_user: Callable[..., Any],
    client_for: Callable[[Any], APIClient],
) -> None:
    """Odd ids that a document may have are accepted by each entrance but the admin's form."""
    client = client_for(make_user("ada"))
    for entrance in ENTRANCES:
        if entrance is by_admin:
            continue
        clear()
        values = {"id": pk, "session_id": pk, "item_type": "note", "text_content": "\0", "metadata": {"\0": "\0"}}
        entrance(values, client, admin_client, tmp_path)
        use(client, MemoryItem.objects.get())

"""The audit trail: a record for each route, page and command, without content."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from memory.access.models import AccessToken
from memory.lifecycle import audit
from memory.lifecycle.audit import action_of
from memory.lifecycle.commands import AuditedCommand
from memory.mcp.tools import TOOLS
from memory.models import AppendOnlyError, AuditEntry, MemoryItem

pytestmark = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

SECRET = "a text that no record has"
UNRECORDED = frozenset({"firestore_constraints", "firestore_indexes"})
"""Commands of the engine: they show nothing of what is stored."""


@pytest.fixture(autouse=True)
def _audited(settings: Any) -> None:
    settings.MEMORY = {**settings.MEMORY, "AUDIT": "log"}


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """The records since the last call."""
    caplog.set_level(logging.INFO, "memory.audit")

    def taken() -> list[dict[str, Any]]:
        found = [json.loads(one.getMessage()) for one in caplog.records if one.name == "memory.audit"]
        caplog.clear()
        return found

    return taken


def routes() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The names of all routes of the API and of the app's admin, with the names of their arguments."""

    def walk(resolver: Any, names: tuple[str, ...], arguments: tuple[str, ...]) -> Iterator[Any]:
        for one in resolver.url_patterns:
            inner = (*arguments, *one.pattern.converters, *one.pattern.regex.groupindex)
            if isinstance(one, URLResolver):
                yield from walk(one, (*names, one.namespace) if one.namespace else names, inner)
            elif is_ours(names, one):
                yield ":".join((*names, one.name)), tuple(dict.fromkeys(inner))

    yield from dict(walk(get_resolver(), (), ())).items()


def is_ours(names: tuple[str, ...], pattern: Any) -> bool:
    """Whether it is a route of the API, or of the app in the admin."""
    if not (isinstance(pattern, URLPattern) and pattern.name):
        return False
    if pattern.name.partition("-")[0] in audit.WITHOUT_DATA:
        return False
    return names[:1] == ("memory-api",) or (names[:1] == ("admin",) and pattern.name.startswith("memory_"))


def test_every_route_leaves_a_record(
    client: Client, make_user: Callable[..., Any], records: Callable[[], list[dict[str, Any]]]
) -> None:
    """Reads and writes, of the API and the admin, allowed or not: one record each, with the method and the outcome."""
    from django.urls import reverse

    client.force_login(make_user("boss", is_staff=True, is_superuser=True))
    client.raise_request_exception = False
    found = dict(routes())
    assert len([name for name in found if name.startswith("memory-api")]) >= 10
    assert len([name for name in found if name.startswith("admin")]) >= 20
    for name, arguments in found.items():
        url = reverse(name, kwargs={one: "1" for one in arguments if one != "format"})
        for method in ("get", "post"):
            records()
            response = getattr(client, method)(url)
            [record] = [one for one in records() if one["channel"] != "python"]  # an erasure has its own, too
            assert record["operation"] == f"{method.upper()} {name}"
            assert record["outcome"] == str(response.status_code)
            assert record["principal"] == audit.digest_of("boss")


def test_requests_name_whose_data_they_are_about(
    client: Client,
    make_user: Callable[..., Any],
    make_item: Callable[..., MemoryItem],
    records: Callable[[], list[dict[str, Any]]],
) -> None:
    """By parameters, bodies, forms and answers; what is only asked for erases nothing yet."""
    client.force_login(make_user("boss", is_staff=True, is_superuser=True))
    make_item(id="i1", user_id="ada", session_id="s", text_content=SECRET)
    make_item(id="i2", user_id="bob")
    api, page = "/api/memory-items/", "/admin/memory/memoryitem/"
    chosen = {"_selected_action": ["i1", "i2"], "index": "0"}
    new = {"user_id": "ada", "item_type": "message", "text_content": SECRET}
    calls: list[tuple[str, str, Any, str, set[str]]] = [
        ("get", api, {"user_id": "ada"}, "read", {"ada"}),
        ("get", api, {}, "read", {"ada", "bob"}),
        ("get", f"{api}search/", {"user_id": "ada", "q": SECRET}, "read", {"ada"}),
        ("post", f"{api}search/", {"user_id": "ada", "questions": [SECRET]}, "read", {"ada"}),
        ("post", f"{api}context/", {"user_id": "ada", "question": SECRET}, "read", {"ada"}),
        ("post", f"{api}check-duplicate/", new, "read", {"i1", "ada"}),
        ("post", f"{api}bulk/get/", {"ids": ["i1", "i2"]}, "read", {"i1", "i2", "ada", "bob"}),
        ("post", api, {**new, "id": "i3"}, "write", {"i3", "ada"}),
        ("post", f"{api}bulk/", {"items": [{**new, "id": "i4"}]}, "write", {"i4", "ada"}),
        ("patch", f"{api}i4/", {"text_content": "x"}, "write", {"i4", "ada"}),
        ("post", f"{api}bulk/delete/", {"ids": ["i3", "i4"]}, "erase", {"i3", "i4"}),
        ("get", page, {"user_id": "ada"}, "read", {"ada"}),
        ("form", page, {**chosen, "action": "export_jsonl"}, "export", {"i1", "i2"}),
        ("form", page, {**chosen, "action": "export_csv"}, "export", {"i1", "i2"}),
        ("form", page, {**chosen, "action": "delete_limited"}, "read", {"i1", "i2"}),
        ("form", page, {**chosen, "action": "delete_limited", "post": "yes"}, "erase", {"i1", "i2"}),
    ]
    for method, url, values, action, ids in calls:
        records()
        if method == "form":
            response = client.post(url, values)
        else:
            kind = {} if method == "get" else {"content_type": "application/json"}
            response = getattr(client, method)(url, values, **kind)
        assert response.status_code < 400, (method, url, response.content)
        [record] = records()
        assert record["action"] == action, (method, url, values)
        assert set(record["ids"]) == {audit.digest_of(one) for one in ids}, (method, url)
        assert SECRET not in json.dumps(record)


def test_records_have_no_content(
    client: Client,
    make_user: Callable[..., Any],
    make_item: Callable[..., MemoryItem],
    records: Callable[[], list[dict[str, Any]]],
) -> None:
    """Neither texts nor questions; ids are digests, and a list has its number of records."""
    make_item(id="secret-id", text_content=SECRET)
    client.force_login(make_user("ada"))
    assert client.get("/api/memory-items/secret-id/").status_code == 200
    assert client.get("/api/memory-items/").status_code == 200
    assert client.get("/api/memory-items/search/", {"q": SECRET}).status_code == 200
    body = json.dumps({"item_type": "message", "text_content": SECRET})
    assert client.post("/api/memory-items/", body, "application/json").status_code == 201
    assert client.delete("/api/memory-items/secret-id/").status_code == 204
    found = records()
    assert [one["action"] for one in found] == ["read", "read", "read", "write", "erase"]
    assert [found[0]["ids"], found[4]["ids"]] == [
        [audit.digest_of("secret-id"), audit.digest_of("ada")],
        [audit.digest_of("secret-id")],
    ]
    assert found[1]["count"] == 1
    assert SECRET not in json.dumps(found)
    assert "secret-id" not in json.dumps(found)


def test_every_command_leaves_a_record(records: Callable[[], list[dict[str, Any]]]) -> None:
    """By its base class; a run that fails, too."""
    names = [name for name, app in get_commands().items() if app in ("memory", "memory.access")]
    for name in set(names) - UNRECORDED:
        app = get_commands()[name]
        command = import_module(f"{app}.management.commands.{name}").Command
        assert issubclass(command, AuditedCommand), name
    call_command("memory_export", user_id=["ada"], stdout=StringIO(), stderr=StringIO())
    with pytest.raises(CommandError):
        call_command("memory_erase")
    first, second = records()
    call_command("memory_purge", dry_run=True, stdout=StringIO())
    [third] = records()
    assert (third["action"], third["operation"]) == ("read", "memory_purge")
    assert (first["action"], first["operation"], first["outcome"]) == ("export", "memory_export", "done")
    assert first["ids"] == [audit.digest_of("ada")]
    assert (second["action"], second["outcome"]) == ("erase", "failed")


@pytest.mark.parametrize("value", ["\udcff", ["ada", "\udcff"], Path("\udcff")], ids=["text", "texts", "file"])
def test_every_command_refuses_arguments_that_are_not_utf_8(
    value: object, records: Callable[[], list[dict[str, Any]]]
) -> None:
    """In one sentence, and with a record. Python decodes such bytes of the command line to lone surrogates."""
    names = {name: app for name, app in get_commands().items() if app in ("memory", "memory.access")}
    for name in names.keys() - UNRECORDED:
        command = import_module(f"{names[name]}.management.commands.{name}").Command()
        for option in ("user_id", "output"):
            with pytest.raises(CommandError, match=f"^The argument '{option}' must be valid UTF-8.$"):
                command.execute(**{option: value})
            [record] = records()
            assert (record["operation"], record["outcome"]) == (name, "failed")
    with pytest.raises(CommandError, match="must be valid UTF-8"):
        call_command("memory_erase", "\udcff")
    with pytest.raises(CommandError, match="must be valid UTF-8"):
        call_command("memory_tokens", "create", "\udcff")


def test_every_tool_leaves_a_record(records: Callable[[], list[dict[str, Any]]]) -> None:
    """Whatever it answers: a call without arguments, which most refuse."""
    from memory.mcp import calls, protocol, server, tools

    caller = calls.Caller("ada")
    for name, tool in tools.TOOLS.items():
        message = protocol.Message(1, "tools/call", {"name": name, "arguments": {}}, protocol.VERSIONS[0])
        server.answer(message, caller)
        [record] = [one for one in records() if one["channel"] == "mcp"]
        assert (record["operation"], record["action"]) == (name, server.ACTIONS[tool.scope])
        assert record["principal"] == audit.digest_of("ada")


def test_calls_of_tools_name_what_they_are_about(
    make_item: Callable[..., MemoryItem], records: Callable[[], list[dict[str, Any]]]
) -> None:
    """Ids as digests, and how many items were read; no text. What is read of resources, too."""
    from memory.mcp import calls, protocol, resources, server

    make_item(id="one", session_id="s", text_content=SECRET)
    asked: list[tuple[str, dict[str, Any], list[str], int | None]] = [
        ("get", {"ids": ["one", "other"]}, ["one", "other"], 1),
        ("recent", {"session_id": "s"}, ["s"], 1),
        ("update", {"id": "one", "text": SECRET}, ["one"], None),
        ("forget", {"id": "one"}, ["one"], None),
    ]
    listed = protocol.Message(1, "resources/list", {}, protocol.VERSIONS[0])
    read = protocol.Message(1, "resources/read", {"uri": f"{resources.PREFIX}s"}, protocol.VERSIONS[0])
    for message, caller, outcome, count in (
        (listed, calls.Caller("ada"), "done", 1),
        (read, calls.Caller("ada"), "done", None),
        (read, calls.Caller("ada", frozenset()), "refused", None),
    ):
        with suppress(protocol.ProtocolError):
            server.answer(message, caller)
        [record] = records()
        assert (record["operation"], record["action"], record["outcome"]) == (message.method, "read", outcome)
        assert record["count"] == count
        assert record["ids"] == ([audit.digest_of("s")] if message is read else [])
    for name, arguments, ids, count in asked:
        message = protocol.Message(1, "tools/call", {"name": name, "arguments": arguments}, protocol.VERSIONS[0])
        server.answer(message, calls.Caller("ada"))
        [record] = [one for one in records() if one["channel"] == "mcp"]
        assert record["ids"] == [audit.digest_of(one) for one in ids]
        assert (record["count"], record["outcome"]) == (count, "done")
        assert SECRET not in json.dumps(record)


@pytest.mark.parametrize(("sink", "shown"), [("log", "plain"), ("log", "digests"), ("database", "plain")])
def test_ids_that_cannot_be_stored_are_recorded(
    client: Client, settings: Any, make_user: Callable[..., Any], sink: str, shown: str
) -> None:
    """A call that is refused for a lone surrogate or a null character is recorded, and answered as without a trail."""
    settings.MEMORY = {**settings.MEMORY, "AUDIT": sink, "AUDIT_IDS": shown}
    token = AccessToken.objects.issue(make_user("ada"))[1]
    odd = "\ud800\0"
    asked: list[tuple[str, dict[str, Any], int]] = [
        ("resources/read", {"uri": f"memory://sessions/{odd}"}, 400),
        *(
            ("tools/call", {"name": name, "arguments": {"text": "x", "question": "x", argument: value}}, 200)
            for name in TOOLS
            for argument, value in (("id", odd), ("session_id", odd), ("ids", [odd]))
        ),
    ]
    for method, params, status in asked:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        response = client.post(
            "/mcp", body, content_type="application/json", headers={"Authorization": f"Bearer {token}"}
        )
        assert response.status_code == status, (method, params, response.content)
    if sink == "database":
        assert AuditEntry.objects.count() == len(asked)
        assert all(entry.ids == ["\\ud800\\x00"] for entry in AuditEntry.objects.all())


def test_a_block_is_recorded(records: Callable[[], list[dict[str, Any]]]) -> None:
    """With its outcome, after it."""
    about = audit.Record(audit.PYTHON, audit.READ, "nightly summary", principal="cron", ids=("ada",))
    with audit.recorded(about):
        assert not records()
    with pytest.raises(ValueError, match="wrong"), audit.recorded(about):
        raise ValueError("wrong")
    assert [(one["operation"], one["outcome"]) for one in records()] == [
        ("nightly summary", "done"),
        ("nightly summary", "failed"),
    ]


def test_the_database_as_a_sink(settings: Any) -> None:
    """Rows, which the purge deletes when they are old; plain ids if configured; nothing without a sink."""
    settings.MEMORY = {**settings.MEMORY, "AUDIT": "database", "AUDIT_IDS": "plain", "AUDIT_DAYS": 30}
    audit.emit(audit.Record("api", "read", "GET x", "ada", "memory-items", ("1",), 1, "200"))
    entry = AuditEntry.objects.get()
    assert (entry.principal, entry.ids, entry.count) == ("ada", ["1"], 1)
    assert audit.purge() == 0
    AuditEntry._base_manager.update(at=timezone.now() - timedelta(days=31))
    assert audit.purge(dry_run=True) == 1
    assert audit.purge() == 1
    settings.MEMORY = {**settings.MEMORY, "AUDIT": None}
    audit.emit(audit.Record("api", "read", "GET x"))
    assert not AuditEntry.objects.exists()


def test_entries_are_append_only() -> None:
    """No way of the model changes or deletes one."""
    entry = AuditEntry.objects.create(channel="api", action="read")
    entry.action = "write"
    ways: list[Callable[[], Any]] = [
        entry.save,
        entry.delete,
        lambda: AuditEntry.objects.update(action="write"),
        lambda: AuditEntry.objects.filter(pk=entry.pk).delete(),
        lambda: AuditEntry.objects.bulk_update([entry], ["action"]),
    ]
    for way in ways:
        with pytest.raises(AppendOnlyError):
            way()
    assert AuditEntry.objects.get().action == "read"


def test_entries_are_rotated_by_age_and_number(settings: Any) -> None:
    """The purge keeps the newest ones, and a dry run says how many it would delete."""
    now = timezone.now()
    for days in range(6):
        AuditEntry.objects.create(channel="api", action="read", model=str(days), at=now - timedelta(days=days))
    settings.MEMORY = {**settings.MEMORY, "AUDIT_ENTRIES": 4, "AUDIT_DAYS": 5}
    assert audit.purge(dry_run=True) == 2
    assert audit.purge() == 2
    assert set(AuditEntry.objects.values_list("model", flat=True)) == {"0", "1", "2", "3"}
    settings.MEMORY = {**settings.MEMORY, "AUDIT_DAYS": 1}
    assert audit.purge() == 3
    assert audit.purge() == 0


@pytest.mark.parametrize(
    ("method", "name", "action"),
    [
        ("GET", "memory_person_erase", "read"),
        ("POST", "memory_person_erase", "erase"),
        ("GET", "memory_person_export", "export"),
        ("POST", "memory-items-search-many", "read"),
        ("DELETE", "memory-items-detail", "erase"),
        ("PATCH", "memory-items-detail", "write"),
        ("POST", "memory_purge", "erase"),
        ("GET", "memory_purge", "read"),
        ("POST", "memory-items-bulk-get", "read"),
        ("POST", "memory_evaluate", "read"),
    ],
)
def test_actions(method: str, name: str, action: str) -> None:
    """By the name, then by the method."""
    assert action_of(method, name) == action

"""No route of the API, page of the admin, or action gives one principal a byte of another: enumerated from the URLconf.

A new route, page or action is requested by itself. One whose URL needs an argument that `ARGUMENTS` lacks, or a command
that `COMMANDS` lacks, fails here until somebody has decided what it may show.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.forms.models import model_to_dict
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from memory.models import AgentData, MemoryItem, UserSession
from memory.testing.emulator import free_port

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

SECRET = "zeppelin"
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
# By the name of the argument in a URL.
ARGUMENTS = {
    "pk": ("of-ada", "ada:chat"),
    "object_id": ("of-ada", "ada:chat"),
    "app_label": ("memory",),
    "url": ("nothing",),
    "content_type_id": ("1",),
    "id": ("1",),
    "_0": ("/x/",),
    "version": ("1",),
    "user_id": ("ada",),
}
# What a command may read; all need access to the machine, which is that of the operator. And its arguments here, for
# another user if it takes one. `{port}` is a free port, `{folder}` one with the files of `FILES`.
COMMANDS: dict[str, tuple[str, list[str]]] = {
    "bootstrap": ("development only: counts", ["--port={port}"]),
    "firestore_constraints": ("markers, no texts", ["--database=memory", "--check"]),
    "firestore_indexes": ("definitions", ["--database=memory", "--check"]),
    "memory_cache": ("counts and ids", ["--verify"]),
    "memory_embed": ("counts", []),
    "memory_encrypt": ("counts and ids", ["--user=bob"]),
    "memory_erase": ("one user: counts", ["bob", "--dry-run"]),
    "memory_evaluate": (
        "files that it is given; with --feedback figures of the memories that were judged",
        ["{folder}/labelled.json", "--embedder=none"],
    ),
    "memory_export": ("what it is asked for: one user with --user-id", ["--user-id=bob"]),
    "memory_import": ("files that it is given, for one user with --user-id", ["{folder}/taken.jsonl"]),
    "memory_keys": ("counts", []),
    "memory_mcp": ("the memory of the user that it is given, to whoever starts it", ["clerk"]),
    "memory_index": ("counts and ids of users", ["--check"]),
    "memory_purge": ("counts", []),
    "memory_reembed": ("counts", ["--to=memory.testing.DeterministicEmbedder"]),
    "memory_tokens": ("names and scopes, a new token once", ["list"]),
}
RUN_TO_THEIR_END = ("bootstrap", "memory_erase", "memory_evaluate", "memory_export", "memory_mcp")
# What the clerk asks of `memory_mcp`, whose memory is empty.
ASKED = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "recent", "arguments": {}}}
# A conversation to evaluate, and records of bob that have the ids of ada's.
FILES: dict[str, Any] = {
    "labelled.json": {
        "conversations": [
            {
                "id": "c",
                "turns": [
                    {"id": "t", "session": "s", "speaker": "Bob", "time": "2026-03-01T12:00:00+00:00", "text": "Hello."}
                ],
                "questions": [{"question": "Hello?", "evidence": ["t"], "category": "plain/single"}],
            }
        ]
    },
    "taken.jsonl": {
        "model": "memory.memoryitem",
        "pk": "of-ada",
        "fields": {"user_id": "bob", "session_id": "chat", "item_type": "message", "text_content": "taken"},
    },
}
OURS = ("memory", "memory.access", "memory.backends.firestore", "orchestra")


def routes(patterns: Any, before: str = "") -> Iterator[str]:
    """The paths below some patterns, as templates: `admin/memory/memoryitem/{object_id}/change/`."""
    for pattern in patterns:
        template = pattern.pattern
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, before + made(template))
        elif isinstance(pattern, URLPattern):
            yield before + made(template)


def made(pattern: Any) -> str:
    """A pattern as a template, from Django's own way to reverse it."""
    found = get_template(pattern)
    return str(found).replace("%(", "{").replace(")s", "}")


def get_template(pattern: Any) -> str:
    from django.utils.regex_helper import normalize

    (template, _), *_ = normalize(pattern.regex.pattern)
    return template


def paths(prefix: str) -> list[str]:
    """All paths below a prefix, with each of the arguments."""
    found: list[str] = []
    for template in dict.fromkeys(routes(get_resolver().url_patterns)):
        if not template.startswith(prefix):
            continue
        names = [name for name in ARGUMENTS if f"{{{name}}}" in template]
        for values in product(*(ARGUMENTS[name] for name in names)):
            path = template
            for name, value in zip(names, values, strict=True):
                path = path.replace(f"{{{name}}}", value)
            assert "{" not in path, f"{template}: its argument has no case here"
            found.append(f"/{path}")
    return found


@pytest.fixture
def _records() -> Iterator[None]:
    """Ada's records, which nobody else sees or changes."""
    MemoryItem.objects.create(
        id="of-ada", user_id="ada", session_id="chat", item_type="message", text_content=SECRET, metadata={"a": SECRET}
    )
    AgentData.objects.create(id="of-ada", agent_id="ada", data_type="plan", content={"a": SECRET})
    UserSession.objects.filter(pk="ada:chat").update(metadata={"a": SECRET})
    before = stored()
    yield
    assert stored() == before


def stored() -> list[Any]:
    """All of Ada's records."""
    records = [*MemoryItem.objects.filter(user_id="ada"), *AgentData.objects.filter(agent_id="ada")]
    return [model_to_dict(record) for record in (*records, *UserSession.objects.filter(user_id="ada"))]


BODY = {"item_type": "message", "data_type": "plan", "session_id": "chat", "text_content": SECRET, "user_id": "ada"}


def test_there_are_routes() -> None:
    """The enumeration finds what is known."""
    assert {"/api/memory-items/", "/api/memory-items/bulk/", "/api/sessions/ada:chat/history/"} <= {
        path.rstrip("?").rstrip("/") + "/" for path in paths("api/")
    }
    assert "/admin/memory/memoryitem/of-ada/change/" in paths("admin/")


@pytest.mark.usefixtures("_records")
@pytest.mark.parametrize("method", METHODS)
def test_routes_outside_the_admin(bob: APIClient, method: str) -> None:
    """Each with each method, by another principal, by query and by body."""
    for path in paths(""):
        if path.startswith("/admin/"):
            continue
        for target in (path, f"{path}?user_id=ada&q={SECRET[:3]}", f"{path}?agent_id=ada", f"{path}?session_id=chat"):
            response = getattr(bob, method)(target, BODY if method in ("post", "put", "patch") else None, format="json")
            sent_back = json.dumps(BODY) if response.status_code == 400 else ""
            assert response.status_code < 500, (method, target)
            assert SECRET not in response.content.decode(errors="replace") or SECRET in sent_back, (method, target)


# Of every kind that a route takes, as another principal would send it: with ids, sessions and words of Ada's records.
BODIES: tuple[Any, ...] = (
    {},
    {"item_type": "message", "session_id": "chat", "text_content": "mine"},
    {"id": "of-ada", "item_type": "message"},
    {"id": "of-ada", "data_type": "plan"},
    {"data_type": "plan", "content": {"a": 1}},
    {"session_id": "chat"},
    {"metadata": {"a": 1}},
    {"ids": ["of-ada", "ada:chat"]},
    {"items": [{"id": "of-ada", "item_type": "message", "session_id": "chat"}]},
    {"items": [{"id": "of-ada", "data_type": "plan"}]},
    {"items": [{"id": "of-ada", "metadata": {"a": 1}}]},
    {"questions": [SECRET[:7]]},
    {"question": SECRET[:7], "session_id": "chat"},
    {"item_type": "message", "text_content": SECRET[:7]},
    {"items": [{"item_type": "message", "session_id": "chat", "text_content": "mine"}]},
    {"items": [{"data_type": "plan", "content": {"a": 1}}]},
    {"session_id": "another"},
)


@pytest.mark.usefixtures("_records")
def test_every_route_with_a_body_that_it_takes(bob: APIClient) -> None:
    """No route shows or changes anything. One that refuses all bodies as invalid fails until it has one here."""
    refused = []
    for path in paths("api/"):
        for method in ("post", "put", "patch"):
            answers = [getattr(bob, method)(path, body, format="json") for body in BODIES]
            statuses = {answer.status_code for answer in answers}
            assert max(statuses) < 500, (method, path)
            assert not any(SECRET in answer.content.decode(errors="replace") for answer in answers), (method, path)
            if statuses <= {400, 415}:
                refused.append((method, path))
    assert refused == [], refused


@pytest.mark.usefixtures("_records")
def test_search_by_a_body(bob: APIClient) -> None:
    """A valid body finds nothing of another principal, whatever it names."""
    for more in ({}, {"user_id": "ada"}, {"session_id": "chat"}, {"metadata_key": "a"}, {"hidden": True}):
        response = bob.post("/api/memory-items/search/", {"questions": [SECRET[:7], "a"], **more}, format="json")
        assert response.status_code == 200, more
        assert [one["results"] for one in response.json()["searches"]] == [[], []]
        assert SECRET not in response.content.decode(), more


@pytest.mark.usefixtures("_records")
def test_pages_of_the_admin(make_user: Any) -> None:
    """Each page, by staff without permissions, and each action of each of the app's models."""
    client = Client()
    client.force_login(make_user("clerk", is_staff=True))
    for path in paths("admin/"):
        for response in (client.get(path), client.post(path, {"post": "yes"})):
            assert response.status_code < 500, path
            assert SECRET not in getattr(response, "content", b"").decode(errors="replace"), path
        client.force_login(make_user_again(client))
    for model in apps.get_app_config("memory").get_models():
        if model not in admin.site._registry:
            continue
        path = f"/admin/memory/{model._meta.model_name}/"
        request: Any = client.get(path).wsgi_request
        request.user.is_superuser = True  # to enumerate all actions
        for name in admin.site._registry[model].get_actions(request):
            response = client.post(path, {"action": name, "_selected_action": ["of-ada", "ada:chat"], "index": 0})
            assert response.status_code in (302, 403), name
            assert SECRET not in b"".join(response).decode(errors="replace"), name


def make_user_again(client: Client) -> Any:
    """The clerk, since one of the pages logs out."""
    from django.contrib.auth.models import User

    return User.objects.get(username="clerk")


def test_every_command_has_a_case() -> None:
    """A new one fails here, until it is written down what it may read."""
    ours = {name for name, app in get_commands().items() if app in OURS}
    assert ours == COMMANDS.keys()


@pytest.mark.usefixtures("_records")
@pytest.mark.parametrize("name", COMMANDS)
def test_output_of_commands(
    name: str,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    make_user: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No text of a user is printed, except by an export of that user; and no record changes."""
    make_user("clerk")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(ASKED).encode())))
    for file, content in FILES.items():
        (tmp_path / file).write_text(json.dumps(content))
    arguments = [one.format(folder=tmp_path, port=free_port()) for one in COMMANDS[name][1]]
    load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(arguments)
    failure = ""
    try:
        call_command(name, *arguments)
    except CommandError as error:  # such as that of a command for another engine
        failure = str(error)
    if name in RUN_TO_THEIR_END:
        assert not failure
    written = "".join((failure, *capfd.readouterr()))
    assert SECRET not in written
    assert name != "memory_mcp" or '"items": []' in written


@pytest.mark.usefixtures("_records")
def test_an_export_of_the_user_has_the_text(capfd: pytest.CaptureFixture[str]) -> None:
    """So that the test above would find a text."""
    call_command("memory_export", "--user-id=ada")
    assert SECRET in capfd.readouterr().out

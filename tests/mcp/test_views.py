"""The endpoint over HTTP: credentials, origins, limits, and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from memory.access.models import AccessToken
from memory.backends.firestore.errors import OutcomeUnknown
from memory.mcp import server
from memory.mcp.tools import TOOLS
from memory.models import MemoryItem
from memory.version import __version__

from .conftest import MODERN, URL, Mcp, request

pytestmark = pytest.mark.django_db(databases=["default", "memory"])


def error_of(response: Any, status: int) -> Any:
    """The error of a response with this status."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    body = response.json()
    assert body.keys() == {"jsonrpc", "id", "error"}
    return body["error"]


def test_discovery(ada: Mcp) -> None:
    """What the server speaks, for how long it may be kept, and who it is."""
    result = ada.ask("server/discover")
    assert result["supportedVersions"] == [MODERN, "2025-11-25", "2025-06-18", "2025-03-26"]
    assert result["capabilities"] == {"tools": {}, "resources": {}}
    assert (result["resultType"], result["cacheScope"], result["ttlMs"] > 0) == ("complete", "private", True)
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["version"] == __version__


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26"])
def test_a_client_with_a_handshake(ada: Mcp, version: str) -> None:
    """It works without a session; results have no fields of the newer revision."""
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    result = ada.ask("initialize", hello, None)
    assert result["protocolVersion"] == version
    assert result["serverInfo"]["name"] == "orchestra-memory"
    response = ada.send({"jsonrpc": "2.0", "method": "notifications/initialized"}, version)
    assert (response.status_code, response.content) == (202, b"")
    assert ada.ask("ping", None, version) == {}
    assert ada.ask("tools/list", None, version).keys() == {"tools"}
    assert "Mcp-Session-Id" not in response


@pytest.mark.parametrize(
    ("method", "version"),
    [
        ("initialize", MODERN),
        ("ping", MODERN),
        ("server/discover", None),
        ("prompts/list", MODERN),
        ("prompts/list", None),
        ("subscriptions/listen", MODERN),
        ("logging/setLevel", None),
        ("x", MODERN),
    ],
)
def test_methods_of_other_revisions_do_not_exist(ada: Mcp, method: str, version: str | None) -> None:
    """404, -32601, with the id of the request."""
    response = ada.send(request(method, None, version), version)
    assert error_of(response, 404)["code"] == -32601
    assert response.json()["id"] == 7


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head", "options"])
def test_there_is_no_stream_and_no_session(ada: Mcp, method: str) -> None:
    """405, with the method that is allowed."""
    response = getattr(ada.client, method)(URL, headers={"Authorization": f"Bearer {ada.secret}"})
    assert response.status_code == 405
    assert response["Allow"] == "POST"


def test_a_trailing_slash_is_optional(ada: Mcp) -> None:
    """As in the API."""
    raw = json.dumps(request("ping", None, None))
    headers = {"Authorization": f"Bearer {ada.secret}"}
    assert ada.client.post("/mcp/", raw, content_type="application/json", headers=headers).status_code == 200


# Credentials


@pytest.mark.parametrize("secret", ["", "mem_wrong", "ümlaut"])
def test_credentials_are_needed(client: Client, db: None, secret: str) -> None:
    """401, which asks for a bearer token; a session of the browser is none."""
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    response = client.post(URL, json.dumps(request("ping", None, None)), "application/json", headers=headers)
    assert error_of(response, 401)["code"] == -32000
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_browsers_session_is_not_enough(client: Client, make_user: Callable[..., Any]) -> None:
    """A page cannot use it."""
    client.force_login(make_user("ada"))
    assert client.post(URL, json.dumps(request("ping", None, None)), "application/json").status_code == 401


def test_expired_tokens_are_refused(mcp_for: Callable[..., Mcp], make_user: Callable[..., Any]) -> None:
    """And those of inactive users."""
    user = make_user("ada")
    expired = mcp_for(user, expires=timezone.now() - timedelta(seconds=1))
    assert "expired" in error_of(expired.send(request("tools/list")), 401)["message"]
    good = mcp_for(user)
    assert good.ask("tools/list")
    user.is_active = False
    user.save()
    error_of(good.send(request("tools/list")), 401)


@pytest.mark.parametrize("scope", ["read", "write", "forget"])
def test_a_token_has_the_tools_of_its_scopes(mcp_for: Callable[..., Mcp], scope: str) -> None:
    """Others are not listed, and calling one is a 403 that names the scope."""
    MemoryItem.objects.create(id="one", user_id="ada", item_type="m", session_id="s", text_content="x")
    one = mcp_for("ada", scopes=[scope])
    listed = {tool["name"] for tool in one.ask("tools/list")["tools"]}
    assert listed == {name for name, tool in TOOLS.items() if tool.scope == scope}
    for name in TOOLS.keys() - listed:
        body = request("tools/call", {"name": name, "arguments": {"id": "one", "text": "changed", "ids": ["one"]}})
        response = one.send(body)
        assert error_of(response, 403)["data"] == {"scope": TOOLS[name].scope}
        assert response["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{TOOLS[name].scope}"'
    for method in ("resources/list", "resources/templates/list", "resources/read"):
        body = request(method, {"uri": "memory://sessions/s"})
        assert one.send(body).status_code == (200 if scope == "read" else 403)
    assert MemoryItem.objects.get().text_content == "x"


def test_a_token_for_one_user(mcp_for: Callable[..., Mcp], make_user: Callable[..., Any]) -> None:
    """One who may act for all gets the memory of that user only; another is refused."""
    MemoryItem.objects.create(user_id="eve", item_type="m", session_id="s", text_content="eves")
    operator = make_user("operator", permissions=("act_for_any_user",))
    assert [one["text"] for one in mcp_for(operator, owner="eve").call("recent")["items"]] == ["eves"]
    assert mcp_for(operator).call("recent")["items"] == []
    assert mcp_for("ada", owner="eve").send(request("tools/list")).status_code == 401


def test_requests_are_throttled(ada: Mcp, settings: Any) -> None:
    """With the rates of the API: 429 with the seconds to wait; guessed tokens count by address."""
    settings.REST_FRAMEWORK = {
        **settings.REST_FRAMEWORK,
        "DEFAULT_THROTTLE_RATES": {"memory-user": "3/hour", "memory-anonymous": "2/hour"},
    }
    statuses = [ada.send(request("tools/list")).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    response = ada.send(request("tools/list"))
    assert error_of(response, 429)["code"] == -32000
    assert int(response["Retry-After"]) > 0
    assert response["RateLimit-Policy"] == '"memory-user";q=3;w=3600'
    assert response["RateLimit"].startswith('"memory-user";r=0;t=')
    guesses = [Mcp("mem_guess").send(request("tools/list")).status_code for _ in range(3)]
    assert guesses == [401, 401, 429]


def test_a_call_that_is_sent_again_stores_nothing_twice(ada: Mcp) -> None:
    """With an id of the caller's own: a client whose answer was lost learns that the item is there."""
    assert ada.call("add", id="note-1", text="I keep bees.")["id"] == "note-1"
    assert "already" in ada.failure("add", id="note-1", text="I keep bees.")
    assert MemoryItem.objects.filter(user_id="ada").count() == 1


def test_there_is_no_metadata_of_oauth(ada: Mcp) -> None:
    """RFC 9728's document must name an authorization server, which there is none: a 401 points to no document."""
    response = Mcp("mem_guess").send(request("tools/list"))
    assert response["WWW-Authenticate"] == 'Bearer realm="memory"'
    for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
        assert Client().get(path).status_code == 404


# Origins


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://testserver", 200),
        ("https://app.example.com", 200),
        ("https://testserver", 403),
        ("http://testserver:81", 403),
        ("http://testserver.evil.example", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("x", 403),
        ("http://[", 403),
        ("http://[::1", 403),
        ("http://testserver\u2100", 403),
    ],
)
def test_pages_of_other_sites_are_refused(ada: Mcp, settings: Any, origin: str, status: int) -> None:
    """Before anything else: an allowed origin is this host's, or configured."""
    settings.MEMORY = {**settings.MEMORY, "MCP_ORIGINS": ["https://app.example.com"]}
    response = ada.send(request("tools/list"), Origin=origin)
    assert response.status_code == status
    if status == 403:
        assert "MCP_ORIGINS" in error_of(response, 403)["message"]


# Bodies


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b" ", 400, -32700),
        (b"{", 400, -32700),
        (b"\xff", 400, -32700),
        (b'{"a": NaN}', 400, -32700),
        (b'{"a": 1, "a": 2}', 400, -32700),
        (b"[" * 50_000, 400, -32700),
        (b"[" + b"{}," * 200_000 + b"{}]", 400, -32700),
        (b"[]", 400, -32600),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', 400, -32600),
        (b'"x"', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "result": {}}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', 400, -32602),
        (b'{"jsonrpc": "2.0", "id": ' + b"9" * 5_000 + b', "method": "ping"}', 400, -32700),
    ],
)
def test_malformed_bodies(ada: Mcp, body: bytes, status: int, code: int) -> None:
    """Errors of JSON-RPC with the status of HTTP."""
    assert error_of(ada.send(body, None), status)["code"] == code


def test_large_bodies_are_refused(ada: Mcp, settings: Any) -> None:
    """The limit of a record's body in the API; one byte below it is read."""
    settings.MEMORY = {**settings.MEMORY, "MAX_RECORD_BYTES": 2_000}
    body = json.dumps(request("ping", None, None)).encode()
    assert ada.send(body + b" " * (2_000 - len(body)), None).status_code == 200
    error = error_of(ada.send(body + b" " * (2_001 - len(body)), None), 413)
    assert (error["code"], error["data"]) == (-32700, {"code": "body_too_large"})


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"]
)
def test_other_content_types_are_refused(ada: Mcp, content_type: str) -> None:
    """415."""
    headers = {"Content-Type": content_type}
    assert error_of(ada.send(request("tools/list"), **headers), 415)["code"] == -32000


def test_json_with_a_charset_is_accepted(ada: Mcp) -> None:
    """As `application/json`."""
    assert ada.send(request("tools/list"), **{"Content-Type": "application/json; charset=utf-8"}).status_code == 200


def test_a_client_must_accept_json(ada: Mcp) -> None:
    """406 otherwise; the response is never a stream."""
    assert ada.send(request("tools/list"), Accept="text/event-stream").status_code == 406
    for accept in ("application/json", "*/*", ""):
        assert ada.send(request("tools/list"), Accept=accept).status_code == 200


def test_a_chunked_body_is_refused(ada: Mcp) -> None:
    """411: without a length it would be ignored."""
    response = ada.client.generic(
        "POST",
        URL,
        b"",
        "application/json",
        headers={"Authorization": f"Bearer {ada.secret}"},
        HTTP_TRANSFER_ENCODING="chunked",
        CONTENT_LENGTH="",
    )
    assert error_of(response, 411)["data"] == {"code": "length_required"}


# Methods


@pytest.mark.parametrize(
    "uri", ["memory://sessions/none", "memory://sessions/", "memory://x", "file:///etc/passwd", "\0"]
)
def test_a_resource_that_does_not_exist(ada: Mcp, uri: str) -> None:
    """-32602 with the address; -32002 in earlier revisions."""
    error = error_of(ada.send(request("resources/read", {"uri": uri})), 400)
    assert (error["code"], error["data"]) == (-32602, {"uri": uri})
    assert error_of(ada.send(request("resources/read", {"uri": uri}, None), "2025-11-25"), 400)["code"] == -32002


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {}),
        ("tools/call", {"name": "none"}),
        ("tools/list", {"cursor": "x"}),
        ("resources/list", {"cursor": "x"}),
        ("resources/list", {"cursor": 5}),
        ("resources/read", {}),
    ],
)
def test_wrong_parameters(ada: Mcp, method: str, params: dict[str, Any]) -> None:
    """-32602."""
    assert error_of(ada.send(request(method, params)), 400)["code"] == -32602


def test_a_storage_that_is_away_is_an_error_of_the_tool(ada: Mcp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is the API's, without the driver's text."""

    def fail(*args: Any, **options: Any) -> None:
        raise OperationalError("host 10.0.0.1 password")

    monkeypatch.setattr("memory.history.recent", fail)
    assert ada.failure("recent") == "The storage is unavailable. Try again later."
    response = ada.send(request("resources/read", {"uri": "memory://sessions/s"}))
    assert response.status_code == 400  # there is no such session: nothing was read


def test_an_unknown_outcome_names_the_id(ada: Mcp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The item may be stored: the model can look, and does not add it a second time."""
    sent: list[str] = []

    def lost(self: MemoryItem, *args: Any, **options: Any) -> None:
        sent.append(self.pk)
        raise OutcomeUnknown("host 10.0.0.1")

    monkeypatch.setattr(MemoryItem, "save", lost)
    message = ada.failure("add", text="tea at five")
    assert "may have been applied" in message
    assert sent[0] in message
    assert "10.0.0.1" not in message


def test_an_unexpected_error_is_logged_and_not_shown(
    ada: Mcp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In a tool as an error of the tool, elsewhere as -32603."""

    def fail(*args: Any, **options: Any) -> None:
        raise LookupError("a secret")

    monkeypatch.setattr("memory.history.recent", fail)
    assert "secret" not in ada.failure("recent")
    monkeypatch.setitem(server.METHODS, "tools/list", server.Method(fail))  # type: ignore[arg-type]
    error = error_of(ada.send(request("tools/list")), 500)
    assert (error["code"], "secret" in error["message"]) == (-32603, False)
    assert caplog.text.count("a secret") >= 2


def test_a_failed_call_writes_nothing(ada: Mcp) -> None:
    """An id that is taken."""
    ada.call("add", text="first", id="one")
    assert ada.failure("add", text="second", id="one")
    assert MemoryItem.objects.get().text_content == "first"
    assert AccessToken.objects.count() == 1

"""The error format, validation of bodies and parameters, and mapping of exceptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import NotSupportedError, OperationalError
from django.test import Client, RequestFactory
from rest_framework.test import APIClient

from memory.models import MemoryItem

from .conftest import codes

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEMS = "/api/memory-items/"


def send(client: APIClient, body: bytes, content_type: str = "application/json", path: str = ITEMS) -> Any:
    return client.generic("POST", path, body, content_type=content_type)


BODIES = {
    "nothing": (b"", "required"),
    "half": (b'{"item_type": ', "invalid_json"),
    "NaN": (b'{"item_type": "m", "metadata": {"a": NaN}}', "invalid_json"),
    "Infinity": (b'{"item_type": "m", "metadata": {"a": -Infinity}}', "invalid_json"),
    "too large for a double": (b'{"item_type": "m", "metadata": {"a": 1e999}}', "invalid_json"),
    "digits without end": (b'{"item_type": "m", "metadata": {"a": ' + b"9" * 5000 + b"}}", "invalid_json"),
    "a key twice": (b'{"item_type": "m", "item_type": "n"}', "invalid_json"),
    "a key twice, deep": (b'{"item_type": "m", "metadata": {"a": [{"b": 1, "b": 2}]}}', "invalid_json"),
    "no UTF-8": (b'{"item_type": "\xff"}', "invalid_encoding"),
    "an encoded surrogate": (b'{"item_type": "\xed\xa0\x80"}', "invalid_encoding"),
    "too deep": (b'{"item_type": "m", "metadata": ' + b'{"a":' * 10_000, "too_deep"),
    "a list": (b"[]", "invalid"),
    "a text": (b'"item_type"', "invalid"),
    "null": (b"null", "null"),
}


@pytest.mark.parametrize("case", BODIES)
def test_invalid_body_is_rejected_with_a_code(ada: APIClient, case: str) -> None:
    """400; errors of the whole body are reported under `body`."""
    body, code = BODIES[case]
    response = send(ada, body)
    assert response.status_code == 400
    assert code in [found for problems in codes(response).values() for found in problems]
    assert list(codes(response)) == (["item_type"] if case == "nothing" else ["body"])


FIELDS: dict[str, tuple[str, Any, str]] = {
    "a number as text": ("item_type", 5, "invalid"),
    "true as text": ("item_type", True, "invalid"),
    "a list as text": ("text_content", ["a"], "invalid"),
    "blank": ("item_type", "", "blank"),
    "null": ("item_type", None, "null"),
    "too long": ("item_type", "x" * 256, "max_length"),
    "a lone surrogate": ("text_content", "\ud800", "surrogate_characters_not_allowed"),
    "a lone surrogate in a map": ("metadata", {"a": "\ud800"}, "invalid_json"),
    "a map that is a list": ("metadata", [], "not_a_map"),
    "a map that is null": ("metadata", None, "null"),
    "21 levels": ("metadata", json.loads('{"a":' * 21 + "1" + "}" * 21), "invalid_json"),
    "30 levels": ("metadata", json.loads('{"a":' * 30 + "1" + "}" * 30), "invalid_json"),
    "a time as a number": ("timestamp", 1700000000, "invalid"),
    "a time without offset": ("timestamp", "2026-01-31T12:00:00", "invalid"),
    "a date": ("timestamp", "2026-01-31", "invalid"),
    "an impossible date": ("timestamp", "2026-02-30T12:00:00Z", "invalid"),
    "a time before the year 1": ("timestamp", "0001-01-01T00:00:00+14:00", "out_of_range"),
    "a time after the year 9999": ("expiration", "9999-12-31T23:59:59-00:01", "out_of_range"),
    "the year 0": ("timestamp", "0000-01-01T00:00:00Z", "out_of_range"),
    "a vector of text": ("embedding", ["1"], "not_a_vector"),
    "a vector of booleans": ("embedding", [True], "not_a_vector"),
    "a vector as text": ("embedding", "[1]", "invalid"),
    "an empty vector": ("embedding", [], "wrong_dimension"),
    "a vector too long": ("embedding", [0.0] * 2049, "wrong_dimension"),
    "a number above all doubles": ("embedding", [10**400], "not_finite"),
    "a read-only field": ("content_hash", "x", "unknown"),
    "an unknown field": ("role", "user", "unknown"),
    "a document above a megabyte": ("text_content", "x" * 1_048_577, "too_large"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_invalid_field_is_named(ada: APIClient, case: str) -> None:
    """400 with the field's name; nothing is written."""
    field, value, code = FIELDS[case]
    response = send(ada, json.dumps({"item_type": "message", field: value}).encode())
    assert response.status_code == 400
    assert list(codes(response)) == [field]
    assert code in codes(response)[field]
    assert field in response.json()["error"]["message"]
    assert not MemoryItem.all_objects.exists()


def test_all_invalid_fields_are_reported_together(ada: APIClient) -> None:
    """Unknown fields included."""
    response = ada.post(ITEMS, {"text_content": 1, "colour": "red"}, format="json")
    assert codes(response) == {"text_content": ["invalid"], "item_type": ["required"], "colour": ["unknown"]}


def test_unknown_names_are_escaped_and_truncated(ada: APIClient) -> None:
    """Names from clients cannot break or inflate the response."""
    response = send(ada, json.dumps({"item_type": "m", "\ud800": 1, "x" * 5000: 1}).encode())
    assert response.status_code == 400
    assert codes(response) == {"\\ud800": ["unknown"], "x" * 100 + "…": ["unknown"]}


def test_body_size_is_limited(ada: APIClient, settings: Any) -> None:
    """Larger bodies are rejected before they are parsed."""
    settings.MEMORY = {**settings.MEMORY, "MAX_BODY_BYTES": 1000}
    assert send(ada, b'{"item_type": "m"}' + b" " * 982).status_code == 201
    response = send(ada, b'{"item_type": "m"}' + b" " * 983)
    assert response.status_code == 400
    assert codes(response) == {"body": ["body_too_large"]}


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_only_json_is_accepted(ada: APIClient, content_type: str) -> None:
    """Other content types return 415."""
    response = send(ada, b'{"item_type": "m"}', content_type)
    assert response.status_code == 415
    assert response.json()["error"]["code"] == "unsupported_media_type"


def test_chunked_body_is_rejected(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """411: without Content-Length, WSGI would not read the body."""
    item = make_item()
    response = ada.generic(
        "PATCH", f"{ITEMS}{item.pk}/", b"", HTTP_TRANSFER_ENCODING="chunked", content_type="application/json"
    )
    assert response.status_code == 411
    assert response.json()["error"]["code"] == "length_required"


def test_error_format_of_other_statuses(ada: APIClient) -> None:
    """404, 405 and 406 have the same format."""
    for response, status, code in (
        (ada.get(f"{ITEMS}none/"), 404, "not_found"),
        (ada.delete(ITEMS), 405, "method_not_allowed"),
        (ada.get(f"{ITEMS}bulk/"), 405, "method_not_allowed"),
        (ada.options(ITEMS), 405, "method_not_allowed"),
        (ada.get(ITEMS, HTTP_ACCEPT="text/html"), 406, "not_acceptable"),
        (ada.get("/api/nothing/here"), 404, "not_found"),
    ):
        assert response.status_code == status
        assert response.json()["error"].keys() == {"code", "message", "fields", "request_id"}
        assert (response.json()["error"]["code"], response.json()["error"]["fields"]) == (code, {})


def test_missing_or_invalid_credentials_return_401(client: Client) -> None:
    """401 with WWW-Authenticate for missing, wrong and malformed tokens."""
    for header in (None, "Token nobody-has-this", "Token", "Token a b"):
        response = client.get(ITEMS, headers={"Authorization": header} if header else {})
        assert response.status_code == 401
        assert response["WWW-Authenticate"] == "Token"
        assert response.json()["error"]["code"] in ("not_authenticated", "authentication_failed")


PARAMETERS: dict[str, tuple[str, list[str]]] = {
    "colour=red": ("colour", ["unknown"]),
    "format=json": ("format", ["unknown"]),
    "page=2": ("page", ["unknown"]),
    "item_type=": ("item_type", ["blank"]),
    "limit=": ("limit", ["blank"]),
    "item_type=a&item_type=b": ("item_type", ["repeated"]),
    "limit=0": ("limit", ["invalid"]),
    "limit=-1": ("limit", ["invalid"]),
    "limit=201": ("limit", ["invalid"]),
    "limit=ten": ("limit", ["invalid"]),
    "limit=1.0": ("limit", ["invalid"]),
    "limit=%D9%A5": ("limit", ["invalid"]),
    "limit=" + "9" * 5000: ("limit", ["invalid"]),
    "cursor=x": ("cursor", ["invalid_cursor"]),
    "cursor=%C3%A9": ("cursor", ["invalid_cursor"]),
    "cursor=W10": ("cursor", ["invalid_cursor"]),
    "cursor=WzEsMiwzLDRd": ("cursor", ["invalid_cursor"]),
    "cursor=" + "W1tb" * 20_000: ("cursor", ["invalid_cursor"]),
    "ordering=id": ("ordering", ["invalid"]),
    "since=yesterday": ("since", ["invalid"]),
    "since=2026-01-31T12:00:00": ("since", ["invalid"]),
    "since=2026-01-31T12:00:00+01:00": ("since", ["invalid"]),
    "since=0001-01-01T00:00:00%2B01:00": ("since", ["out_of_range"]),
    "until=2026-13-31T12:00:00Z": ("until", ["invalid"]),
    "user_id=a%00": ("user_id", ["null_characters_not_allowed"]),
    "metadata_value=5": ("metadata_key", ["required"]),
    "metadata_key=a&metadata_value=[1]": ("metadata_value", ["invalid"]),
    "metadata_key=a&metadata_value=" + "9" * 30: ("metadata_value", ["invalid"]),
    'metadata_key=a&metadata_value="%5Cud800"': ("metadata_value", ["invalid"]),
    'metadata_key=a&metadata_value="%5Cu0000"': ("metadata_value", ["null_characters_not_allowed"]),
}


@pytest.mark.parametrize("query", PARAMETERS, ids=lambda query: query[:40])
def test_invalid_parameter_is_named(ada: APIClient, query: str) -> None:
    """400; invalid parameters are neither ignored nor clamped."""
    name, problems = PARAMETERS[query]
    response = ada.get(f"{ITEMS}?{query}")
    assert response.status_code == 400
    assert codes(response) == {name: problems}


@pytest.mark.parametrize("path", [f"{ITEMS}x/", "/api/sessions/ada:a/history/", f"{ITEMS}bulk/"])
def test_list_parameters_are_unknown_in_other_actions(ada: APIClient, path: str) -> None:
    """A filter without effect is an error."""
    method = ada.post if path.endswith("bulk/") else ada.get
    assert codes(method(f"{path}?item_type=a")) == {"item_type": ["unknown"]}


@pytest.fixture
def fail_list(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """A function that makes the list of items raise an exception."""
    from memory.api.viewsets import MemoryItemViewSet

    def fail(error: Exception) -> None:
        def get_queryset(self: Any) -> Any:
            raise error

        monkeypatch.setattr(MemoryItemViewSet, "get_queryset", get_queryset)

    return fail


def test_unhandled_exception_is_logged_and_not_exposed(
    ada: APIClient, fail_list: Callable[[Exception], None], caplog: pytest.LogCaptureFixture
) -> None:
    """500 in the error format; the traceback is only logged."""
    fail_list(RuntimeError("password=hunter2"))
    ada.raise_request_exception = False
    response = ada.get(ITEMS)
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "server_error"
    assert b"hunter2" not in response.content
    assert "hunter2" in caplog.text


def test_unavailable_storage_is_503(
    ada: APIClient, fail_list: Callable[[Exception], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The response has Retry-After and no details."""
    fail_list(OperationalError("host db.internal is down"))
    response = ada.get(ITEMS)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "unavailable"
    assert int(response["Retry-After"]) > 0
    assert b"db.internal" not in response.content
    assert "db.internal" in caplog.text


def test_query_that_storage_refuses_is_400(
    ada: APIClient, fail_list: Callable[[Exception], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The client can narrow a query that is too broad; the exceeded limit is logged."""
    fail_list(NotSupportedError("mirror_limit is 5000"))
    response = ada.get(ITEMS)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "too_broad"
    assert b"mirror_limit" not in response.content
    assert "mirror_limit" in caplog.text


def test_forged_host_is_a_bad_request(rf: RequestFactory, ada: APIClient) -> None:
    """Links are built from the Host header, so unknown hosts are rejected in the error format."""
    response = ada.get(ITEMS, HTTP_HOST="evil.example")
    assert response.status_code == 400


ADVICE: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown field": ({"method": "POST", "json": {"item_type": "m", "text": "a"}}, ITEMS, "session_id, timestamp"),
    "a list": ({"method": "POST", "json": [{"item_type": "m"}]}, ITEMS, "an object with item_type, but got a list"),
    "a list of many": ({"method": "POST", "json": []}, f"{ITEMS}bulk/", "an object with items, but got a list"),
    "a text among many": ({"method": "POST", "json": {"items": ["a"]}}, f"{ITEMS}bulk/", "but got a string"),
    "an unknown parameter": ({}, f"{ITEMS}?user=ada", "There are: as_of, cursor"),
    "a parameter of nothing": ({}, f"{ITEMS}a/?user=ada", "none here"),
    "another question": ({}, f"{ITEMS}search/?query=tea", "q, recency"),
    "another method": ({"method": "DELETE"}, ITEMS, "Allowed: GET, POST."),
    "another type": (
        {"method": "POST", "data": "a=1", "type": "text/plain"},
        ITEMS,
        "'Content-Type: application/json'",
    ),
    "another answer": ({"accept": "text/html"}, ITEMS, "application/json"),
    "a session's session_id": ({}, "/api/sessions/monday/history/", "user_id:session_id"),
}


@pytest.mark.parametrize("case", ADVICE)
def test_the_message_says_what_to_send(ada: APIClient, case: str) -> None:
    """To a program's author, who made the usual mistakes."""
    sent, path, advice = ADVICE[case]
    body = json.dumps(sent["json"]) if "json" in sent else sent.get("data", "")
    response = ada.generic(
        sent.get("method", "GET"),
        path,
        body,
        content_type=sent.get("type", "application/json"),
        headers={"Accept": sent.get("accept", "*/*")},
    )
    assert 400 <= response.status_code < 500
    assert advice in response.content.decode()


@pytest.mark.parametrize(
    "header", [{}, {"X-API-Key": "mem_a"}, {"Authorization": "mem_a"}, {"Authorization": "Basic a"}]
)
def test_a_request_without_a_token_is_told_the_header(header: dict[str, str]) -> None:
    """Also if the token is in another one, or without its scheme."""
    response = APIClient().get(ITEMS, headers=header)
    assert response.status_code == 401
    assert "'Authorization: Token <token>'" in response.json()["error"]["message"]

"""OpenAPI and its pages: complete, valid, from this service alone."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.validation import validate_schema

from memory.api.documentation import openapi
from memory.version import __version__


@pytest.fixture
def schema(client: Client) -> dict[str, Any]:
    """The schema as it is served."""
    served: dict[str, Any] = client.get("/api/schema/?format=json").json()
    return served


def operations(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, found) for path, methods in schema["paths"].items() for method, found in methods.items()]


def test_it_is_made_without_a_warning() -> None:
    """By the project's command, which validates it."""
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_it_is_open_valid_and_complete(schema: dict[str, Any]) -> None:
    """Nobody has to log in to read it."""
    validate_schema(schema)
    assert schema["info"]["version"] == __version__
    paths = {path for path, _, _ in operations(schema) if "health" not in path}
    record = {f"/api/{name}/" for name in ("memory-items", "agent-data", "sessions")}
    assert paths == {
        *record,
        *(f"{path}{{id}}/" for path in record),
        "/api/memory-items/bulk/",
        "/api/memory-items/check-duplicate/",
        "/api/memory-items/search/",
        "/api/sessions/{id}/history/",
    }


def test_every_operation_is_told_with_examples(schema: dict[str, Any]) -> None:
    """Summary, tag, an example of what is sent and of what is answered, and the shape of errors."""
    for path, method, operation in operations(schema):
        if "health" in path:
            continue
        assert operation["summary"], (path, method)
        assert operation["tags"][0] in {tag["name"] for tag in schema["tags"]}
        if method in ("post", "put", "patch"):
            assert operation["requestBody"]["content"]["application/json"]["examples"], (path, method)
        for status, response in operation["responses"].items():
            if status.startswith("2") and status != "204":
                assert response["content"]["application/json"]["examples"], (path, method)
            if not status.startswith("2"):
                assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}


def test_it_comes_as_yaml_too(client: Client) -> None:
    """OpenAPI's usual form, by default."""
    answer = client.get("/api/schema/")
    assert answer.status_code == 200
    assert answer.content.startswith(b"openapi: 3")


@pytest.mark.parametrize("page", ["docs", "redoc"])
def test_its_pages_load_nothing_from_elsewhere(client: Client, page: str) -> None:
    """Every asset is a static file that is there; no script stands in the page."""
    html = client.get(f"/api/{page}/").content.decode()
    urls = re.findall(r'(?:src|href|spec-url)="([^"]+)"', html)
    assert "//" not in "".join(urls)
    assets = [url for url in urls if url.startswith("/static/")]
    assert len(assets) >= 2
    for url in assets:
        assert finders.find(url.removeprefix("/static/")), url
    assert "script-src 'self';" in client.get(f"/api/{page}/")["Content-Security-Policy"]
    assert "<style" not in html
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert "http://" not in html
    assert "https://" not in html


def test_the_page_of_swagger_knows_where_the_schema_is(client: Client) -> None:
    """Its script, which is served apart from it."""
    html = client.get("/api/docs/").content.decode()
    script = re.search(r'src="([^"]*script[^"]*)"', html)
    assert script
    answer = client.get(script[1])
    assert answer["Content-Type"].startswith("application/javascript")
    assert b"/api/schema/" in answer.content or b"api/schema" in answer.content


def test_the_projects_own_settings_stay_as_they_are(client: Client) -> None:
    """Making our schema changes nothing of a schema that the project serves."""
    openapi.cache_clear()
    before = spectacular_settings.TITLE, spectacular_settings.POSTPROCESSING_HOOKS
    client.get("/api/schema/")
    assert before == (spectacular_settings.TITLE, spectacular_settings.POSTPROCESSING_HOOKS)


def test_examples_are_what_the_api_answers(schema: dict[str, Any]) -> None:
    """Each example has the fields that its schema requires, and no others."""
    for path, _, operation in operations(schema):
        if "health" in path:
            continue
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                for example in content.get("examples", {}).values():
                    assert set(example["value"]) == set(resolve(schema, content["schema"])["properties"]), (
                        path,
                        status,
                    )


def resolve(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    name = part["$ref"].rpartition("/")[2]
    found: dict[str, Any] = schema["components"]["schemas"][name]
    return json.loads(json.dumps(found))

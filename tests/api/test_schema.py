"""The OpenAPI schema and its pages: complete, valid, without other hosts."""

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
    """The served schema."""
    served: dict[str, Any] = client.get("/api/schema/?format=json").json()
    return served


def operations(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, found) for path, methods in schema["paths"].items() for method, found in methods.items()]


def test_schema_is_generated_without_warnings() -> None:
    """The command `spectacular` generates and validates it."""
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_schema_is_public_valid_and_complete(schema: dict[str, Any]) -> None:
    """It needs no authentication and has all paths."""
    validate_schema(schema)
    assert schema["info"]["version"] == __version__
    paths = {path for path, _, _ in operations(schema) if "health" not in path}
    record = {f"/api/{name}/" for name in ("memory-items", "agent-data", "sessions")}
    assert paths == {
        *record,
        *(f"{path}{{id}}/" for path in record),
        *(f"/api/{name}/bulk/{more}" for name in ("memory-items", "agent-data") for more in ("", "get/", "delete/")),
        "/api/memory-items/check-duplicate/",
        "/api/memory-items/context/",
        "/api/memory-items/search/",
        "/api/people/{user_id}/erase/",
        "/api/sessions/{id}/history/",
    }


def test_every_operation_is_documented_with_examples(schema: dict[str, Any]) -> None:
    """Each has a summary, a tag, examples of request and response, and the error format."""
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
            if status == "304":
                assert "content" not in response
            elif not status.startswith("2"):
                assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}


def test_schema_is_yaml_by_default(client: Client) -> None:
    """Without `format`, the schema is YAML."""
    response = client.get("/api/schema/")
    assert response.status_code == 200
    assert response.content.startswith(b"openapi: 3")


@pytest.mark.parametrize("page", ["docs", "redoc"])
def test_pages_load_only_local_assets(client: Client, page: str) -> None:
    """All assets are existing static files, and no script is inline."""
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


def test_swagger_script_contains_the_schema_url(client: Client) -> None:
    """The script has a separate URL."""
    html = client.get("/api/docs/").content.decode()
    script = re.search(r'src="([^"]*script[^"]*)"', html)
    assert script
    response = client.get(script[1])
    assert response["Content-Type"].startswith("application/javascript")
    assert b"/api/schema/" in response.content or b"api/schema" in response.content


def test_project_settings_are_not_changed(client: Client) -> None:
    """Generating the schema does not change drf-spectacular's global settings."""
    openapi.cache_clear()
    before = spectacular_settings.TITLE, spectacular_settings.POSTPROCESSING_HOOKS
    client.get("/api/schema/")
    assert before == (spectacular_settings.TITLE, spectacular_settings.POSTPROCESSING_HOOKS)


def test_examples_match_the_schema(schema: dict[str, Any]) -> None:
    """Each example has exactly the fields of its schema."""
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

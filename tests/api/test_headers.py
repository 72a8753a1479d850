"""Headers of all responses: the limits of the rate, and those for scripts of other websites."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from memory.api.headers import REQUEST_HEADERS, RESPONSE_HEADERS
from memory.api.throttling import AnonymousThrottle, UserThrottle

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEMS = "/api/memory-items/"


@pytest.fixture
def _three_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    for throttle in (UserThrottle, AnonymousThrottle):
        monkeypatch.setattr(throttle, "get_rate", lambda self: "3/min")


def limits_of(response: Any) -> tuple[str, int, int]:
    """The policy, what is left, and for how many seconds; the names of both fields are equal."""
    policy, limit = response["RateLimit-Policy"], response["RateLimit"]
    found = re.fullmatch(r'("[a-z-]+");r=(\d+);t=(\d+)', limit)
    assert found, limit
    assert policy.startswith(f"{found[1]};")
    return policy, int(found[2]), int(found[3])


@pytest.mark.usefixtures("_three_a_minute")
def test_limits(ada: APIClient) -> None:
    """They count down, in errors too, and a 429 agrees with `Retry-After`."""
    answers = [ada.get(ITEMS), ada.post(ITEMS, {"item_type": 5}, "json"), ada.get(f"{ITEMS}none/"), ada.get(ITEMS)]
    assert [answer.status_code for answer in answers] == [200, 400, 404, 429]
    found = [limits_of(answer) for answer in answers]
    assert [left for _, left, _ in found] == [2, 1, 0, 0]
    assert {policy for policy, _, _ in found} == {'"memory-user";q=3;w=60'}
    assert all(0 < seconds <= 60 for _, _, seconds in found)
    assert abs(int(answers[3]["Retry-After"]) - found[3][2]) <= 1


@pytest.mark.usefixtures("_three_a_minute")
def test_limits_without_credentials(client: APIClient) -> None:
    """By address; those of a wrong token, too."""
    assert limits_of(client.get(ITEMS))[:2] == ('"memory-anonymous";q=3;w=60', 2)
    assert limits_of(client.get(ITEMS, headers={"Authorization": "Token wrong"}))[1] == 1


def test_without_a_limit(ada: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no such headers."""
    monkeypatch.setattr(UserThrottle, "get_rate", lambda self: None)
    assert not {"RateLimit", "RateLimit-Policy"} & set(ada.get(ITEMS).headers)


def test_headers_of_the_schema(ada: APIClient) -> None:
    """The lists for scripts of other websites have every header that the schema has."""
    schema = ada.get("/api/schema/?format=json").json()
    operations = [operation for methods in schema["paths"].values() for operation in methods.values()]
    sent = {
        parameter["name"].lower()
        for operation in operations
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "header"
    }
    received = {
        name.lower()
        for operation in operations
        for response in operation["responses"].values()
        for name in response.get("headers", {})
    }
    assert sent < set(REQUEST_HEADERS)
    assert received - {"www-authenticate"} == set(RESPONSE_HEADERS) - {"server-timing"}


CORS = """
import json
import django

django.setup()
from django.test import Client

def ask(origin, method="get", path="/api/health/live", **headers):
    return dict(getattr(Client(headers={"origin": origin, **headers}), method)(path).headers)

asked = {"access-control-request-method": "PATCH", "access-control-request-headers": "if-match,authorization"}
print(json.dumps([
    ask("https://app.example.org"),
    ask("https://evil.example.org"),
    ask("https://app.example.org", "options", "/api/memory-items/a/", **asked),
    ask("https://app.example.org", path="/admin/login/"),
]))
"""


def answers(origins: str) -> list[dict[str, str]]:
    environment = {
        "PATH": "/usr/bin:/bin", "ENV_FILE": "/dev/null", "APP_ENV": "test", "DJANGO_SETTINGS_MODULE": "settings",
        "CORS_ALLOWED_ORIGINS": origins,
    }  # fmt: skip
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CORS], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def names(headers: dict[str, str]) -> set[str]:
    return {name.lower() for name in headers if name.lower().startswith("access-control-")}


def test_no_other_website_by_default() -> None:
    """No header of CORS is sent."""
    assert [names(headers) for headers in answers("")] == [set()] * 4


def test_scripts_of_a_website() -> None:
    """That of the setting may call the API with the API's headers, and read those of responses; others may not."""
    pytest.importorskip("corsheaders")
    allowed, refused, preflight, outside = answers("https://app.example.org")
    assert allowed["access-control-allow-origin"] == "https://app.example.org"
    assert allowed["access-control-expose-headers"] == ", ".join(RESPONSE_HEADERS)
    assert not names(refused)
    assert "PATCH" in preflight["access-control-allow-methods"]
    assert preflight["access-control-allow-headers"] == ", ".join(REQUEST_HEADERS)
    assert not names(outside)
    assert "access-control-allow-credentials" not in allowed

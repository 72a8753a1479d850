"""The three endpoints, as probes and people ask them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.authtoken.models import Token

from memory.health import runner
from memory.version import __version__
from tests.watching import queries as asked

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

PATHS = ["/api/health", "/api/health/", "/api/health/live", "/api/health/live/", "/api/health/ready"]


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    """What another test's probe found is told no more."""
    runner.forget()


def engine(alias: str) -> str:
    """What the answers call a database's engine."""
    return {"sqlite": "embedded SQLite", "firestore": "Firestore"}[connections[alias].vendor]


def test_health_has_exactly_the_keys_of_the_specification(client: Client) -> None:
    """Everything is well, and `details` say which engines were looked at where they are not what the name says."""
    answer = client.get("/api/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "environment": "test",
        "version": __version__,
        "components": {"app": True, "storage_firestore": True, "storage_redis": True},
        "details": {
            **({} if engine("memory") == "Firestore" else {"storage_firestore": {"engine": engine("memory")}}),
            "storage_redis": {"engine": "local memory"},
        },
    }


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/xml", "nonsense"])
def test_everybody_is_answered_in_json(client: Client, path: str, accept: str) -> None:
    """With and without a slash, without a login or a redirect, whatever the request accepts, and not to be cached."""
    answer = client.get(path, headers={"accept": accept})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "no-store"
    assert answer.json()["status"] == "ok"


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_a_body(client: Client, path: str) -> None:
    """Probes that only look at the status work."""
    answer = client.head(path)
    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_there_is_nothing_to_write(client: Client, method: str) -> None:
    """Other methods are 405 in the API's shape of errors, not to be cached either."""
    answer = getattr(client, method)("/api/health")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("credentials", ["Token unknown", "Bearer", "Basic !!!"])
def test_bad_credentials_do_no_harm(client: Client, credentials: str) -> None:
    """They are not even looked at."""
    assert client.get("/api/health", headers={"authorization": credentials}).status_code == 200


@pytest.mark.parametrize(("path", "queries"), [("/api/health/live", 0), ("/api/health", 1), ("/api/health/ready", 2)])
def test_a_probe_asks_one_row_of_each_database(client: Client, path: str, queries: int) -> None:
    """`live` asks nobody, `health` one row, `ready` which migrations are applied."""
    memory: list[str] = []
    default = asked("default", lambda: memory.extend(asked("memory", lambda: client.get(path))))
    assert (len(default), len(memory)) == (queries, queries)


def test_a_login_is_looked_up_for_the_latencies_alone(client: Client, make_user: Any) -> None:
    """A probe with a session costs no query for it at the addresses that tell everybody the same."""
    client.force_login(make_user())
    for path in ("/api/health/live", "/api/health/ready"):
        with CaptureQueriesContext(connections["default"]) as default:
            client.get(path)
        assert "django_session" not in str(default.captured_queries)


@pytest.mark.parametrize("way", ["session", "token"])
def test_staff_are_told_how_long_each_component_took(client: Client, make_user: Any, way: str) -> None:
    """In milliseconds, with the engine, beside what everybody is told."""
    user = make_user("boss", is_staff=True)
    headers = {}
    if way == "session":
        client.force_login(user)
    else:
        headers = {"authorization": f"Token {Token.objects.create(user=user).key}"}
    answer = client.get("/api/health", headers=headers)
    assert answer.json()["components"] == {"app": True, "storage_firestore": True, "storage_redis": True}
    details = answer.json()["details"]
    assert {name: entry["engine"] for name, entry in details.items()} == {
        "app": engine("default"),
        "storage_firestore": engine("memory"),
        "storage_redis": "local memory",
    }
    assert all(0 <= entry["latency_ms"] < 10_000 for entry in details.values())
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("values", [{}, {"is_superuser": True}, {"is_staff": True, "is_active": False}])
def test_nobody_else_is_told(client: Client, make_user: Any, values: dict[str, bool]) -> None:
    """Neither strangers, nor users, nor staff that has left."""
    strangers = client.get("/api/health").json()
    client.force_login(make_user(**values))
    assert client.get("/api/health").json() == strangers
    assert "latency_ms" not in str(strangers)


def test_staff_are_answered_while_their_database_is_away(client: Client, make_user: Any) -> None:
    """Who asks is then not looked up, and the answer is everybody's."""
    client.force_login(make_user("boss", is_staff=True))
    with connections["default"].cursor() as cursor:
        cursor.execute("ALTER TABLE auth_user RENAME TO away")
    answer = client.get("/api/health")
    assert (answer.status_code, answer.json()["components"]["app"]) == (503, False)
    assert "latency_ms" not in str(answer.json()["details"])


def test_probes_are_outside_of_atomic_requests(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away must not fail the request before the view can say so."""
    for alias in ("default", "memory"):
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
    with CaptureQueriesContext(connections["default"]) as default, CaptureQueriesContext(connections["memory"]) as own:
        assert client.get("/api/health/live").status_code == 200
    assert (len(default), len(own)) == (0, 0)


def test_probes_are_not_throttled(client: Client, settings: Any) -> None:
    """However strict the project is with strangers."""
    settings.REST_FRAMEWORK = {
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"anon": "1/day"},
    }
    assert {client.get("/api/health").status_code for _ in range(5)} == {200}


def test_strict_project_defaults_do_not_close_it(client: Client, settings: Any) -> None:
    """A project that requires a login by default leaves the probes open."""
    settings.REST_FRAMEWORK = {"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"]}
    assert client.get("/api/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("values", "environment"),
    [({"APP_ENV": "staging"}, "staging"), ({"DEBUG": True}, "development"), ({"DEBUG": False}, "production")],
)
def test_environment_is_told_in_any_project(
    client: Client, settings: Any, values: dict[str, Any], environment: str
) -> None:
    """By `APP_ENV`, or by `DEBUG` where a project has no `APP_ENV`."""
    if "APP_ENV" not in values:
        del settings.APP_ENV
    for name, value in values.items():
        setattr(settings, name, value)
    assert client.get("/api/health").json()["environment"] == environment


def test_nothing_is_left_in_the_cache(client: Client, settings: Any) -> None:
    """A check cleans up: it must not push out what others keep there."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "health"}}
    cache.clear()
    assert client.get("/api/health").json()["components"]["storage_redis"] is True
    assert not cache._cache


def test_a_cache_that_forgets_is_told(client: Client, settings: Any) -> None:
    """A dummy cache works, slower: degraded, with its name."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    answer = client.get("/api/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["components"]["storage_redis"] is False
    assert answer.json()["details"]["storage_redis"] == {
        "engine": "none",
        "failure": "does not keep what is written",
    }


@pytest.fixture
def unmigrated(transactional_db: None) -> Iterator[Callable[[str, str], None]]:
    """Has a database forget that an app's migrations were applied, for the test; committed, so that all see it."""
    with ExitStack() as restored:

        def forget(alias: str, app: str) -> None:
            rows = MigrationRecorder(connections[alias]).migration_qs
            restored.callback(rows.bulk_create, list(rows.filter(app=app)))
            rows.filter(app=app).delete()

        yield forget


@pytest.mark.parametrize(
    ("alias", "app", "component"), [("default", "auth", "app"), ("memory", "memory", "storage_firestore")]
)
def test_an_unmigrated_database_is_alive_but_not_ready(
    client: Client, unmigrated: Callable[[str, str], None], alias: str, app: str, component: str
) -> None:
    """Requests are sent elsewhere until the migrations are applied; the process need not be restarted."""
    unmigrated(alias, app)
    answer = client.get("/api/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "details": {component: {"engine": engine(alias), "failure": "migrations not applied"}},
    }
    assert client.get("/api/health/live").status_code == 200


@pytest.mark.embedded("Firestore has no tables that could be missing")
@pytest.mark.parametrize("path", ["/api/health", "/api/health/ready"])
def test_a_missing_table_is_told_without_its_name(client: Client, path: str) -> None:
    """A query that fails makes the service unavailable; the answer has no word of the database's."""
    with connections["memory"].cursor() as cursor:
        cursor.execute("ALTER TABLE memory_items RENAME TO away")
        cursor.execute("ALTER TABLE django_migrations RENAME TO migrations_away")
    answer = client.get(path)
    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"
    assert answer.json()["details"]["storage_firestore"]["failure"] in ("error", "migrations not applied")
    assert "table" not in answer.content.decode()

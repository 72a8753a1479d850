"""The three health endpoints."""

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

from memory.access.models import AccessToken
from memory.health import runner
from memory.version import __version__
from tests.watching import queries as queries_of

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

PATHS = ["/api/health", "/api/health/", "/api/health/live", "/api/health/live/", "/api/health/ready"]


@pytest.fixture(autouse=True)
def clear_results() -> None:
    """Clear the cached results of other tests."""
    runner.clear()


def engine(alias: str) -> str:
    """The name of a database's engine in responses."""
    return {"sqlite": "embedded SQLite", "firestore": "Firestore"}[connections[alias].vendor]


def test_health_response_has_the_specified_keys(client: Client) -> None:
    """A healthy service; `details` lists engines that differ from the component's name."""
    response = client.get("/api/health")
    assert response.status_code == 200
    assert response.json() == {
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
def test_response_is_json_for_all_clients(client: Client, path: str, accept: str) -> None:
    """With any Accept header, with and without a slash, without authentication, redirect or caching."""
    response = client.get(path, headers={"accept": accept})
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"
    assert response.json()["status"] == "ok"


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_a_body(client: Client, path: str) -> None:
    """Probes may use HEAD."""
    response = client.head(path)
    assert response.status_code == 200
    assert response.content == b""


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_other_methods_return_405(client: Client, method: str) -> None:
    """Other methods return 405 in the API's error format."""
    response = getattr(client, method)("/api/health")
    assert response.status_code == 405
    assert response.json()["error"]["code"] == "method_not_allowed"
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("credentials", ["Token unknown", "Bearer", "Basic !!!"])
def test_invalid_credentials_are_ignored(client: Client, credentials: str) -> None:
    """The response is 200 for any Authorization header."""
    assert client.get("/api/health", headers={"authorization": credentials}).status_code == 200


@pytest.mark.parametrize(("path", "queries"), [("/api/health/live", 0), ("/api/health", 1), ("/api/health/ready", 2)])
def test_number_of_queries(client: Client, path: str, queries: int) -> None:
    """`live` makes no query, `health` one per database, `ready` queries the applied migrations."""
    memory: list[str] = []
    default = queries_of("default", lambda: memory.extend(queries_of("memory", lambda: client.get(path))))
    assert (len(default), len(memory)) == (queries, queries)


def test_only_health_looks_up_the_session(client: Client, make_user: Any) -> None:
    """`live` and `ready` make no query for the session."""
    client.force_login(make_user())
    for path in ("/api/health/live", "/api/health/ready"):
        with CaptureQueriesContext(connections["default"]) as default:
            client.get(path)
        assert "django_session" not in str(default.captured_queries)


@pytest.mark.parametrize("way", ["session", "token"])
def test_staff_see_latencies(client: Client, make_user: Any, way: str) -> None:
    """For staff, `details` has the engine and the latency in milliseconds."""
    user = make_user("staff", is_staff=True)
    headers = {}
    if way == "session":
        client.force_login(user)
    else:
        headers = {"authorization": f"Token {AccessToken.objects.issue(user)[1]}"}
    response = client.get("/api/health", headers=headers)
    assert response.json()["components"] == {"app": True, "storage_firestore": True, "storage_redis": True}
    details = response.json()["details"]
    assert {name: entry["engine"] for name, entry in details.items()} == {
        "app": engine("default"),
        "storage_firestore": engine("memory"),
        "storage_redis": "local memory",
    }
    assert all(0 <= entry["latency_ms"] < 10_000 for entry in details.values())
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("values", [{}, {"is_superuser": True}, {"is_staff": True, "is_active": False}])
def test_others_do_not_see_latencies(client: Client, make_user: Any, values: dict[str, bool]) -> None:
    """Neither anonymous users, nor superusers without staff status, nor inactive staff."""
    strangers = client.get("/api/health").json()
    client.force_login(make_user(**values))
    assert client.get("/api/health").json() == strangers
    assert "latency_ms" not in str(strangers)


def test_staff_request_while_the_user_database_is_unavailable(client: Client, make_user: Any) -> None:
    """The user is not looked up, and the response has no latencies."""
    client.force_login(make_user("staff", is_staff=True))
    with connections["default"].cursor() as cursor:
        cursor.execute("ALTER TABLE auth_user RENAME TO away")
    response = client.get("/api/health")
    assert (response.status_code, response.json()["components"]["app"]) == (503, False)
    assert "latency_ms" not in str(response.json()["details"])


def test_probes_are_outside_of_atomic_requests(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unavailable database must not fail the request before the view."""
    for alias in ("default", "memory"):
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
    with CaptureQueriesContext(connections["default"]) as default, CaptureQueriesContext(connections["memory"]) as own:
        assert client.get("/api/health/live").status_code == 200
    assert (len(default), len(own)) == (0, 0)


def test_probes_are_not_throttled(client: Client, settings: Any) -> None:
    """The project's throttles do not apply."""
    settings.REST_FRAMEWORK = {
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"anon": "1/day"},
    }
    assert {client.get("/api/health").status_code for _ in range(5)} == {200}


def test_project_permissions_do_not_apply(client: Client, settings: Any) -> None:
    """The endpoints are public even if the project requires authentication by default."""
    settings.REST_FRAMEWORK = {"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"]}
    assert client.get("/api/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("values", "environment"),
    [({"APP_ENV": "staging"}, "staging"), ({"DEBUG": True}, "development"), ({"DEBUG": False}, "production")],
)
def test_environment(client: Client, settings: Any, values: dict[str, Any], environment: str) -> None:
    """The value of `APP_ENV`, or one derived from `DEBUG`."""
    if "APP_ENV" not in values:
        del settings.APP_ENV
    for name, value in values.items():
        setattr(settings, name, value)
    assert client.get("/api/health").json()["environment"] == environment


def test_cache_check_deletes_its_key(client: Client, settings: Any) -> None:
    """The check leaves no key in the cache."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "health"}}
    cache.clear()
    assert client.get("/api/health").json()["components"]["storage_redis"] is True
    assert not cache._cache


def test_dummy_cache_is_degraded(client: Client, settings: Any) -> None:
    """A dummy cache is reported with its engine and failure."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    response = client.get("/api/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["components"]["storage_redis"] is False
    assert response.json()["details"]["storage_redis"] == {
        "engine": "none",
        "failure": "does not keep what is written",
    }


@pytest.fixture
def unmigrated(transactional_db: None) -> Iterator[Callable[[str, str], None]]:
    """A function that marks an app's migrations as unapplied during the test, committed for all threads."""
    with ExitStack() as restored:

        def forget(alias: str, app: str) -> None:
            rows = MigrationRecorder(connections[alias]).migration_qs
            restored.callback(rows.bulk_create, list(rows.filter(app=app)))
            rows.filter(app=app).delete()

        yield forget


@pytest.mark.parametrize(
    ("alias", "app", "component"), [("default", "auth", "app"), ("memory", "memory", "storage_firestore")]
)
def test_unmigrated_database_is_alive_but_not_ready(
    client: Client, unmigrated: Callable[[str, str], None], alias: str, app: str, component: str
) -> None:
    """`ready` returns 503 until the migrations are applied; `live` returns 200."""
    unmigrated(alias, app)
    response = client.get("/api/health/ready")
    assert response.status_code == 503
    assert response.json() == {
        "status": "unavailable",
        "details": {component: {"engine": engine(alias), "failure": "migrations not applied"}},
    }
    assert client.get("/api/health/live").status_code == 200


@pytest.mark.embedded("Firestore has no tables that could be missing")
@pytest.mark.parametrize("path", ["/api/health", "/api/health/ready"])
def test_missing_table_is_reported_without_its_name(client: Client, path: str) -> None:
    """A failing query makes the service unavailable; the response has no message of the database."""
    with connections["memory"].cursor() as cursor:
        cursor.execute("ALTER TABLE memory_items RENAME TO away")
        cursor.execute("ALTER TABLE django_migrations RENAME TO migrations_away")
    response = client.get(path)
    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"
    assert response.json()["details"]["storage_firestore"]["failure"] in ("error", "migrations not applied")
    assert "table" not in response.content.decode()

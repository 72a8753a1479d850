"""Who gets in: tokens, sessions with CSRF protection, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache, caches
from django.test import Client
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from memory.models import MemoryItem
from tests import live

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEMS = "/api/memory-items/"
BODY = {"data": '{"item_type": "m"}', "content_type": "application/json"}


def bearer(user: Any) -> dict[str, str]:
    return {"Authorization": f"Token {Token.objects.create(user=user).key}"}


def test_a_token_opens_its_users_memory(client: Client, make_user: Callable[..., Any]) -> None:
    """And writes in its user's name."""
    headers = bearer(make_user("ada"))
    assert client.post(ITEMS, **BODY, headers=headers).status_code == 201
    assert MemoryItem.objects.get().user_id == "ada"
    assert len(client.get(ITEMS, headers=headers).json()["results"]) == 1


def test_a_token_of_an_inactive_user_is_worth_nothing(client: Client, make_user: Callable[..., Any]) -> None:
    """401."""
    assert client.get(ITEMS, headers=bearer(make_user("ada", is_active=False))).status_code == 401


def test_a_session_reads_and_with_a_csrf_token_writes(make_user: Callable[..., Any]) -> None:
    """Another site's form does not."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(make_user("ada"))
    assert browser.get(ITEMS).status_code == 200
    refused = browser.post(ITEMS, **BODY)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "permission_denied"
    browser.cookies["csrftoken"] = "x" * 32
    assert browser.post(ITEMS, **BODY, headers={"X-CSRFToken": "x" * 32}).status_code == 201


def test_the_principal_is_what_the_project_says(ada: APIClient, settings: Any) -> None:
    """`MEMORY["PRINCIPAL"]` names a function of the user."""
    settings.MEMORY = {**settings.MEMORY, "PRINCIPAL": "tests.api.test_access.number"}
    assert ada.post(ITEMS, {"item_type": "m"}, format="json").json()["user_id"].startswith("user-")
    assert len(ada.get(ITEMS).json()["results"]) == 1


def number(user: Any) -> str:
    return f"user-{user.pk}"


def rates(settings: Any, **changed: str | None) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": changed}


def test_a_user_has_so_many_requests(ada: APIClient, bob: APIClient, settings: Any) -> None:
    """Then 429 with the time to wait; other users go on."""
    rates(settings, **{"memory-user": "3/hour"})
    assert [ada.get(ITEMS).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = ada.get(ITEMS)
    assert refused.json()["error"]["code"] == "throttled"
    assert 0 < int(refused["Retry-After"]) <= 3600
    assert bob.get(ITEMS).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Token guessed"}], ids=["nobody", "a guess"])
def test_an_address_has_so_many_requests_without_credentials(
    client: Client, settings: Any, headers: dict[str, str]
) -> None:
    """Guesses at tokens count; a header that names another address does not help."""
    rates(settings, **{"memory-anonymous": "2/hour"})
    assert [client.get(ITEMS, headers=headers).status_code for _ in range(3)] == [401, 401, 429]
    forged = {**headers, "X-Forwarded-For": "10.9.8.7"}
    assert client.get(ITEMS, headers=forged).status_code == 429


def test_no_rate_is_no_limit(ada: APIClient, settings: Any) -> None:
    """`None` in the settings."""
    rates(settings, **{"memory-user": None})
    assert {ada.get(ITEMS).status_code for _ in range(5)} == {200}


def test_requests_are_counted_in_the_cache_that_the_settings_name(ada: APIClient, settings: Any) -> None:
    """`MEMORY["CACHE"]`."""
    settings.CACHES = {
        **settings.CACHES,
        "counters": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "counters"},
    }
    settings.MEMORY = {**settings.MEMORY, "CACHE": "counters"}
    rates(settings, **{"memory-user": "1/hour"})
    assert [ada.get(ITEMS).status_code for _ in range(2)] == [200, 429]
    caches["counters"].clear()
    assert ada.get(ITEMS).status_code == 200


@pytest.mark.redis
def test_requests_are_counted_in_redis(ada: APIClient, settings: Any) -> None:
    """As the service has it: JSON, a password, failures hidden; the counter ends with its window."""
    with live.redis() as server:
        settings.CACHES = {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": f"redis://127.0.0.1:{server.port}/0",
                "OPTIONS": {
                    "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
                    "PASSWORD": live.PASSWORD,
                    "IGNORE_EXCEPTIONS": True,
                },
            }
        }
        rates(settings, **{"memory-user": "2/min"})
        assert [ada.get(ITEMS).status_code for _ in range(3)] == [200, 200, 429]
        (key,) = cache.keys("*")  # type: ignore[attr-defined]
        assert 0 < cache.ttl(key) <= 61  # type: ignore[attr-defined]
        caches["default"].close()


def test_a_cache_that_hides_its_failure_stops_nobody(ada: APIClient, settings: Any) -> None:
    """Redis away: requests are not counted, and go on."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"IGNORE_EXCEPTIONS": True, "SOCKET_CONNECT_TIMEOUT": 0.1},
        }
    }
    rates(settings, **{"memory-user": "1/hour"})
    assert [ada.get(ITEMS).status_code for _ in range(3)] == [200, 200, 200]

"""Authentication by token and session, CSRF protection, throttling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache, caches
from django.test import Client
from rest_framework.test import APIClient

from memory.access.models import AccessToken
from memory.models import MemoryItem
from tests import live

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEMS = "/api/memory-items/"
BODY = {"data": '{"item_type": "m"}', "content_type": "application/json"}


def token_header(user: Any) -> dict[str, str]:
    return {"Authorization": f"Token {AccessToken.objects.issue(user)[1]}"}


def test_token_authenticates_its_user(client: Client, make_user: Callable[..., Any]) -> None:
    """Records created with a token belong to its user."""
    headers = token_header(make_user("ada"))
    assert client.post(ITEMS, **BODY, headers=headers).status_code == 201
    assert MemoryItem.objects.get().user_id == "ada"
    assert len(client.get(ITEMS, headers=headers).json()["results"]) == 1


def test_token_of_inactive_user_is_rejected(client: Client, make_user: Callable[..., Any]) -> None:
    """The status is 401."""
    assert client.get(ITEMS, headers=token_header(make_user("ada", is_active=False))).status_code == 401


def test_session_needs_csrf_token_to_write(make_user: Callable[..., Any]) -> None:
    """Without a CSRF token reads succeed and writes return 403."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(make_user("ada"))
    assert browser.get(ITEMS).status_code == 200
    refused = browser.post(ITEMS, **BODY)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "permission_denied"
    browser.cookies["csrftoken"] = "x" * 32
    assert browser.post(ITEMS, **BODY, headers={"X-CSRFToken": "x" * 32}).status_code == 201


def test_principal_setting_derives_the_owner(ada: APIClient, settings: Any) -> None:
    """`MEMORY["PRINCIPAL"]` names a function from user to owner id."""
    settings.MEMORY = {**settings.MEMORY, "PRINCIPAL": "tests.api.test_access.number"}
    assert ada.post(ITEMS, {"item_type": "m"}, format="json").json()["user_id"].startswith("user-")
    assert len(ada.get(ITEMS).json()["results"]) == 1


def number(user: Any) -> str:
    return f"user-{user.pk}"


def set_rates(settings: Any, **changed: str | None) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": changed}


def test_requests_are_throttled_per_user(ada: APIClient, bob: APIClient, settings: Any) -> None:
    """429 with Retry-After; other users are not affected."""
    set_rates(settings, **{"memory-user": "3/hour"})
    assert [ada.get(ITEMS).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = ada.get(ITEMS)
    assert refused.json()["error"]["code"] == "throttled"
    assert 0 < int(refused["Retry-After"]) <= 3600
    assert bob.get(ITEMS).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Token guessed"}], ids=["anonymous", "invalid token"])
def test_anonymous_requests_are_throttled_per_address(client: Client, settings: Any, headers: dict[str, str]) -> None:
    """Invalid tokens count; a forged X-Forwarded-For header is ignored."""
    set_rates(settings, **{"memory-anonymous": "2/hour"})
    assert [client.get(ITEMS, headers=headers).status_code for _ in range(3)] == [401, 401, 429]
    forged = {**headers, "X-Forwarded-For": "10.9.8.7"}
    assert client.get(ITEMS, headers=forged).status_code == 429


def test_rate_of_none_disables_throttling(ada: APIClient, settings: Any) -> None:
    """A rate of `None` in the settings."""
    set_rates(settings, **{"memory-user": None})
    assert {ada.get(ITEMS).status_code for _ in range(5)} == {200}


def test_throttles_use_the_configured_cache(ada: APIClient, settings: Any) -> None:
    """Counters are stored in `MEMORY["CACHE"]`."""
    settings.CACHES = {
        **settings.CACHES,
        "counters": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "counters"},
    }
    settings.MEMORY = {**settings.MEMORY, "CACHE": "counters"}
    set_rates(settings, **{"memory-user": "1/hour"})
    assert [ada.get(ITEMS).status_code for _ in range(2)] == [200, 429]
    caches["counters"].clear()
    assert ada.get(ITEMS).status_code == 200


@pytest.mark.redis
def test_throttles_use_redis(ada: APIClient, settings: Any) -> None:
    """With the service's options: JSON, a password, ignored exceptions. The counter expires with its window."""
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
        set_rates(settings, **{"memory-user": "2/min"})
        assert [ada.get(ITEMS).status_code for _ in range(3)] == [200, 200, 429]
        (key,) = cache.keys("*")  # type: ignore[attr-defined]
        assert 0 < cache.ttl(key) <= 61  # type: ignore[attr-defined]
        caches["default"].close()


def test_requests_pass_if_the_cache_ignores_its_errors(ada: APIClient, settings: Any) -> None:
    """Without Redis, requests are not throttled."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"IGNORE_EXCEPTIONS": True, "SOCKET_CONNECT_TIMEOUT": 0.1},
        }
    }
    set_rates(settings, **{"memory-user": "1/hour"})
    assert [ada.get(ITEMS).status_code for _ in range(3)] == [200, 200, 200]

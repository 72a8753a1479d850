"""The cache: django-redis where `REDIS_URL` or `REDIS_HOST` is set."""

from typing import Any

from .environment import integer, text

# Redis makes requests faster; it must not hold one up when it is slow.
TIMEOUT_SECONDS = 0.25


def redis_cache(ttl: int) -> dict[str, Any] | None:
    """`CACHES["default"]` on Redis, or None where none is configured. `ttl` in seconds."""
    location = redis_location()
    if location is None:
        return None
    options: dict[str, Any] = {
        "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
        "SOCKET_CONNECT_TIMEOUT": TIMEOUT_SECONDS,
        "SOCKET_TIMEOUT": TIMEOUT_SECONDS,
        "IGNORE_EXCEPTIONS": True,
    }
    if password := text("REDIS_PASSWORD"):
        options["PASSWORD"] = password
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": location,
        "KEY_PREFIX": "orchestra",
        "TIMEOUT": ttl,
        "OPTIONS": options,
    }


def redis_location() -> str | None:
    """`REDIS_URL`, or the URL that `REDIS_HOST` and `REDIS_PORT` make; no password in the latter."""
    if url := text("REDIS_URL"):
        return url
    if host := text("REDIS_HOST"):
        return f"redis://{host}:{integer('REDIS_PORT', 6379, least=1)}/0"
    return None

"""The cache: django-redis where `REDIS_URL` or `REDIS_HOST` is set."""

from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from .environment import ConfigurationError, integer, text

SCHEMES = ("redis", "rediss", "unix")

# Redis makes requests faster; it must not hold one up when it is slow.
TIMEOUT_SECONDS = 0.25


def redis_cache(ttl: int) -> dict[str, Any] | None:
    """`CACHES["default"]` on Redis, or None where none is configured. `ttl` in seconds.

    A password always ends up in `OPTIONS["PASSWORD"]`, a name that Django hides on its error pages, never in the URL.
    """
    location = redis_location()
    if location is None:
        return None
    url, password = without_password(location)
    secret = {"PASSWORD": password} if password else {}
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "KEY_PREFIX": "orchestra",
        "TIMEOUT": ttl,
        "OPTIONS": {
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_CONNECT_TIMEOUT": TIMEOUT_SECONDS,
            "SOCKET_TIMEOUT": TIMEOUT_SECONDS,
            "IGNORE_EXCEPTIONS": True,
            **secret,
        },
    }


def redis_location() -> str | None:
    """`REDIS_URL`, or the URL that `REDIS_HOST` and `REDIS_PORT` make."""
    if url := text("REDIS_URL"):
        return url
    if host := text("REDIS_HOST"):
        return f"redis://{host}:{integer('REDIS_PORT', 6379, least=1)}/0"
    return None


def without_password(location: str) -> tuple[str, str]:
    """The URL without its password, and the password: the URL's own, or `REDIS_PASSWORD`."""
    parts = urlsplit(location)
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(f"REDIS_URL must start with one of: {', '.join(f'{name}://' for name in SCHEMES)}.")
    credentials, at, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    netloc = f"{user}{at}{hosts}" if user else hosts
    return urlunsplit(parts._replace(netloc=netloc)), unquote(password) or text("REDIS_PASSWORD")

"""The cache: django-redis if `REDIS_URL` or `REDIS_HOST` is set; one server, Sentinel, or a cluster."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from .environment import MAX_PORT, ConfigurationError, host, port, text

# In seconds. A slow Redis must not delay requests.
TIMEOUT_SECONDS = 0.2
SERVERS, SENTINEL, CLUSTER = "", "sentinel", "cluster"
SCHEMES = (
    *("redis", "rediss", "unix"),
    *(f"{transport}+{kind}" for transport in ("redis", "rediss") for kind in (SENTINEL, CLUSTER)),
)


@dataclass(frozen=True)
class Location:
    """The parts of a URL. `hosts` are `host:port`, several for Sentinel; `path` is absolute."""

    transport: str
    kind: str
    user: str
    password: str = field(repr=False)
    hosts: tuple[str, ...]
    path: str
    query: str

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.transport == "rediss"

    def url(self, hosts: str, path: str | None = None, transport: str | None = None) -> str:
        """The URL for redis-py, without the password."""
        user = f"{self.user}@" if self.user else ""
        query = f"?{self.query}" if self.query else ""
        return f"{transport or self.transport}://{user}{hosts}{self.path if path is None else path}{query}"


def redis_cache(ttl: int) -> dict[str, Any] | None:
    """`CACHES["default"]` on Redis, or None if Redis is not configured. `ttl` in seconds.

    A password always ends up in `OPTIONS["PASSWORD"]`, a name that Django hides on its error pages, never in the URL.
    """
    url = redis_url()
    if url is None:
        return None
    location = parsed(url)
    make = {SERVERS: one_server, SENTINEL: watched_by_sentinel, CLUSTER: cluster}[location.kind]
    address, options = make(location)
    secret = {"PASSWORD": location.password} if location.password else {}
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": address,
        "KEY_PREFIX": "orchestra",
        "TIMEOUT": ttl,
        "OPTIONS": {
            "SERIALIZER": "memory.redis.TolerantJSONSerializer",
            "SOCKET_CONNECT_TIMEOUT": TIMEOUT_SECONDS,
            "SOCKET_TIMEOUT": TIMEOUT_SECONDS,
            "IGNORE_EXCEPTIONS": True,
            **secret,
            **options,
        },
    }


def one_server(location: Location) -> tuple[str, dict[str, Any]]:
    """`redis://host:6379/0`, `rediss://...` for TLS, `unix:///path/of/socket`."""
    options = {"REDIS_CLIENT_CLASS": "memory.redis.GuardedRedis", "CONNECTION_POOL_KWARGS": {"retry": no_retries()}}
    return location.url(",".join(location.hosts)), options


def watched_by_sentinel(location: Location) -> tuple[str, dict[str, Any]]:
    """`redis+sentinel://sentinel1:26379,sentinel2:26379/service/0`; the Sentinels use `REDIS_SENTINEL_PASSWORD`."""
    service, _, database = location.path.strip("/").partition("/")
    if not service or not re.fullmatch(r"\d{0,4}", database, re.ASCII):
        raise ConfigurationError("REDIS_URL must name Sentinel's service: redis+sentinel://host:26379/service/0.")
    tls = {"ssl": True} if location.tls else {}
    sentinel_timeout = TIMEOUT_SECONDS / len(location.hosts)
    own_password = text("REDIS_SENTINEL_PASSWORD")
    options = {
        "CLIENT_CLASS": "django_redis.client.SentinelClient",
        "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
        "REDIS_CLIENT_CLASS": "memory.redis.GuardedRedis",
        "SENTINELS": [(host, int(port or 26379)) for host, _, port in map(_partition, location.hosts)],
        "SENTINEL_KWARGS": {
            "socket_timeout": sentinel_timeout,
            "socket_connect_timeout": sentinel_timeout,
            "retry": no_retries(),
            **({"password": own_password} if own_password else {}),
            **tls,
        },
        "CONNECTION_POOL_KWARGS": {"retry": no_retries(), **tls},
    }
    return location.url(service, path=f"/{database or 0}", transport="redis"), options


def cluster(location: Location) -> tuple[str, dict[str, Any]]:
    """`redis+cluster://node:6379`: any node of the cluster."""
    options = {
        "CONNECTION_FACTORY": "memory.redis.ClusterConnectionFactory",
        "REDIS_CLIENT_KWARGS": {"retry": no_retries()},
    }
    return location.url(location.hosts[0], path=""), options


def redis_url() -> str | None:
    """`REDIS_URL`, or a URL of `REDIS_HOST` and `REDIS_PORT`."""
    if url := text("REDIS_URL"):
        return url
    if name := host("REDIS_HOST"):
        return f"redis://{name}:{port('REDIS_PORT', 6379)}/0"
    return None


def parsed(url: str) -> Location:
    """Parse a URL. The password is that of the URL or `REDIS_PASSWORD`."""
    try:
        parts = urlsplit(url)
    except ValueError:  # raised below without its cause, whose text contains the password
        parts = urlsplit("")
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(f"REDIS_URL must start with one of: {', '.join(f'{name}://' for name in SCHEMES)}.")
    transport, _, kind = parts.scheme.partition("+")
    credentials, _, netloc = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    hosts = tuple(netloc.split(","))
    if transport == "unix":
        check_socket(parts.path)
    else:
        check_hosts(hosts)
        if kind != SENTINEL:
            check_database(parts.path)
    check_query(parts.query)
    return Location(
        transport=transport,
        kind=kind,
        user=user,
        password=unquote(password) or text("REDIS_PASSWORD"),
        hosts=hosts,
        path=parts.path,
        query=parts.query,
    )


def check_socket(path: str) -> None:
    """Raise `ConfigurationError` for a URL without the path of a socket."""
    if not path.strip("/"):
        raise ConfigurationError("REDIS_URL must have the path of a socket: unix:///run/redis.sock?db=0.")


def check_hosts(hosts: Iterable[str]) -> None:
    """Raise `ConfigurationError` unless each is `host:port`, or `host` for the default port."""
    for name, number in map(_host_and_port, hosts):
        if not (name and re.fullmatch(r"\d{1,5}", number, re.ASCII) and 0 < int(number) <= MAX_PORT):
            raise ConfigurationError("REDIS_URL must have the form redis://host:port/0.")


def check_database(path: str) -> None:
    """Raise `ConfigurationError` unless the path is the number of a database, or empty."""
    if not re.fullmatch(r"/?|/\d{1,4}", path, re.ASCII):
        raise ConfigurationError("REDIS_URL must end with the number of a database: redis://host:port/0.")


def check_query(query: str) -> None:
    """Raise `ConfigurationError` for parameters that redis-py cannot convert, such as `?socket_timeout=soon`."""
    try:
        parse_url(f"redis://host:6379/0?{query}")  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise ConfigurationError("REDIS_URL has a parameter with an invalid value.") from error


def no_retries() -> Retry:
    """Disable retries: redis-py's default waits for seconds."""
    return Retry(NoBackoff(), 0)


def _partition(host: str) -> tuple[str, str, str]:
    name, colon, port = host.rpartition(":")
    return (name, colon, port) if colon and port.isdigit() else (host, "", "")


def _host_and_port(host: str) -> tuple[str, str]:
    name, _, port = _partition(host)
    return name, port or "6379"

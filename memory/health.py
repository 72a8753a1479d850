"""Is the service there? Checks of what it stands on, and the views that tell load balancers and people.

A view holds its checks as arguments. They run side by side, each in a thread of its own, and whatever has not answered
within `MEMORY["HEALTH_TIMEOUT"]` counts as failed. Requests that come while a check runs wait for that run instead of
starting another, so a backend that hangs costs a handful of threads, however many probes come.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Protocol
from uuid import uuid4

from django.apps import apps
from django.conf import settings
from django.core.cache import BaseCache, caches
from django.db import connections, router, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.urls import URLPattern, path
from django_redis.cache import RedisCache
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .api.errors import exception_handler
from .api.schema import described
from .conf import memory_settings
from .version import __version__

logger = logging.getLogger(__name__)

OK, DEGRADED, UNAVAILABLE = "ok", "degraded", "unavailable"
TIMEOUT = "timeout"
ENGINES: Mapping[str, str] = {"sqlite": "embedded SQLite", "firestore": "Firestore", "postgresql": "PostgreSQL"}
CACHE_ENGINES: Mapping[str, str] = {"RedisCache": "Redis", "LocMemCache": "local memory", "DummyCache": "none"}


class UnhealthyError(Exception):
    """A backend answered, and the answer is wrong; the text is the class of failure that users see."""


# By the names of classes, since no driver but the one in use need be there. From the most telling to the least: the
# first that an error, one of its bases or one of its causes is called.
FAILURES: Mapping[str, str] = {
    "AuthenticationError": "authentication failed",
    "Unauthenticated": "authentication failed",
    "PermissionDenied": "permission denied",
    "PermissionError": "permission denied",
    "TimeoutError": TIMEOUT,
    "DeadlineExceeded": TIMEOUT,
    "ConnectionRefusedError": "connection refused",
    "gaierror": "unknown host",
    "ConnectionError": "connection failed",
    "ServiceUnavailable": "connection failed",
}


def failure_class(error: BaseException) -> str:
    """The class of a failure in a word or two; never the error's text, which may name hosts or hold secrets."""
    if isinstance(error, UnhealthyError):
        return str(error)
    names = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    return next((failure for name, failure in FAILURES.items() if name in names), "error")


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@dataclass(frozen=True)
class Finding:
    """What a check found: which engine it looked at, and the class of failure, empty where there is none."""

    engine: str
    failure: str = ""


class Check(Protocol):
    """One question to one backend. Hashable: equal checks share one run."""

    @property
    def in_place(self) -> bool:
        """Whether it must run in the thread that asks."""

    def engine(self) -> str:
        """The backend's name for people; no I/O."""

    def run(self) -> None:
        """Return if all is well, raise if not."""


@dataclass(frozen=True)
class DatabaseCheck:
    """The database that holds a model (`app_label.ModelName`, or None for the project's users) answers a query."""

    model: str | None

    def _alias(self) -> str:
        return router.db_for_read(self._model())

    def _model(self) -> Any:
        return apps.get_model(self.model or settings.AUTH_USER_MODEL)

    @property
    def in_place(self) -> bool:
        """An SQLite database in memory belongs to its connection, which belongs to its thread."""
        connection: Any = connections[self._alias()]
        return bool(connection.vendor == "sqlite" and connection.is_in_memory_db())

    def engine(self) -> str:
        """By the connection's vendor."""
        vendor = connections[self._alias()].vendor
        return ENGINES.get(vendor, vendor)

    def run(self) -> None:
        """Read one row at most; an empty table is fine."""
        self._model()._base_manager.using(self._alias()).exists()


@dataclass(frozen=True)
class MigrationsCheck(DatabaseCheck):
    """The database answers, and the app's own migrations are applied to it."""

    def run(self) -> None:
        """Read the names of the applied migrations."""
        label = self._model()._meta.app_label
        recorder = MigrationRecorder(connections[self._alias()])
        applied: set[str] = set()
        if recorder.has_table():
            applied = set(recorder.migration_qs.filter(app=label).values_list("name", flat=True))
        if migration_names(label) - applied:
            raise UnhealthyError("migrations not applied")


@cache
def migration_names(app_label: str) -> frozenset[str]:
    """The migrations that an app ships."""
    known = MigrationLoader(None).disk_migrations or {}
    return frozenset(name for label, name in known if label == app_label)


@dataclass(frozen=True)
class CacheCheck:
    """The cache of `MEMORY["CACHE"]` gives back what was written to it."""

    SECONDS: ClassVar[int] = 10  # what is left behind by a check that dies midway goes away by itself
    in_place: ClassVar[bool] = False

    def _cache(self) -> BaseCache:
        return caches[memory_settings.cache]

    def engine(self) -> str:
        """By the cache's class."""
        name = type(self._cache()).__name__
        return CACHE_ENGINES.get(name, name)

    def run(self) -> None:
        """Write, read and delete a key of its own."""
        found = self._cache()
        # The client of django-redis raises what the cache itself may be configured to ignore.
        store: Any = found.client if isinstance(found, RedisCache) else found
        key, value = f"memory-health:{uuid4().hex}", uuid4().hex
        store.set(key, value, timeout=self.SECONDS)
        if store.get(key) != value:
            raise UnhealthyError("does not keep what is written")
        store.delete(key)


@dataclass(frozen=True)
class Flight:
    """A run of a check that has begun. `started` in seconds of the monotonic clock."""

    result: Future[str]
    started: float = field(default_factory=time.monotonic)


class Runner:
    """Runs checks side by side, each of them once at a time, within a budget."""

    # A run that hangs for so long is left to itself and another is tried, so that a backend which comes back is
    # noticed though an old connection to it never ends; at most so many at once.
    ABANDONED_AFTER_SECONDS = 30.0
    MOST_FLIGHTS = 4

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Check, list[Flight]] = {}

    def run(self, checks: Iterable[Check], budget: float) -> dict[Check, Finding]:
        """The finding of each check, after `budget` seconds at the latest."""
        wanted = list(dict.fromkeys(checks))
        deadline = time.monotonic() + budget
        flights = {check: self._join(check) for check in wanted if not check.in_place}
        failures = {check: outcome(check) for check in wanted if check.in_place}
        for check, flight in flights.items():
            patience = min(deadline, flight.started + budget) - time.monotonic()
            done, _ = wait([flight.result], timeout=max(patience, 0))
            failures[check] = flight.result.result() if done else TIMEOUT
        return {check: Finding(check.engine(), failures[check]) for check in wanted}

    def _join(self, check: Check) -> Flight:
        """The run of this check that is on its way, or a new one."""
        with self._lock:
            flying = [flight for flight in self._flights.get(check, []) if not flight.result.done()]
            newest = flying[-1] if flying else None
            hangs = newest is not None and time.monotonic() - newest.started > self.ABANDONED_AFTER_SECONDS
            if newest is None or (hangs and len(flying) < self.MOST_FLIGHTS):
                newest = Flight(Future())
                flying.append(newest)
                _start(check, newest)
            self._flights[check] = flying
            return newest


def _start(check: Check, flight: Flight) -> None:
    def fly() -> None:
        try:
            flight.result.set_result(outcome(check))
        finally:
            # Connections and caches belong to their thread, and this one ends.
            connections.close_all()
            caches.close_all()

    # A daemon, unlike a pool's threads: one that hangs does not keep the process from ending.
    threading.Thread(target=fly, name=f"health-{type(check).__name__}", daemon=True).start()


def outcome(check: Check) -> str:
    """Run a check: its class of failure, or the empty string."""
    try:
        check.run()
    except Exception as error:  # noqa: BLE001  (whatever a backend's driver raises is the finding)
        failure = failure_class(error)
        # Without its text: drivers put hosts and credentials there.
        logger.warning("Health: %s: %s (%s)", check.engine(), failure, type(error).__name__)
        return failure
    return ""


@dataclass(frozen=True)
class Component:
    """A part of the service: its key in the answer, its check, and what its failure makes of the whole."""

    name: str
    check: Check
    failed: str
    # The engine that goes without saying: `details` name another one.
    expected: str | None = None

    def details(self, finding: Finding) -> dict[str, str]:
        """What there is to say about it; nothing where it is as its name says, and well."""
        if finding.failure:
            return {"engine": finding.engine, "failure": finding.failure}
        return {} if self.expected in (None, finding.engine) else {"engine": finding.engine}


@dataclass(frozen=True)
class Report:
    """What all components' checks found."""

    findings: Mapping[Component, Finding]

    @property
    def status(self) -> str:
        """ok, degraded or unavailable."""
        failed = {component.failed for component, finding in self.findings.items() if finding.failure}
        return next((status for status in (UNAVAILABLE, DEGRADED) if status in failed), OK)

    @property
    def components(self) -> dict[str, bool]:
        """Which of them answer."""
        return {component.name: not finding.failure for component, finding in self.findings.items()}

    @property
    def details(self) -> dict[str, dict[str, str]]:
        """By component, what `Component.details` says; components of which there is nothing to say are left out."""
        said = {component.name: component.details(finding) for component, finding in self.findings.items()}
        return {name: details for name, details in said.items() if details}


SERVICE = (
    Component("app", DatabaseCheck(None), failed=UNAVAILABLE),
    Component("storage_firestore", DatabaseCheck("memory.MemoryItem"), failed=UNAVAILABLE, expected="Firestore"),
    Component("storage_redis", CacheCheck(), failed=DEGRADED, expected="Redis"),
)
READINESS = (
    Component("app", MigrationsCheck(None), failed=UNAVAILABLE),
    Component("storage_firestore", MigrationsCheck("memory.MemoryItem"), failed=UNAVAILABLE),
)
runner = Runner()


def examine(components: Sequence[Component]) -> Report:
    """Run the components' checks, within `MEMORY["HEALTH_TIMEOUT"]` seconds."""
    findings = runner.run([component.check for component in components], memory_settings.health_timeout)
    return Report({component: findings[component.check] for component in components})


def environment() -> str:
    """`settings.APP_ENV`, or what `DEBUG` tells where a project has no such setting."""
    return str(getattr(settings, "APP_ENV", "development" if settings.DEBUG else "production"))


class ComponentsSerializer(serializers.Serializer[Any]):
    """Which parts answer."""

    app = serializers.BooleanField(help_text="The process answers, and so does the database of its users.")
    storage_firestore = serializers.BooleanField(help_text="The database of the memory answers.")
    storage_redis = serializers.BooleanField(help_text="The cache gives back what was written to it.")


class DetailSerializer(serializers.Serializer[Any]):
    """What there is to say about one part."""

    engine = serializers.CharField(help_text="What stands there, such as `embedded SQLite`.")
    failure = serializers.CharField(required=False, help_text="The class of failure, such as `timeout`.")


class LiveSerializer(serializers.Serializer[Any]):
    """The process answers."""

    status = serializers.CharField(help_text="`ok`")


class ReadySerializer(serializers.Serializer[Any]):
    """Whether requests may be sent here."""

    status = serializers.CharField(help_text="`ok` or `unavailable`")
    details = serializers.DictField(child=DetailSerializer(), help_text="What is wrong, by component.")


class HealthSerializer(serializers.Serializer[Any]):
    """The service and what it stands on."""

    status = serializers.CharField(help_text="`ok`, `degraded` (works, slower) or `unavailable`")
    environment = serializers.CharField(help_text="`APP_ENV`")
    version = serializers.CharField(help_text="The version of the app.")
    components = ComponentsSerializer()
    details = serializers.DictField(
        child=DetailSerializer(),
        help_text="By component: another engine than its name says, or the class of a failure. Empty: nothing to say.",
    )


EXAMPLES = [
    OpenApiExample(
        name,
        value={
            "status": status,
            "environment": "production",
            "version": __version__,
            "components": {"app": True, "storage_firestore": database, "storage_redis": cached},
            "details": details,
        },
        response_only=True,
        status_codes=[code],
    )
    for name, status, database, cached, details, code in (
        ("All is well", OK, True, True, {}, "200"),
        (
            "Works without its cache",
            DEGRADED,
            True,
            False,
            {"storage_redis": {"engine": "Redis", "failure": TIMEOUT}},
            "200",
        ),
        (
            "Cannot work",
            UNAVAILABLE,
            False,
            True,
            {"storage_firestore": {"engine": "Firestore", "failure": TIMEOUT}},
            "503",
        ),
    )
]


class ProbeView(APIView):
    """What the probes share: open to all, never throttled, never cached, always JSON."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = DefaultContentNegotiation
    versioning_class = None
    metadata_class = None

    def get_exception_handler(self) -> Any:
        """The API's, whatever the project's is."""
        return exception_handler

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Outside of `ATOMIC_REQUESTS`, which would ask the database before the view is asked."""
        view: Any = super().as_view(**initkwargs)
        for alias in connections.settings:
            view = transaction.non_atomic_requests(alias)(view)
        return view

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """JSON, whatever the request accepts: a probe that sends odd headers still gets its answer."""
        return super().perform_content_negotiation(request, force=True)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep every cache between here and the prober from answering in our place."""
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "no-store"
        return final


def http_status(status: str) -> int:
    """503 for what load balancers should leave alone."""
    return 503 if status == UNAVAILABLE else 200


class HealthView(ProbeView):
    """`GET /api/health`."""

    components: ClassVar[Sequence[Component]] = SERVICE

    @described(
        operation_id="health",
        summary="The service and what it stands on",
        tags=["health"],
        auth=[],
        responses={200: HealthSerializer, 503: HealthSerializer},
        examples=EXAMPLES,
    )
    def get(self, request: Request) -> Response:
        """`ok` and `degraded` (the cache is away: slower) are 200, `unavailable` is 503. No authentication."""
        report = examine(self.components)
        body = {
            "status": report.status,
            "environment": environment(),
            "version": __version__,
            "components": report.components,
            "details": report.details,
        }
        return Response(body, status=http_status(report.status))


class LiveView(ProbeView):
    """`GET /api/health/live`."""

    @described(
        operation_id="health_live",
        summary="The process answers",
        tags=["health"],
        auth=[],
        responses=LiveSerializer,
    )
    def get(self, request: Request) -> Response:
        """Looks at nothing else: restart the process when this does not answer."""
        return Response({"status": OK})


class ReadyView(ProbeView):
    """`GET /api/health/ready`."""

    components: ClassVar[Sequence[Component]] = READINESS

    @described(
        operation_id="health_ready",
        summary="Requests may be sent here",
        tags=["health"],
        auth=[],
        responses={200: ReadySerializer, 503: ReadySerializer},
    )
    def get(self, request: Request) -> Response:
        """200 when the databases answer and are migrated, or else 503: send requests elsewhere meanwhile."""
        report = examine(self.components)
        return Response({"status": report.status, "details": report.details}, status=http_status(report.status))


def _routes() -> Iterable[URLPattern]:
    for route, view in (("health", HealthView), ("health/live", LiveView), ("health/ready", ReadyView)):
        yield path(route, view.as_view(), name=route.replace("/", "-"))
        # The same with a slash, kept out of the schema: one operation, described once.
        yield path(f"{route}/", view.as_view(schema=None))


urlpatterns = list(_routes())

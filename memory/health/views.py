"""Health views for load balancers, orchestrators and people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.urls import URLPattern, path
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from memory.backends import clock

from ..api.authentication import authentication_classes
from ..api.schema import document
from ..api.uncached import Uncached
from ..conf import memory_settings
from ..version import __version__
from .report import OK, READINESS, SERVICE, UNAVAILABLE, Component, examine
from .runner import within
from .serializers import EXAMPLES, HealthSerializer, LiveSerializer, ReadySerializer


class ProbeView(Uncached):
    """The base of the views: public, not throttled, not cached, always JSON."""

    authentication_classes: Sequence[type[BaseAuthentication]] = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = DefaultContentNegotiation
    versioning_class = None
    metadata_class = None

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Opt out of `ATOMIC_REQUESTS`, which would query the database before the view."""
        view: Any = super().as_view(**initkwargs)
        for alias in connections.settings:
            view = transaction.non_atomic_requests(alias)(view)
        return view

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Respond with JSON whatever the Accept header is."""
        return super().perform_content_negotiation(request, force=True)


def http_status(status: str) -> int:
    """503 if load balancers should not send requests, else 200."""
    return 503 if status == UNAVAILABLE else 200


def environment() -> str:
    """`settings.APP_ENV`, or a value derived from `DEBUG` in projects without it."""
    return str(getattr(settings, "APP_ENV", "development" if settings.DEBUG else "production"))


def is_staff_request(request: Request) -> bool:
    """Whether the request's user is active staff. This authenticates the request."""
    try:
        user: Any = request.user
    except (APIException, DatabaseError):  # invalid credentials, or an unavailable database
        return False
    # A custom user model may lack these.
    return bool(getattr(user, "is_active", False) and getattr(user, "is_staff", False))


class HealthView(ProbeView):
    """`GET /api/health`."""

    components: ClassVar[Sequence[Component]] = SERVICE
    authentication_classes = authentication_classes()

    def perform_authentication(self, request: Request) -> None:
        """No-op: `get` authenticates after the checks, since the users' database may be unavailable."""

    @document(
        operation_id="health",
        summary="Check the service and its backends",
        tags=["health"],
        auth=[],
        responses={200: HealthSerializer, 503: HealthSerializer},
        examples=EXAMPLES,
    )
    def get(self, request: Request) -> Response:
        """`ok` and `degraded` (the cache is unavailable) return 200, `unavailable` returns 503.

        Authentication is optional. For staff, `details` has the latency of each component.
        """
        deadline = clock.monotonic() + memory_settings.health_timeout
        report = examine(self.components)
        measured = report.components["app"] and self.is_for_staff(request, deadline)
        body = {
            "status": report.status,
            "environment": environment(),
            "version": __version__,
            "components": report.components,
            "details": report.measurements if measured else report.details,
        }
        return Response(body, status=http_status(report.status))

    def is_for_staff(self, request: Request, deadline: float) -> bool:
        """Whether staff asks; False if the database of the users does not answer by the deadline."""
        if not (request.META.get("HTTP_AUTHORIZATION") or request.COOKIES):
            return False
        ask = partial(is_staff_request, request)
        if any(component.check.runs_in_caller for component in self.components):
            return ask()
        return within(deadline - clock.monotonic(), ask, False)


class LiveView(ProbeView):
    """`GET /api/health/live`."""

    @document(
        operation_id="health_live",
        summary="Check that the process is alive",
        tags=["health"],
        auth=[],
        responses=LiveSerializer,
    )
    def get(self, request: Request) -> Response:
        """Checks nothing else. Restart the process if this does not respond."""
        return Response({"status": OK})


class ReadyView(ProbeView):
    """`GET /api/health/ready`."""

    components: ClassVar[Sequence[Component]] = READINESS

    @document(
        operation_id="health_ready",
        summary="Check that the service is ready",
        tags=["health"],
        auth=[],
        responses={200: ReadySerializer, 503: ReadySerializer},
    )
    def get(self, request: Request) -> Response:
        """200 if the databases respond and are migrated, else 503."""
        report = examine(self.components)
        return Response({"status": report.status, "details": report.details}, status=http_status(report.status))


def _routes() -> Iterable[URLPattern]:
    for route, view in (("health", HealthView), ("health/live", LiveView), ("health/ready", ReadyView)):
        yield path(route, view.as_view(), name=route.replace("/", "-"))
        # The same view with a trailing slash, excluded from the schema.
        yield path(f"{route}/", view.as_view(schema=None))


urlpatterns = list(_routes())

"""The views that tell load balancers, orchestrators and people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from rest_framework.views import APIView

from ..api.authentication import authentication_classes
from ..api.errors import exception_handler
from ..api.schema import document
from ..version import __version__
from .report import OK, READINESS, SERVICE, UNAVAILABLE, Component, examine
from .serializers import EXAMPLES, HealthSerializer, LiveSerializer, ReadySerializer


class ProbeView(APIView):
    """What the probes share: open to all, never throttled, never cached, always JSON."""

    authentication_classes: Sequence[type[BaseAuthentication]] = ()
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


def environment() -> str:
    """`settings.APP_ENV`, or what `DEBUG` tells where a project has no such setting."""
    return str(getattr(settings, "APP_ENV", "development" if settings.DEBUG else "production"))


def asked_by_staff(request: Request) -> bool:
    """Whether somebody of the staff asks, by a view that leaves authentication until it is asked for."""
    try:
        user: Any = request.user
    except (APIException, DatabaseError):  # credentials that are not good, or cannot be looked up, are none
        return False
    # A project's own users need not have these.
    return bool(getattr(user, "is_active", False) and getattr(user, "is_staff", False))


class HealthView(ProbeView):
    """`GET /api/health`."""

    components: ClassVar[Sequence[Component]] = SERVICE
    authentication_classes = authentication_classes()

    def perform_authentication(self, request: Request) -> None:
        """Nobody is looked up before the databases are known to answer, and nobody without credentials at all."""

    @document(
        operation_id="health",
        summary="The service and what it stands on",
        tags=["health"],
        auth=[],
        responses={200: HealthSerializer, 503: HealthSerializer},
        examples=EXAMPLES,
    )
    def get(self, request: Request) -> Response:
        """`ok` and `degraded` (the cache is away: slower) are 200, `unavailable` is 503.

        No authentication; staff are told in `details` how long each component took.
        """
        report = examine(self.components)
        measured = report.components["app"] and asked_by_staff(request)
        body = {
            "status": report.status,
            "environment": environment(),
            "version": __version__,
            "components": report.components,
            "details": report.measurements if measured else report.details,
        }
        return Response(body, status=http_status(report.status))


class LiveView(ProbeView):
    """`GET /api/health/live`."""

    @document(
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

    @document(
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
        # The same with a slash, kept out of the schema: one operation, document once.
        yield path(f"{route}/", view.as_view(schema=None))


urlpatterns = list(_routes())

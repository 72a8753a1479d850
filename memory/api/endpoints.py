"""What all endpoints of the API share: limits, checks of a request, headers of its response.

All policies are explicit, so that a project's REST_FRAMEWORK setting does not change the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from rest_framework.exceptions import AuthenticationFailed, ErrorDetail, NotFound, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.versioning import BaseVersioning
from rest_framework.viewsets import GenericViewSet

from . import filters
from .authentication import authentication_classes
from .errors import LengthRequired, printable
from .pagination import CursorPagination
from .parsers import Limits, StrictJSONParser, bulk_limits, record_limits
from .permissions import HasScope
from .schema import MemorySchema
from .throttling import AnonymousThrottle, UserThrottle, WindowThrottle
from .uncached import Uncached


class HeaderNegotiation(DefaultContentNegotiation):
    """Content negotiation by the Accept header only: `format` is an unknown parameter."""

    settings = SimpleNamespace(URL_FORMAT_OVERRIDE=None)  # type: ignore[assignment]


class Guarded(Uncached):
    """Counts requests with and without valid credentials, and refuses those without a length."""

    throttle_classes = (UserThrottle, AnonymousThrottle)
    # Those of the request, with their counts.
    throttles: Sequence[WindowThrottle] = ()

    def perform_authentication(self, request: Request) -> None:
        """Throttle before permissions are checked, so that guessed tokens count too."""
        try:
            super().perform_authentication(request)
        except AuthenticationFailed:
            super().check_throttles(request)
            raise
        super().check_throttles(request)

    def get_throttles(self) -> Any:
        """Those of this request."""
        self.throttles = cast(Sequence[WindowThrottle], super().get_throttles())
        return self.throttles

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the limits of the rate, to errors too."""
        final = super().finalize_response(request, response, *args, **kwargs)
        for throttle in self.throttles:
            for name, value in throttle.headers().items():
                final[name] = value
        return final

    def check_throttles(self, request: Request) -> None:
        """No-op: `perform_authentication` checks them."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Reject chunked bodies, which would be ignored."""
        super().initial(request, *args, **kwargs)
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            raise LengthRequired


class Endpoint(Guarded, GenericViewSet[Any]):
    """The policies of all viewsets, and checks before a request is processed."""

    authentication_classes = authentication_classes()
    permission_classes = (IsAuthenticated, HasScope)
    renderer_classes = (JSONRenderer,)
    parser_classes = (StrictJSONParser,)
    content_negotiation_class = HeaderNegotiation
    versioning_class: type[BaseVersioning] | None = None
    metadata_class = None
    filter_backends = (filters.RecordFilterBackend,)
    pagination_class: type[CursorPagination] | None = CursorPagination
    filterset_class: ClassVar[type[filters.RecordFilter]]
    schema = MemorySchema()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Reject unknown parameters, too."""
        super().initial(request, *args, **kwargs)
        if getattr(self, "action", None) in (None, "metadata"):  # method not allowed: 405 follows
            return
        errors = dict(parameter_errors(request, self.query_parameters()))
        if errors:
            raise ValidationError(errors)

    def body_limits(self) -> Limits:
        """The limits of the current action's body."""
        return bulk_limits() if getattr(self, "action", None) in ("bulk", "bulk_upsert") else record_limits()

    def query_parameters(self) -> frozenset[str]:
        """The query parameters of the current action."""
        page_parameters = self.pagination_class.parameters if self.pagination_class else frozenset()
        match getattr(self, "action", None):
            case "list" | "search":
                return page_parameters | frozenset(self.filterset_class.base_filters)
            case "history":
                return page_parameters
            case _:
                return frozenset()


class UnknownPathView(Uncached):
    """404 in the API's error format, for the last route of a project's URLconf."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    renderer_classes = (JSONRenderer,)
    versioning_class = None
    content_negotiation_class = HeaderNegotiation
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Return 404 for every method."""
        super().initial(request, *args, **kwargs)
        raise NotFound("This path does not exist. See /api/docs/ for all paths.")


def parameter_errors(request: Request, known: frozenset[str]) -> Iterator[tuple[str, list[ErrorDetail]]]:
    """The errors of unknown, empty and repeated query parameters."""
    choice = f"There are: {', '.join(sorted(known))}." if known else "There are none here."
    for name, values in request.query_params.lists():
        if name not in known:
            yield printable(name), [ErrorDetail(f"Unknown parameter. {choice}", code="unknown")]
        elif len(values) > 1:
            yield name, [ErrorDetail("This parameter must not be repeated.", code="repeated")]
        elif not values[0]:
            yield name, [ErrorDetail("This parameter must not be empty.", code="blank")]

"""Streamable HTTP: one message in a POST, one JSON response. No session is kept, so any process can answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.apps import apps
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    PermissionDenied,
    UnsupportedMediaType,
)
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import exception_handler

from memory.api.authentication import CLEAR, HASHED, AccessTokenAuthentication, LoginAuthentication
from memory.api.endpoints import Guarded, HeaderNegotiation
from memory.api.errors import BodyError, error_body, translate
from memory.api.parsers import declared_length, parse_json, read_counted, record_limits
from memory.api.permissions import principal
from memory.conf import memory_settings

from . import protocol
from .calls import FORGET, READ, WRITE, Caller
from .protocol import METHOD_HEADER, NAME_HEADER, VERSION_HEADER, ProtocolError
from .server import InsufficientScopeError, answer

logger = logging.getLogger(__name__)

SCOPES: Final = (READ, WRITE, FORGET)
ROUTING: Final = (VERSION_HEADER, METHOD_HEADER, NAME_HEADER)
TOO_LARGE: Final = "body_too_large"


class BearerAuthentication(AccessTokenAuthentication):
    """Access tokens; a 401 asks for `Bearer`."""

    def authenticate_header(self, request: Request) -> str:
        """The value of `WWW-Authenticate` in a 401 response."""
        return 'Bearer realm="memory"'


def authentication_classes() -> tuple[Any, ...]:
    """Tokens, and sessions only where no app of tokens is installed."""
    has_tokens = apps.is_installed(HASHED) or apps.is_installed(CLEAR)
    return (BearerAuthentication,) if has_tokens else (LoginAuthentication,)


class McpView(Guarded):
    """The endpoint. GET and DELETE are 405: there is no stream and no session."""

    http_method_names = ["post"]
    authentication_classes = authentication_classes()
    permission_classes = (IsAuthenticated,)
    renderer_classes = (JSONRenderer,)
    parser_classes = ()
    content_negotiation_class = HeaderNegotiation
    versioning_class = None
    metadata_class = None
    schema = None
    # The id of the request, once it is known: errors have it.
    message_id: str | int | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse pages of other sites first, then what the API refuses."""
        if not is_allowed_origin(request):
            raise PermissionDenied("The Origin is not allowed. Add it to MEMORY['MCP_ORIGINS'].")
        super().initial(request, *args, **kwargs)

    def post(self, request: Request) -> HttpResponse:
        """Answer a message; 202 without a body for a notification."""
        if request.content_type.split(";")[0].strip().lower() != "application/json":
            raise UnsupportedMediaType(request.content_type)
        body = body_of(request._request)
        self.message_id = protocol.id_of(body)
        message = protocol.read(body, headers_of(request))
        found = answer(message, caller_of(request))
        return HttpResponse(status=202) if found is None else JsonResponse(found)

    def handle_exception(self, exc: Exception) -> Any:
        """Every error as one of JSON-RPC, with the API's status and headers."""
        if isinstance(exc, ProtocolError):
            return self._refused(exc)
        error: APIException | None = self._with_authenticate_header(exc) or translate(exc)
        if error is None:
            logger.error("A request to the MCP server failed.", exc_info=exc)
            got_request_exception.send(sender=type(self), request=self.request)
            return self._refused(ProtocolError(protocol.INTERNAL_ERROR, "Internal error; see the server's log."))
        response: Any = exception_handler(error, {"view": self, "request": self.request})  # headers, and a rollback
        told = error_body(error)["error"]
        code = protocol.PARSE_ERROR if isinstance(error, BodyError) else protocol.REFUSED
        status = 413 if told["code"] == TOO_LARGE else response.status_code
        refused = self._refused(ProtocolError(code, told["message"], {"code": told["code"]}, status))
        for name, value in response.items():
            if name != "Content-Type":
                refused[name] = value
        return refused

    def _with_authenticate_header(self, exc: Exception) -> APIException | None:
        """As DRF: an error of credentials has the header, and is a 403 without one."""
        if not isinstance(exc, NotAuthenticated | AuthenticationFailed):
            return None
        error: Any = exc  # DRF's handler reads an attribute that its class lacks
        if header := self.get_authenticate_header(self.request):
            error.auth_header = header
        else:
            error.status_code = 403
        return exc

    def _refused(self, error: ProtocolError) -> HttpResponse:
        response = JsonResponse(protocol.error_response(self.message_id, error), status=error.status)
        if isinstance(error, InsufficientScopeError):
            response["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
        return response


def body_of(request: HttpRequest) -> Any:
    """The JSON of the body. Raises `BodyError` beyond the limits of a record's body in the API."""
    limits = record_limits()
    raw = read_counted(request, limits, declared_length(request.META))  # type: ignore[arg-type]  # it has `read`
    return parse_json(raw)


def headers_of(request: Request) -> Mapping[str, str]:
    """The headers that repeat parts of the message, without surrounding white space."""
    given = {name: request.headers.get(name) for name in ROUTING}
    return {name: value.strip() for name, value in given.items() if value is not None}


def caller_of(request: Request) -> Caller:
    """The owner of the records, and the scopes of the token; other credentials have all."""
    allows = getattr(request.auth, "allows", None)
    scopes = frozenset(scope for scope in SCOPES if allows is None or allows(scope))
    return Caller(principal(request), scopes)


def is_allowed_origin(request: Request) -> bool:
    """Whether the request has no Origin, or that of this host, or one of `MEMORY["MCP_ORIGINS"]`.

    A page of another site could otherwise reach a server on the visitor's own machine (DNS rebinding).
    """
    origin = request.headers.get("Origin")
    if origin is None or origin in memory_settings.mcp_origins:
        return True
    try:
        own = urlsplit(origin)
    except ValueError:  # brackets without an address
        return False
    return own.scheme == request.scheme and own.netloc == request.get_host()

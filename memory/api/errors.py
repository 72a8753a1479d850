"""One shape for every error, and the one place where exceptions become it.

    {"error": {"code": "invalid", "message": "...", "fields": {"item_type": [{"code": "required", "message": "..."}]}}}

`fields` is empty where no field is to blame; a name inside a list is a path, `items.3.item_type`; what is wrong with
the body as a whole is told under `body`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.signals import got_request_exception
from django.db import InterfaceError, NotSupportedError, OperationalError
from django.http import Http404, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions, status
from rest_framework.exceptions import APIException, ErrorDetail
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler as drf_exception_handler

from ..exceptions import StorageError
from ..search.embedders import EmbedderError

logger = logging.getLogger(__name__)

BODY = "body"
NAME_LENGTH = 100
RETRY_SECONDS = 5

Problem = dict[str, str]
Fields = dict[str, list[Problem]]


class BodyError(APIException):
    """400: the body as a whole is wrong."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "invalid_body"


class TooBroad(APIException):
    """400: storage could answer this only by reading more than it is allowed to."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "too_broad"
    default_detail = "Storage cannot answer this within its limits. Narrow it: by user, session, type or time."


class LengthRequired(APIException):
    """411: a body whose length is not told would be dropped unread."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = "Send the body with a Content-Length; chunked bodies are not read."


class Conflict(APIException):
    """409: somebody else's write came in between."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"
    default_detail = "Another request wrote one of these records meanwhile; nothing was written. Try again."


class Unavailable(APIException):
    """503: storage does not answer."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = "Storage does not answer. Try again later."
    wait = RETRY_SECONDS


class ServerError(APIException):
    """500: a fault of ours."""

    default_code = "server_error"
    default_detail = "The request could not be completed; the cause is in the server's log."


def not_found(error: Exception) -> APIException:
    """Another's record and none at all answer alike."""
    return exceptions.NotFound("There is no such record among those that you may see.")


def permission_denied(error: Exception) -> APIException:
    """Django's refusal, without its text."""
    return exceptions.PermissionDenied()


def bad_request(error: Exception) -> APIException:
    """A request that Django could not read."""
    return BodyError("The request could not be read: its body or its form is malformed, too large or incomplete.")


def too_broad(error: Exception) -> APIException:
    """A question that storage refuses, logged with what it says to do."""
    logger.warning("Storage refuses a question as too broad: %s", error)
    return TooBroad()


def unavailable(error: Exception) -> APIException:
    """Storage's silence, logged."""
    logger.error("Storage does not answer.", exc_info=error)
    return Unavailable()


def model_unavailable(error: Exception) -> APIException:
    """An embedder's silence, logged."""
    logger.error("The embedder does not answer.", exc_info=error)
    return Unavailable("The model that compares meanings does not answer. Try again later.")


def invalid(error: DjangoValidationError) -> APIException:
    """A model's validation error, by field."""
    errors = getattr(error, "error_dict", None) or {api_settings.NON_FIELD_ERRORS_KEY: error.error_list}
    return exceptions.ValidationError({name: list(_details(problems)) for name, problems in errors.items()})


def _details(problems: list[DjangoValidationError]) -> Iterator[ErrorDetail]:
    for problem in problems:
        yield ErrorDetail(" ".join(problem.messages), code=problem.code or "invalid")


def itself(error: APIException) -> APIException:
    """DRF's exceptions say what they mean."""
    return error


TRANSLATIONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Callable[[Any], APIException]], ...] = (
    (APIException, itself),
    (Http404, not_found),
    (DjangoPermissionDenied, permission_denied),
    (DjangoValidationError, invalid),
    ((SuspiciousOperation, BadRequest, MultiPartParserError, UnreadablePostError), bad_request),
    (NotSupportedError, too_broad),
    ((OperationalError, InterfaceError, StorageError), unavailable),
    (EmbedderError, model_unavailable),
)


def translate(error: Exception) -> APIException | None:
    """What the API says of an exception, or None where it is a fault of ours."""
    return next((make(error) for kinds, make in TRANSLATIONS if isinstance(error, kinds)), None)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler for the app's views: every exception leaves in the one shape."""
    known = translate(error)
    if known is None:
        logger.error("A request to the API failed.", exc_info=error)
        got_request_exception.send(sender=type(context.get("view")), request=context.get("request"))
        known = ServerError()
    # DRF's own gives the headers and rolls back; it answers None to what is no APIException, which `known` is.
    response = cast(Response, drf_exception_handler(known, context))
    response.data = error_body(known)
    return response


def error_body(error: APIException) -> dict[str, Any]:
    """The body that tells of an exception."""
    if isinstance(error, exceptions.ValidationError):
        fields = dict(flatten(error.detail))
        return _body("invalid", f"Wrong in this request: {', '.join(list(fields)[:10])}.", fields)
    told = problem(cast(ErrorDetail, error.detail))
    return _body(told["code"], told["message"], {BODY: [told]} if isinstance(error, BodyError) else {})


def problem(detail: ErrorDetail) -> Problem:
    """One thing that is wrong, for programs and for people."""
    return {"code": detail.code or "invalid", "message": str(detail)}


def _body(code: str, message: str, fields: Fields) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "fields": fields}}


def flatten(detail: Any, path: str = "") -> Iterator[tuple[str, list[Problem]]]:
    """DRF's nested errors as pairs of a path and its problems."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = str(name) == api_settings.NON_FIELD_ERRORS_KEY
            yield from flatten(inner, path if own else _join(path, str(name)))
        return
    members = detail if isinstance(detail, list) else [detail]
    if here := [member for member in members if isinstance(member, ErrorDetail)]:
        yield path or BODY, [problem(member) for member in here]
    for index, member in enumerate(members):
        if not isinstance(member, ErrorDetail):
            yield from flatten(member, _join(path, str(index)))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def shown(name: str) -> str:
    """A name that a client made up, fit to be shown: short, and without what no encoding can carry."""
    readable = name.encode(errors="backslashreplace").decode()
    return readable if len(readable) <= NAME_LENGTH else f"{readable[:NAME_LENGTH]}…"

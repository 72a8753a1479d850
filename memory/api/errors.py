"""The error format of the API, and the mapping of exceptions to it.

    {"error": {"code": "invalid", "message": "...", "fields": {"item_type": [{"code": "required", "message": "..."}]}}}

`fields` is empty if the error concerns no field. Fields inside a list have a path, `items.3.item_type`. Errors of the
whole body are reported under `body`. At most `MAX_PROBLEMS` errors are reported.
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
MAX_PROBLEMS = 100
RETRY_SECONDS = 5

Problem = dict[str, str]
Fields = dict[str, list[Problem]]


class BodyError(APIException):
    """400: the request body cannot be parsed."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "invalid_body"


class TooBroad(APIException):
    """400: the query would read more documents than the limit allows."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "too_broad"
    default_detail = "This query exceeds the storage's limits. Add a filter: user, session, type or time."


class LengthRequired(APIException):
    """411: the request has no Content-Length, so its body would be ignored."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = "Content-Length is required; chunked request bodies are not supported."


class Conflict(APIException):
    """409: a concurrent request wrote one of the records."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"
    default_detail = "A concurrent request wrote one of these records. Nothing was written; try again."


class Unavailable(APIException):
    """503: the storage is unavailable."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = "The storage is unavailable. Try again later."
    wait = RETRY_SECONDS


class ServerError(APIException):
    """500: an unhandled exception."""

    default_code = "server_error"
    default_detail = "Internal server error. The cause is in the server's log."


def not_found(error: Exception) -> APIException:
    """The same error for a missing record and for another user's record."""
    return exceptions.NotFound("Not found.")


def permission_denied(error: Exception) -> APIException:
    """Django's `PermissionDenied`, without its message."""
    return exceptions.PermissionDenied()


def bad_request(error: Exception) -> APIException:
    """A request that Django cannot parse."""
    return BodyError("The request is malformed, too large or incomplete.")


def too_broad(error: Exception) -> APIException:
    """A query that the storage refuses; its message, which suggests a fix, is logged."""
    logger.warning("The storage refused a query as too broad: %s", error)
    return TooBroad()


def unavailable(error: Exception) -> APIException:
    """A storage that is unavailable; the cause is logged."""
    logger.error("The storage is unavailable.", exc_info=error)
    return Unavailable()


def model_unavailable(error: Exception) -> APIException:
    """An embedder that failed; the cause is logged."""
    logger.error("The embedder failed.", exc_info=error)
    return Unavailable("The embedding model is unavailable. Try again later.")


def invalid(error: DjangoValidationError) -> APIException:
    """A model's validation error, grouped by field."""
    errors = getattr(error, "error_dict", None) or {api_settings.NON_FIELD_ERRORS_KEY: error.error_list}
    return exceptions.ValidationError({name: list(_details(problems)) for name, problems in errors.items()})


def _details(problems: list[DjangoValidationError]) -> Iterator[ErrorDetail]:
    for problem in problems:
        yield ErrorDetail(" ".join(problem.messages), code=problem.code or "invalid")


def unchanged(error: APIException) -> APIException:
    """DRF's exceptions stay as they are."""
    return error


TRANSLATIONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Callable[[Any], APIException]], ...] = (
    (APIException, unchanged),
    (Http404, not_found),
    (DjangoPermissionDenied, permission_denied),
    (DjangoValidationError, invalid),
    ((SuspiciousOperation, BadRequest, MultiPartParserError, UnreadablePostError), bad_request),
    (NotSupportedError, too_broad),
    ((OperationalError, InterfaceError, StorageError), unavailable),
    (EmbedderError, model_unavailable),
)


def translate(error: Exception) -> APIException | None:
    """The API's exception for `error`, or None if it is unexpected."""
    return next((make(error) for kinds, make in TRANSLATIONS if isinstance(error, kinds)), None)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """The app's DRF exception handler: gives every exception the same format."""
    known = translate(error)
    if known is None:
        logger.error("A request to the API failed.", exc_info=error)
        got_request_exception.send(sender=type(context.get("view")), request=context.get("request"))
        known = ServerError()
    # DRF's handler sets headers and rolls back. It returns None only for exceptions other than APIException.
    response = cast(Response, drf_exception_handler(known, context))
    response.data = error_body(known)
    return response


def error_body(error: APIException) -> dict[str, Any]:
    """The response body for an exception."""
    if isinstance(error, exceptions.ValidationError):
        fields = first_problems(error.detail)
        return _body("invalid", f"Invalid values: {', '.join(list(fields)[:10])}.", fields)
    found = problem(cast(ErrorDetail, error.detail))
    return _body(found["code"], found["message"], {BODY: [found]} if isinstance(error, BodyError) else {})


def problem(detail: ErrorDetail) -> Problem:
    """One error as its code and message."""
    return {"code": detail.code or "invalid", "message": str(detail)}


def _body(code: str, message: str, fields: Fields) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "fields": fields}}


def first_problems(detail: Any) -> Fields:
    """DRF's nested errors by path, the first `MAX_PROBLEMS`."""
    found: Fields = {}
    left = MAX_PROBLEMS
    for path, problems in flatten(detail):
        if left <= 0:
            break
        found[path] = problems[:left]
        left -= len(problems)
    return found


def flatten(detail: Any, path: str = "") -> Iterator[tuple[str, list[Problem]]]:
    """Flatten DRF's nested errors into pairs of a path and its problems."""
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


def printable(name: str) -> str:
    """A name from the client, truncated, with lone surrogates escaped."""
    readable = name.encode(errors="backslashreplace").decode()
    return readable if len(readable) <= NAME_LENGTH else f"{readable[:NAME_LENGTH]}…"

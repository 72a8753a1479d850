"""The error format of the API, and the mapping of exceptions to it.

    {"error": {"code": "invalid", "message": "...", "fields": {"item_type": [{"code": "required", "message": "..."}]},
     "request_id": "..."}}

`fields` is empty if the error concerns no field. Fields inside a list have a path, `items.3.item_type`. Errors of the
whole body are reported under `body`. At most `MAX_PROBLEMS` errors are reported.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, cast

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.signals import got_request_exception
from django.db import DatabaseError, DataError, InterfaceError, InternalError, NotSupportedError, OperationalError
from django.http import Http404, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions, status
from rest_framework.exceptions import APIException, ErrorDetail
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler as drf_exception_handler

from ..contention import engine_error, is_contention, is_outcome_unknown
from ..exceptions import PersonErased, StorageError
from ..request_ids import request_id
from ..search.embedders import EmbedderError

logger = logging.getLogger(__name__)

BODY = "body"
NAME_LENGTH = 100
MAX_PROBLEMS = 100
SIZES = re.compile(r"has ([\d,]+) bytes; the limit of [\w ']+ is ([\d,]+)\.")
RETRY_SECONDS = 5
CONTENTION_SECONDS = 1

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


class Erased(APIException):
    """409: the person was erased, and their records cannot be written until a given time."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "person_erased"


class Unavailable(APIException):
    """503: the storage is unavailable."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = "The storage is unavailable. Try again later."
    wait = RETRY_SECONDS


class Contended(Unavailable):
    """503: concurrent requests kept changing the same records."""

    default_code = "contention"
    default_detail = "Concurrent requests kept changing the same records. Nothing was written; try again."
    wait = CONTENTION_SECONDS


class MissingIndex(Unavailable):
    """503: the database lacks an index that the query needs."""

    default_code = "missing_index"
    default_detail = "This query needs an index that the database lacks. Its definition is in the server's log."

    def __init__(self, definition: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.definition = definition


class TooLarge(APIException):
    """413: the records exceed the size of one commit."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "commit_too_large"


class InvalidValue(APIException):
    """400: the database refused a value that validation accepted."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "invalid_value"
    default_detail = "The storage cannot hold or compare one of the values."


class OutcomeUnknown(APIException):
    """500: the storage's response to a write was lost. `ids` are those of the records."""

    default_code = "outcome_unknown"
    default_detail = (
        "The storage did not confirm this write, so it may have been applied. Read the records in `fields` before you "
        "send it again."
    )

    def __init__(self, ids: Iterable[str] = ()) -> None:
        super().__init__()
        self.ids = tuple(ids)


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


def erased(error: Exception) -> APIException:
    """A write of an erased person; the message has the time until which writes are refused."""
    return Erased(str(error))


def unavailable(error: Exception) -> APIException:
    """A storage that is unavailable; the cause is logged."""
    logger.error("The storage is unavailable.", exc_info=error)
    return Unavailable()


def contended(error: Exception) -> APIException:
    """Contention that outlasted the retries."""
    logger.warning("A write was given up after contention: %s", error)
    return Contended()


def missing_index(error: Exception) -> APIException:
    """A missing index; the message, which has its definition, is logged."""
    logger.error("A query of the API needs an index: %s", error)
    return MissingIndex(getattr(error, "definition", None))


def too_large(error: Exception) -> APIException:
    """A transaction above the limit of a commit; the engine's message has the numbers. Nothing was sent."""
    return TooLarge(f"The records together exceed the limit of one commit; send fewer at once. {_limit_in(error)}")


def _limit_in(error: Exception) -> str:
    found = SIZES.search(str(error))
    return f"They have {found[1]} bytes; the limit is {found[2]}." if found else ""


def invalid_value(error: Exception) -> APIException:
    """A value that the database refused; the cause is logged."""
    logger.warning("The storage refused a value.", exc_info=error)
    return InvalidValue()


def outcome_unknown(error: Exception) -> APIException:
    """A write whose outcome is unknown; the cause is logged."""
    logger.error("The outcome of a write is unknown.", exc_info=error)
    return OutcomeUnknown()


def not_supported(error: Exception) -> APIException:
    """A query that the engine refuses, or a call that the server does not implement."""
    status_of = engine_error("status_of")
    refused_by_server = status_of and error.__cause__ is not None and status_of(error.__cause__) is not None
    return unavailable(error) if refused_by_server else too_broad(error)


@contextmanager
def naming(ids: Iterable[str]) -> Iterator[None]:
    """Name these records in the error of a write inside whose outcome is unknown."""
    try:
        yield
    except DatabaseError as error:
        if not is_outcome_unknown(error):
            raise
        logger.exception("The outcome of a write is unknown.")
        raise OutcomeUnknown(ids) from error


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


Make = Callable[[Any], APIException]
# The app's own predicates come first: they see the engine's classes, and SQLite's codes.
PREDICATES: tuple[tuple[Callable[[Exception], bool], Make], ...] = (
    (is_outcome_unknown, outcome_unknown),
    (is_contention, contended),
    (lambda error: isinstance(error, engine_error("MissingIndex")), missing_index),
    (lambda error: isinstance(error, engine_error("TransactionTooLarge")), too_large),
)
TRANSLATIONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Make], ...] = (
    (APIException, unchanged),
    (Http404, not_found),
    (DjangoPermissionDenied, permission_denied),
    (DjangoValidationError, invalid),
    ((SuspiciousOperation, BadRequest, MultiPartParserError, UnreadablePostError), bad_request),
    (NotSupportedError, not_supported),
    (DataError, invalid_value),
    (PersonErased, erased),
    ((OperationalError, InterfaceError, InternalError, StorageError), unavailable),
    (EmbedderError, model_unavailable),
)


def translate(error: Exception) -> APIException | None:
    """The API's exception for `error`, or None if it is unexpected."""
    for applies, make in PREDICATES:
        if applies(error):
            return make(error)
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
    if isinstance(known, exceptions.MethodNotAllowed):
        response.data["error"]["message"] += f" Allowed: {', '.join(_methods_of(context.get('view')))}."
    if isinstance(known, MissingIndex) and known.definition and _is_staff(context.get("request")):
        fields = response.data["error"]["fields"]
        fields["index"] = [{"code": known.default_code, "message": json.dumps(known.definition)}]
    return response


def _methods_of(view: Any) -> list[str]:
    return [name for name in getattr(view, "allowed_methods", ()) if name not in ("HEAD", "OPTIONS")]


def _is_staff(request: Any) -> bool:
    return bool(getattr(getattr(request, "user", None), "is_staff", False))


# What to send instead, by the class of an error whose message does not say it.
ADVICE: tuple[tuple[type[APIException], str], ...] = (
    (exceptions.NotAuthenticated, " Send the header 'Authorization: Token <token>'."),
    (exceptions.UnsupportedMediaType, " Send JSON with the header 'Content-Type: application/json'."),
    (exceptions.NotAcceptable, " The API answers with application/json."),
)


def advice_on(error: APIException) -> str:
    """A sentence that follows the error's message, or nothing."""
    return next((advice for kind, advice in ADVICE if isinstance(error, kind)), "")


def error_body(error: APIException) -> dict[str, Any]:
    """The response body for an exception."""
    if isinstance(error, exceptions.ValidationError):
        fields = first_problems(error.detail)
        return _body("invalid", f"Invalid values: {', '.join(list(fields)[:10])}.", fields)
    found = problem(cast(ErrorDetail, error.detail))
    if isinstance(error, OutcomeUnknown):
        ids = [{"code": found["code"], "message": pk} for pk in islice(error.ids, MAX_PROBLEMS)]
        return _body(found["code"], found["message"], {"id": ids} if ids else {})
    fields = {BODY: [found]} if isinstance(error, BodyError) else {}
    return _body(found["code"], found["message"] + advice_on(error), fields)


def problem(detail: ErrorDetail) -> Problem:
    """One error as its code and message."""
    return {"code": detail.code or "invalid", "message": str(detail)}


def _body(code: str, message: str, fields: Fields) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "fields": fields, "request_id": request_id()}}


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

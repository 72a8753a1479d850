"""Pages by cursor: the time and id of the last record seen.

A position is a place in the order, not a count of records before it. So thousands of records of one timestamp are paged
like others, a page costs the same however deep it lies, and records that come or go meanwhile shift nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model, Q, QuerySet
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from .. import history
from ..conf import memory_settings
from ..models import UserSession
from .fields import parse_timestamp

WHOLE_NUMBER = re.compile(r"[1-9]\d{0,8}", re.ASCII)


@dataclass(frozen=True)
class Cursor:
    """A place between two records: after (`backwards`: before) the one with this time and id."""

    ordering: str
    backwards: bool
    time: datetime
    id: str

    def encode(self) -> str:
        """Text for a URL."""
        parts = [self.ordering, self.backwards, self.time.isoformat(), self.id]
        return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """The inverse of `encode`; anything else is a `ValueError`."""
        try:
            parts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            ordering, backwards, time, pk = parts
            return cls(str(ordering), bool(backwards), parse_timestamp(time), str(pk))
        except (ValueError, OverflowError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
            raise ValueError("not a cursor") from error


def invalid(name: str, message: str, code: str = "invalid") -> ValidationError:
    """The error for one query parameter."""
    return ValidationError({name: [ErrorDetail(message, code=code)]})


class CursorPagination(BasePagination):
    """`limit`, `cursor` and `ordering`; the view's `orderings` are the names of the latter, the first by default.

    An ordering names a time field, with `-` for newest first; ids settle ties.
    """

    parameters: frozenset[str] = frozenset({"limit", "cursor", "ordering"})

    @property
    def default_limit(self) -> int:
        """Records on a page, where `limit` is not given."""
        return memory_settings.page_size

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """The page's records; remembers what lies around it."""
        self.request = request
        ordering = self.ordering(request, view)
        limit = self.limit(request)
        cursor = self.cursor(request, ordering)
        backwards = cursor is not None and cursor.backwards
        found = self.fetch(queryset, ordering, cursor, limit + 1)
        more = len(found) > limit
        page = found[:limit][::-1] if backwards else found[:limit]
        self.next = self._link(ordering, page, backwards=False) if more or backwards else None
        self.previous = self._link(ordering, page, backwards=True) if (more if backwards else cursor) else None
        return page

    def fetch(self, queryset: QuerySet[Any], ordering: str, cursor: Cursor | None, count: int) -> list[Any]:
        """At most `count` records from the cursor on, in the direction in which it looks."""
        return list(page_query(queryset, ordering, cursor)[:count])

    def ordering(self, request: Request, view: APIView | None) -> str:
        """The ordering that the request asks for."""
        known: Sequence[str] = getattr(view, "orderings", ())
        asked = request.query_params.get("ordering", known[0])
        if asked not in known:
            raise invalid("ordering", f"This must be one of: {', '.join(known)}.")
        return asked

    def limit(self, request: Request) -> int:
        """How many records the request asks for."""
        most = memory_settings.max_page_size
        asked = request.query_params.get("limit")
        if asked is None:
            return self.default_limit
        if not WHOLE_NUMBER.fullmatch(asked) or int(asked) > most:
            raise invalid("limit", f"This must be a whole number from 1 to {most}.")
        return int(asked)

    def cursor(self, request: Request, ordering: str) -> Cursor | None:
        """Where the request wants to go on."""
        text = request.query_params.get("cursor")
        if text is None:
            return None
        try:
            cursor = Cursor.decode(text)
        except ValueError as error:
            message = "This is no cursor: take it from `next` or `previous` of a page."
            raise invalid("cursor", message, "invalid_cursor") from error
        if cursor.ordering != ordering:
            message = f"This cursor is of a list ordered otherwise, not by {ordering!r}."
            raise invalid("cursor", message, "invalid_cursor")
        return cursor

    def _link(self, ordering: str, page: Sequence[Model], backwards: bool) -> str | None:
        url = self.request.build_absolute_uri()
        if not page:  # everything on this side is gone: the list starts anew
            return remove_query_param(url, "cursor")
        edge = page[0] if backwards else page[-1]
        time = getattr(edge, ordering.lstrip("-"))
        return replace_query_param(url, "cursor", Cursor(ordering, backwards, time, str(edge.pk)).encode())

    def get_paginated_response(self, data: Any) -> Response:
        """The page, and whether there is more."""
        return Response(
            {"next": self.next, "previous": self.previous, "has_more": self.next is not None, "results": data}
        )

    def get_paginated_response_schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The page in OpenAPI."""
        link = {"type": "string", "format": "uri", "nullable": True}
        example = "http://localhost:8000/api/memory-items/?cursor=WyItdGltZXN0YW1wIiwgZmFsc2Vd"
        return {
            "type": "object",
            "required": ["next", "previous", "has_more", "results"],
            "properties": {
                "next": {**link, "description": "The page after this one.", "example": example},
                "previous": {**link, "description": "The page before this one.", "example": None},
                "has_more": {
                    "type": "boolean",
                    "description": "Whether there is a page after this one.",
                    "example": True,
                },
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """The parameters in OpenAPI."""
        most = memory_settings.max_page_size
        described = {
            "limit": (
                {"type": "integer", "minimum": 1, "maximum": most, "default": self.default_limit},
                f"Records on a page, at most {most}; more is an error.",
            ),
            "cursor": (
                {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
                "Where to go on: from `next` or `previous` of a page.",
            ),
            "ordering": (
                {"type": "string", "enum": list(view.orderings), "default": view.orderings[0]},
                "By time; `-` is newest first. Ids settle ties.",
            ),
        }
        return [
            {"name": name, "in": "query", "required": False, "description": text, "schema": schema}
            for name, (schema, text) in described.items()
            if name in self.parameters
        ]


class HistoryPagination(CursorPagination):
    """A conversation's pages: newest first, 20 messages unless told otherwise."""

    parameters = frozenset({"limit", "cursor"})
    default_limit = 20
    session: UserSession

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """As `CursorPagination`; `queryset` is the session."""
        self.session = queryset
        return super().paginate_queryset(queryset.items(), request, view)

    def fetch(self, queryset: QuerySet[Any], ordering: str, cursor: Cursor | None, count: int) -> list[Any]:
        """The first page comes by way of the conversation cache."""
        if cursor is None:
            return history.recent(self.session.user_id, self.session.session_id, count)
        return super().fetch(queryset, ordering, cursor, count)

    def ordering(self, request: Request, view: APIView | None) -> str:
        """Always newest first."""
        return "-timestamp"


def page_query(queryset: QuerySet[Any], ordering: str, cursor: Cursor | None) -> QuerySet[Any]:
    """The records from a cursor on, in the direction in which it looks."""
    name = ordering.lstrip("-")
    descending = ordering.startswith("-") != (cursor is not None and cursor.backwards)
    sign = "-" if descending else ""
    ordered = queryset.order_by(f"{sign}{name}", f"{sign}pk")
    if cursor is None:
        return ordered
    side = "lt" if descending else "gt"
    # The first condition says nothing that the second does not; it is the range that an index can walk.
    return ordered.filter(
        Q(**{f"{name}__{side}e": cursor.time}),
        Q(**{f"{name}__{side}": cursor.time}) | Q(**{f"pk__{side}": cursor.id}),
    )

"""Cursor pagination by time and id.

Pages are bounded by their number of records and by `PAGE_BYTES`. A cursor holds the time and id of the last record, not
an offset. Records may have equal timestamps, the cost of a page does not depend on its depth, and concurrent inserts
and deletes shift no records.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Model, Q
from django.utils import timezone
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from memory.backends.firestore.values.sizes import size_of

from .. import history
from ..conf import memory_settings
from ..limits import text_problem
from ..models import UserSession
from ..querysets.scan import Matches, streamed
from ..querysets.validity import first_valid
from .fields import WHOLE_NUMBER, parse_timestamp
from .filters import ALL, MomentOrAllFilter, MomentOrAllFormField

PAGE_BYTES = 8 * 1024 * 1024
"""Bytes of a page's records in memory. A page ends before the record that exceeds them."""
MOST_SCANNED, SCANNED_BYTES = 1_000, 32 * 1024 * 1024
"""Records, and their bytes, that one page reads where a filter is evaluated in Python."""


@dataclass(frozen=True)
class Cursor:
    """A position after (`backwards`: before) the record with this time and id."""

    ordering: str
    backwards: bool
    time: datetime
    id: str

    def encode(self) -> str:
        """Encode for a URL."""
        parts = [self.ordering, self.backwards, self.time.isoformat(), self.id]
        return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """The inverse of `encode`; raises `ValueError` for other text."""
        try:
            parts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            ordering, backwards, time, pk = parts
            if text_problem(str(pk)):
                raise ValueError("not an id")
            return cls(str(ordering), bool(backwards), parse_timestamp(time), str(pk))
        except (ValueError, OverflowError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
            raise ValueError("invalid cursor") from error


@dataclass(frozen=True)
class Fetched:
    """Records from a cursor on, whether there may be more, and the last one that was read if it is not among them."""

    records: list[Any]
    more: bool = False
    last: Any = None


def up_to(records: Iterable[Any], limit: int, most_bytes: int | None = None) -> Fetched:
    """At most `limit` records, of at most `most_bytes` (`PAGE_BYTES`) together; the first one whatever its size."""
    most = PAGE_BYTES if most_bytes is None else most_bytes
    page: list[Any] = []
    size = 0
    for record in records:
        size += size_of(record)
        if len(page) == limit or (page and size > most):
            return Fetched(page, more=True)
        page.append(record)
    return Fetched(page)


def matching(records: Iterable[Any], limit: int, matches: Matches) -> Fetched:
    """The same of the records that match. Ends, perhaps with a short page, after `MOST_SCANNED` records.

    Or after `SCANNED_BYTES`, so that a request is short; the cursor continues there.
    """
    page: list[Any] = []
    size = read = count = 0
    last = None
    for record in records:
        own = size_of(record)
        if matches(record):
            size += own
            if len(page) == limit or (page and size > PAGE_BYTES):
                return Fetched(page, more=True)
            page.append(record)
        last, read, count = record, read + own, count + 1
        if count == MOST_SCANNED or read > SCANNED_BYTES:
            return Fetched(page, more=True, last=last)
    return Fetched(page)


def invalid(name: str, message: str, code: str = "invalid") -> ValidationError:
    """The error for one query parameter."""
    return ValidationError({name: [ErrorDetail(message, code=code)]})


class CursorPagination(BasePagination):
    """The parameters `limit`, `cursor` and `ordering`. The view's `orderings` are the allowed ones, default first.

    An ordering is a time field, with `-` for newest first; ties are ordered by id.
    """

    parameters: frozenset[str] = frozenset({"limit", "cursor", "ordering"})
    # Whether the records are items, of which those that are not valid now are left out.
    is_current = False

    @property
    def default_limit(self) -> int:
        """The page size without `limit`."""
        return memory_settings.page_size

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """The page's records; also sets the links to the pages around it."""
        self.request = request
        ordering = self.ordering(request, view)
        limit = self.limit(request)
        cursor = self.cursor(request, ordering)
        backwards = cursor is not None and cursor.backwards
        self.is_current = getattr(view, "is_current", False)
        found = self.fetch(queryset, ordering, cursor, limit, getattr(view, "matches", None))
        page = found.records[::-1] if backwards else found.records
        ahead = [found.last] if found.last is not None else page
        onward = self._link(ordering, ahead, backwards) if found.more else None
        back = self._link(ordering, page or ahead, not backwards) if cursor else None
        self.next, self.previous = (back, onward) if backwards else (onward, back)
        return page

    def fetch(
        self, queryset: Any, ordering: str, cursor: Cursor | None, limit: int, matches: Matches | None
    ) -> Fetched:
        """At most `limit` records from the cursor, in its direction."""
        records = page_query(queryset, ordering, cursor)
        if matches is None:
            found = first_valid(records, limit + 1) if self.is_current else streamed(records[: limit + 1])
            return up_to(found, limit)
        if self.is_current:
            now = timezone.now()
            return matching(streamed(records[:MOST_SCANNED]), limit, lambda one: one.is_valid(now) and matches(one))
        return matching(streamed(records[:MOST_SCANNED]), limit, matches)

    def ordering(self, request: Request, view: APIView | None) -> str:
        """The requested ordering."""
        known: Sequence[str] = getattr(view, "orderings", ())
        asked = request.query_params.get("ordering", known[0])
        if asked not in known:
            raise invalid("ordering", f"Enter one of: {', '.join(known)}.")
        return asked

    def limit(self, request: Request) -> int:
        """The requested page size."""
        maximum = memory_settings.max_page_size
        asked = request.query_params.get("limit")
        if asked is None:
            return self.default_limit
        if not WHOLE_NUMBER.fullmatch(asked) or int(asked) > maximum:
            raise invalid("limit", f"Enter a whole number from 1 to {maximum}.")
        return int(asked)

    def cursor(self, request: Request, ordering: str) -> Cursor | None:
        """The requested cursor, or None."""
        text = request.query_params.get("cursor")
        if text is None:
            return None
        try:
            cursor = Cursor.decode(text)
        except ValueError as error:
            message = "Invalid cursor. Use the `next` or `previous` link of a page."
            raise invalid("cursor", message, "invalid_cursor") from error
        if cursor.ordering != ordering:
            message = f"This cursor belongs to another ordering than {ordering!r}."
            raise invalid("cursor", message, "invalid_cursor")
        return cursor

    def _link(self, ordering: str, page: Sequence[Model], backwards: bool) -> str | None:
        url = self.request.build_absolute_uri()
        if not page:  # no records are left on this side: link to the first page
            return remove_query_param(url, "cursor")
        edge = page[0] if backwards else page[-1]
        time = getattr(edge, ordering.lstrip("-"))
        return replace_query_param(url, "cursor", Cursor(ordering, backwards, time, str(edge.pk)).encode())

    def get_paginated_response(self, data: Any) -> Response:
        """The page with its links and `has_more`."""
        return Response(
            {"next": self.next, "previous": self.previous, "has_more": self.next is not None, "results": data}
        )

    def get_paginated_response_schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The OpenAPI schema of a page."""
        link = {"type": "string", "format": "uri", "nullable": True}
        example = "http://localhost:8000/api/memory-items/?cursor=WyItdGltZXN0YW1wIiwgZmFsc2Vd"
        return {
            "type": "object",
            "required": ["next", "previous", "has_more", "results"],
            "properties": {
                "next": {**link, "description": "URL of the next page.", "example": example},
                "previous": {**link, "description": "URL of the previous page.", "example": None},
                "has_more": {
                    "type": "boolean",
                    "description": "Whether there is a next page.",
                    "example": True,
                },
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """The OpenAPI parameters."""
        maximum = memory_settings.max_page_size
        described = {
            "limit": (
                {"type": "integer", "minimum": 1, "maximum": maximum, "default": self.default_limit},
                f"Page size; at most {maximum}.",
            ),
            "cursor": (
                {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
                "The position, from the `next` or `previous` link of a page.",
            ),
            "as_of": (
                dict(MomentOrAllFilter.SHAPE),
                "Items that are valid at this time, or `now`; `all`: superseded ones, too.",
            ),
            "ordering": (
                {"type": "string", "enum": list(view.orderings), "default": view.orderings[0]},
                "Order by time; `-` for newest first. Ties are ordered by id.",
            ),
        }
        return [
            {"name": name, "in": "query", "required": False, "description": text, "schema": schema}
            for name, (schema, text) in described.items()
            if name in self.parameters
        ]


class HistoryPagination(CursorPagination):
    """Pagination of a session's items: newest first, 20 items by default."""

    parameters = frozenset({"limit", "cursor", "as_of"})
    default_limit = 20
    # The requested time, or `ALL`; None: now.
    as_of: Any = None

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """Like `CursorPagination`, but `queryset` is the session."""
        self.as_of = self.moment(request)
        return super().paginate_queryset(queryset, request, view)

    def moment(self, request: Request) -> Any:
        """The requested `as_of`."""
        try:
            return MomentOrAllFormField(required=False).clean(request.query_params.get("as_of"))
        except DjangoValidationError as error:
            raise invalid("as_of", error.messages[0]) from error

    def fetch(
        self, queryset: Any, ordering: str, cursor: Cursor | None, limit: int, matches: Matches | None
    ) -> Fetched:
        """Read the first page through the conversation cache."""
        self.is_current = self.as_of is None
        if cursor is None and self.as_of in (None, ALL):
            session: UserSession = queryset
            found = history.recent(
                session.user_id, session.session_id, limit + 1, most_bytes=PAGE_BYTES, superseded=self.as_of == ALL
            )
            return up_to(found, limit)
        items = queryset.items()
        if self.as_of not in (None, ALL):
            items = items.as_of(self.as_of)
        return super().fetch(items, ordering, cursor, limit, None)

    def ordering(self, request: Request, view: APIView | None) -> str:
        """Always newest first."""
        return "-timestamp"


def page_query(queryset: Any, ordering: str, cursor: Cursor | None) -> Any:
    """The records from the cursor, in its direction."""
    name = ordering.lstrip("-")
    descending = ordering.startswith("-") != (cursor is not None and cursor.backwards)
    sign = "-" if descending else ""
    ordered = queryset.order_by(f"{sign}{name}", f"{sign}pk")
    if cursor is None:
        return ordered
    side = "lt" if descending else "gt"
    # The first condition is implied by the second, but lets the database use a range of an index.
    return ordered.filter(
        Q(**{f"{name}__{side}e": cursor.time}),
        Q(**{f"{name}__{side}": cursor.time}) | Q(**{f"pk__{side}": cursor.id}),
    )

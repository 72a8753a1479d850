"""The change list of records: bounded counts, bounded look-ups, and no large columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.contrib.admin.utils import build_q_object_from_lookup_parameters
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.paginator import Paginator
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext as now

from .dates import until_the_end

if TYPE_CHECKING:
    RecordPaginator = Paginator[Any]
else:
    RecordPaginator = Paginator

# Records that a list counts and pages through: filters and dates lead to the rest.
MOST_LISTED = 10_000
# Records in which words, and values that no index has, are looked up.
MOST_LOOKED_UP = 10_000


class BoundedNumber(int):
    """A number that counting stopped at."""

    def __str__(self) -> str:
        return f"{int(self)}+"


class BoundedPaginator(RecordPaginator):
    """Counts up to `MOST_LISTED` records; the pages of the list end there."""

    @cached_property
    def count(self) -> int:
        """The number of records, or a `BoundedNumber`."""
        if not isinstance(self.object_list, QuerySet):
            return len(self.object_list)
        counted = self.object_list.order_by()[: MOST_LISTED + 1].count()
        return counted if counted <= MOST_LISTED else BoundedNumber(MOST_LISTED)


class SingleOrderChangeList(ChangeList):
    """A change list in the order of its admin, whatever the URL says: there is no index for others."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        self.params.pop(ORDER_VAR, None)
        return super().get_ordering(request, queryset)


class RecordChangeList(ChangeList):
    """A change list that defers large columns that it does not show, such as vectors, and reads few records.

    Words, and the values of filters with `reads_records`, are in no index that helps. They are looked up in the newest
    `MOST_LOOKED_UP` records that pass the other filters. Firestore's engine bounds what it reads, and refuses more.
    """

    @property
    def _looks_up_newest(self) -> bool:
        """Whether a list that reads records is limited to the newest."""
        return connections[self.root_queryset.db].vendor != "firestore"

    def get_filters(self, request: HttpRequest) -> Any:
        """Like Django's, for the last year, month and day that there are, too."""
        given = self.filter_params
        if self.date_hierarchy:
            self.filter_params = until_the_end(given, str(self.date_hierarchy))
        try:
            found = super().get_filters(request)
        finally:
            self.filter_params = given  # links are made of them
        self._lookups: Any = found[2]
        return found

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self._request = request
        found: Any = super().get_queryset(request, exclude_parameters)
        if self._looks_up_newest and self.reads_records(exclude_parameters):
            found = self._among_newest(found, exclude_parameters)
        found = found.without_index()
        if self.query:  # words in any text: bounded, and too broad a search shows a message
            found.query.expects_mirror = True
        # All admins here are RecordAdmins. Columns and filters that no index serves are evaluated over a bounded read.
        return cast(QuerySet[Any], found.defer(*self.model_admin.deferred_fields))  # type: ignore[attr-defined]

    def reads_records(self, excluded: Sequence[str | None] | None) -> bool:
        """Whether words or a filter are looked up, or the choices of such a filter are counted."""
        unindexed: list[Any] = [one for one in self.filter_specs if is_unindexed(one)]
        return self.searches_words() or any(
            one.value() is not None or one.expected_parameters() == excluded for one in unindexed
        )

    def searches_words(self) -> bool:
        """Whether the text of the search is looked up in the records."""
        return bool(self.query)

    def of_the_query(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The records that pass what the text of the search says of indexed columns: here nothing."""
        return rows

    def _among_newest(self, found: QuerySet[Any], excluded: Sequence[str | None] | None) -> QuerySet[Any]:
        """Those of the newest records, with a message if there are others."""
        field, rows = str(self.date_hierarchy), self.of_the_query(self.root_queryset)
        for one in self.filter_specs:
            if not is_unindexed(one) and one.expected_parameters() != excluded:
                filtered = one.queryset(self._request, rows)
                rows = rows if filtered is None else filtered
        rows = rows.filter(build_q_object_from_lookup_parameters(self._lookups)).order_by(f"-{field}")
        most = MOST_LOOKED_UP
        oldest = next(iter(rows.values_list(field, flat=True)[most - 1 : most]), None)
        if oldest is None:
            return found
        text = now("The list was looked up in the newest %d records. Other filters narrow it.")
        inform_once(self._request, text % most)
        return found.filter(**{f"{field}__gte": oldest})


def is_unindexed(filter_spec: Any) -> bool:
    """Whether the records that pass the other filters are read for this filter."""
    return getattr(filter_spec, "reads_records", False)


def inform_once(request: HttpRequest, text: str) -> None:
    """Add the message, unless this request has it: a list is evaluated several times."""
    if text not in (given := request.__dict__.setdefault("memory_admin_messages", set())):
        given.add(text)
        messages.info(request, text)

"""The search box of memory items: ranked search in one user's memory, keyword search in all.

The user is given by a prefix, `user:ada what did she paint?` (quoted if the name has spaces), or by the filter. Then
`min_score:0.3` leaves out results with a lower score, `hidden:yes` finds hidden items, too, and `asker:Bo` names the
speaker who says "I" in the question (quoted as a user).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.contrib import messages
from django.contrib.admin.views.main import ORDER_VAR
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as now
from django.utils.translation import ngettext

from ..embedding import EmbedderError
from ..extras import MissingExtra
from ..models import MemoryItem
from ..text_index import Results
from .change_lists import RecordChangeList

NAMED = re.compile(r'\s*user:(?:"(?P<quoted>[^"]+)"|(?P<plain>\S+))(?P<rest>.*)', re.DOTALL)
OPTION = re.compile(
    r"\s*(?:min_score:(?P<score>0?\.\d{1,6}|[01](?:\.0{1,6})?)|(?P<hidden>hidden:yes)"
    r'|asker:(?:"(?P<quoted>[^"]+)"|(?P<plain>[^\s"]+)))(?=\s|$)',
    re.ASCII,
)
MAX_RESULTS = 50


@dataclass(frozen=True)
class MemoryQuery:
    """A search in one user's memory. An empty query lists all items."""

    user_id: str
    text: str
    min_score: float = 0.0
    hidden: bool = False
    asker: str = ""


def parse_query(search_text: str, selected_user: str | None) -> MemoryQuery | None:
    """Parse the search text, with the user of the filter if any. None if no user is given."""
    if named := NAMED.fullmatch(search_text):
        return with_options(named["quoted"] or named["plain"], named["rest"])
    return with_options(selected_user, search_text) if selected_user else None


def with_options(user_id: str, text: str) -> MemoryQuery:
    """The search of a text that may begin with options."""
    min_score, hidden, asker = 0.0, False, ""
    while option := OPTION.match(text):
        text = text[option.end() :]
        min_score = float(option["score"]) if option["score"] else min_score
        hidden = hidden or option["hidden"] is not None
        asker = option["quoted"] or option["plain"] or asker
    return MemoryQuery(user_id, text.strip(), min_score, hidden, asker)


def search_results(
    request: HttpRequest, items: QuerySet[MemoryItem], memory_query: MemoryQuery
) -> list[MemoryItem] | None:
    """The best results with scores and their parts, or None with a message if the embedder fails.

    Stored on the request, since an action evaluates the list again.
    """
    known: dict[MemoryQuery, list[MemoryItem] | None] = request.__dict__.setdefault("memory_search_results", {})
    if memory_query not in known:
        known[memory_query] = _search(request, items, memory_query)
    return known[memory_query]


def _search(request: HttpRequest, items: Any, memory_query: MemoryQuery) -> list[MemoryItem] | None:
    try:
        found: Results = items.search(
            memory_query.text,
            limit=MAX_RESULTS,
            explain=True,
            min_score=memory_query.min_score,
            hidden=memory_query.hidden,
            asker=memory_query.asker,
        )
    except ValueError as error:  # too long
        messages.error(request, str(error))
        return []
    except EmbedderError as error:
        text = now("The embedding model is unavailable, so only keywords were searched: %s")
        messages.warning(request, text % error)
        return None
    except MissingExtra as error:
        messages.warning(request, str(error))
        return None
    from ..search import MIN_SCORE  # needs an extra

    if all(item.score < MIN_SCORE for item in found):
        text = now("Nothing found: no item has a score of at least %(score)s.")
        nearest = now("The nearest are listed.") if found else ""
        messages.info(request, f"{text % {'score': MIN_SCORE}} {nearest}".strip())
    if found.waiting:
        messages.warning(request, waiting_text(found.waiting))
    return found


def waiting_text(waiting: int) -> str:
    """Says that a search did not read all items in full."""
    text = ngettext(
        "%(count)d item waits for the search index and was not searched in full. Search again in a moment.",
        "%(count)d items wait for the search index and were not searched in full. Search again in a moment.",
        waiting,
    )
    return text % {"count": waiting}


class SearchChangeList(RecordChangeList):
    """A change list of search results, ordered by score unless a column is selected."""

    found: Sequence[MemoryItem] | None = None

    def reads_records(self, excluded: Sequence[str | None] | None) -> bool:
        """Not if the search has ranked the items: the filters are applied to its results."""
        ranked = getattr(self._request, "memory_search_results", {}).values()
        return all(found is None for found in ranked) and super().reads_records(excluded)

    def searches_words(self) -> bool:
        """Not if the text only names a user."""
        memory_query = self._memory_query()
        return bool(self.query if memory_query is None else memory_query.text)

    def of_the_query(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The items of the user that the text names."""
        memory_query = self._memory_query()
        return rows if memory_query is None else rows.filter(user_id=memory_query.user_id)

    def _memory_query(self) -> MemoryQuery | None:
        return parse_query(self.query, self.params.get("user_id")) if self.query else None

    def get_ordering_field_columns(self) -> dict[int, Literal["desc", "asc"]]:
        """No column shows an arrow while results are ordered by score."""
        by_score = self.found is not None and ORDER_VAR not in self.params
        return {} if by_score else super().get_ordering_field_columns()

    def get_results(self, request: HttpRequest) -> None:
        self.found = next((found for found in getattr(request, "memory_search_results", {}).values() if found), None)
        if self.found is None:
            super().get_results(request)
            return
        scored = {item.pk: item for item in self.found}
        ordered = ORDER_VAR in self.params
        self.result_list = [scored[pk] for pk in self.queryset.values_list("pk", flat=True)] if ordered else self.found
        self.paginator = self.model_admin.get_paginator(request, self.result_list, self.list_per_page)
        self.result_count, self.full_result_count = len(self.found), None
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all, self.multi_page = True, False


def score_cell(item: Any) -> SafeString | None:
    """The item's score, with its parts as a tooltip."""
    score = getattr(item, "score", None)
    if score is None:
        return None
    parts = ", ".join(f"{name} {value:.2f}" for name, value in item.score_parts.items())
    same = f" x{1 + len(item.same)}" if item.same else ""
    return format_html('<span title="{}">{}</span>', parts, f"{score:.2f}{same}")

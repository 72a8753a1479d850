"""The search box of memory items: one user's memory by words and by meaning, everybody's by words alone.

A user is given by `user:ada what did she paint?` (quoted where the name has spaces), or by the filter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.views.main import ORDER_VAR
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as now

from ..models import MemoryItem
from ..search.embedders import EmbedderError
from .base import RecordChangeList

NAMED = re.compile(r'\s*user:(?:"(?P<quoted>[^"]+)"|(?P<plain>\S+))(?P<rest>.*)', re.DOTALL)
# One page: more than anybody looks through.
RESULTS = 50


@dataclass(frozen=True)
class Asked:
    """What is looked for in whose memory; an empty question is for all of it."""

    user_id: str
    question: str


def asked(typed: str, chosen: str | None) -> Asked | None:
    """What was typed, with the user of the filter, if one is chosen; None where no user is named."""
    if named := NAMED.fullmatch(typed):
        return Asked(named["quoted"] or named["plain"], named["rest"].strip())
    return Asked(chosen, typed.strip()) if chosen else None


def best_of(request: HttpRequest, items: QuerySet[MemoryItem], looked_for: Asked) -> list[MemoryItem] | None:
    """The items that answer best, with their scores and parts; None, told to the user, where they cannot be had.

    Kept with the request: an action asks for the same list again.
    """
    known: dict[Asked, list[MemoryItem] | None] = request.__dict__.setdefault("memory_found", {})
    if looked_for not in known:
        known[looked_for] = _search(request, items, looked_for)
    return known[looked_for]


def _search(request: HttpRequest, items: Any, looked_for: Asked) -> list[MemoryItem] | None:
    try:
        found: list[MemoryItem] = items.search(looked_for.question, limit=RESULTS, explain=True)
    except ValueError as error:  # too long
        messages.error(request, str(error))
        return []
    except EmbedderError as error:
        told = now("Searched by words alone, since the model that compares meanings does not answer: %s")
        messages.warning(request, told % error)
        return None
    return found


class FoundChangeList(RecordChangeList):
    """A list that is in the order of scores where items were found by theirs, unless a column was chosen."""

    found: Sequence[MemoryItem] | None = None

    def get_results(self, request: HttpRequest) -> None:
        self.found = next((found for found in getattr(request, "memory_found", {}).values() if found), None)
        if self.found is None:
            super().get_results(request)
            return
        scored = {item.pk: item for item in self.found}
        chosen = ORDER_VAR in self.params
        self.result_list = [scored[pk] for pk in self.queryset.values_list("pk", flat=True)] if chosen else self.found
        self.paginator = self.model_admin.get_paginator(request, self.result_list, self.list_per_page)
        self.result_count, self.full_result_count = len(self.found), None
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all, self.multi_page = True, False


def score_of(item: Any) -> SafeString | None:
    """How well an item answers; its parts on hovering."""
    score = getattr(item, "score", None)
    if score is None:
        return None
    parts = ", ".join(f"{name} {value:.2f}" for name, value in item.score_parts.items())
    return format_html('<span title="{}">{}</span>', parts, f"{score:.2f}")

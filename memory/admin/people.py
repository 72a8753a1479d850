"""The people with a memory: a list, and the completion of their names.

There is no table of people: they are the users of items and sessions. The list finds the next one after a name by the
indexes of both, one row each, so a page costs the same whatever is stored. Pages follow each other by name (keyset).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import groupby, islice
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.utils import quote
from django.db import NotSupportedError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from ..models import MemoryItem, SearchIndex, UserSession
from .figures import Count, Countable, counts_of
from .pages import page_context, require

PAGE_SIZE: Final = 25
SUGGESTED: Final = 10
MOST_COUNTED: Final = 10_000


@dataclass(frozen=True)
class Person:
    """A row of the list. `last` is the newest activity of a session or time of an item."""

    name: str
    url: str
    last: datetime | None
    sessions: Count
    items: Count


def person_url(name: str) -> str:
    """The page of a person."""
    return reverse("admin:memory_person", args=(quote(name),))


def names_after(name: str, start: str = "") -> Iterator[str]:
    """The names of people after `name` that begin with `start`, in order. Each costs two queries of one row."""
    sources = (_names(MemoryItem.all_objects.all(), name, start), _names(UserSession.objects.all(), name, start))
    for found, _group in groupby(merge(*sources)):
        yield found


def _names(records: Any, name: str, start: str) -> Iterator[str]:
    rows = records.order_by("user_id").values_list("user_id", flat=True)
    begin = rows.filter(user_id__gte=start) if start > name else rows.filter(user_id__gt=name)
    found = begin.first()
    while found is not None and found.startswith(start):
        yield found
        found = rows.filter(user_id__gt=found).first()


def names_with(part: str, most: int, name: str = "") -> list[str]:
    """The names after `name` that begin with `part`, and those of indexed people that have it in any place.

    Raises `NotSupportedError` if the database has too many people to look at (Firestore: `mirror_limit`).
    """
    indexed = SearchIndex.objects.filter(user_id__icontains=part, user_id__gt=name).order_by("user_id")
    indexed.query.expects_mirror = True  # type: ignore[attr-defined]
    containing = list(indexed.values_list("user_id", flat=True)[:most])
    return sorted({*islice(names_after(name, part), most), *containing})[:most]


def people_of(names: Sequence[str]) -> list[Person]:
    """The rows of the list: two counts and two reads of one row for each."""
    sessions = [UserSession.objects.for_user(name) for name in names]
    items = [MemoryItem.all_objects.for_user(name) for name in names]
    counted = counts_of(
        [Countable(one, "last_activity", MOST_COUNTED) for one in sessions]
        + [Countable(one, "timestamp", MOST_COUNTED) for one in items]
    )
    return [
        Person(name, person_url(name), last_activity(name), counted[place], counted[place + len(names)])
        for place, name in enumerate(names)
    ]


def last_activity(name: str) -> datetime | None:
    """The time of the newest session or item."""
    session = UserSession.objects.for_user(name).newest_first().values_list("last_activity", flat=True).first()
    item = MemoryItem.all_objects.for_user(name).order_by("-timestamp").values_list("timestamp", flat=True).first()
    return max((moment for moment in (session, item) if moment is not None), default=None)


def exists(name: str) -> bool:
    """Whether anything of the person is stored."""
    return MemoryItem.all_objects.for_user(name).exists() or UserSession.objects.for_user(name).exists()


def people_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The list: `?q=` has a part of a name, `?after=` the last name of the page before."""
    require(request, model_admin.admin_site)
    part, after = request.GET.get("q", "").strip(), request.GET.get("after", "")
    try:
        names = names_with(part, PAGE_SIZE + 1, after) if part else list(islice(names_after(after), PAGE_SIZE + 1))
    except NotSupportedError:
        names = list(islice(names_after(after, part), PAGE_SIZE + 1))
        messages.warning(request, _("There are too many people to look into all names: these begin with the text."))
    shown = names[:PAGE_SIZE]
    more = (
        urlencode({"q": part, "after": shown[-1]} if part else {"after": shown[-1]}) if len(names) > PAGE_SIZE else ""
    )
    context = {
        **page_context(model_admin, request, _("People")),
        "people": people_of(shown),
        "part": part,
        "is_first": not after,
        "more": more,
        "names_url": reverse("admin:memory_people_names"),
    }
    return TemplateResponse(request, "admin/memory/people.html", context)


def names_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Names for the completion of what is typed: `{"names": [...]}`, at most `SUGGESTED`."""
    require(request, model_admin.admin_site)
    part = request.GET.get("q", "").strip()
    try:
        names = names_with(part, SUGGESTED) if part else list(islice(names_after(""), SUGGESTED))
    except NotSupportedError:
        names = list(islice(names_after("", part), SUGGESTED))
    return JsonResponse({"names": names}, headers={"Cache-Control": "no-store"})

"""The people whose memory it is: a list, and a page for each with activity, sessions, facts, size, export and erasure.

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
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import NotSupportedError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import limits
from ..conf import memory_settings
from ..lifecycle import erasure, exports
from ..models import MemoryItem, SearchIndex, UserSession
from .display import excerpt, title_of
from .figures import Count, Countable, counts_of, days_before, distinct, of_days
from .index_states import waiting_items
from .pages import may, page_context, require
from .plots import Level, Plot, Value, columns, levels

PAGE_SIZE: Final = 25
SUGGESTED: Final = 10
DAYS: Final = 60
SESSIONS_SHOWN: Final = 20
FACTS_SHOWN: Final = 20
MEASURED: Final = 200
"""Items of which the size is measured; that of the rest is estimated by their mean."""
MOST_COUNTED: Final = 10_000
MOST_TYPES: Final = 25
ERASED_AT_ONCE: Final = 5_000
"""Records that one request erases."""
ERASE_PERSON: Final = "memory.erase_person"
FACT_TYPES: Final = ("fact", "preference")


@dataclass(frozen=True)
class Person:
    """A row of the list. `last` is the newest activity of a session or time of an item."""

    name: str
    url: str
    last: datetime | None
    sessions: Count
    items: Count


@dataclass(frozen=True)
class Size:
    """Bytes of a person's items; `is_estimate`: only the newest were measured."""

    bytes: int
    is_estimate: bool


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


def activity(name: str, now: datetime) -> Plot:
    """A person's items of the last `DAYS` days."""
    days = days_before(timezone.localtime(now).date(), DAYS)
    counted = counts_of(of_days(MemoryItem.all_objects.for_user(name), days))
    url = reverse("admin:memory_memoryitem_changelist")
    values = []
    for day, count in zip(days, counted, strict=True):
        query = {"user_id": name, "timestamp__gte": day.start.isoformat(), "timestamp__lt": day.end.isoformat()}
        link = f"{url}?{urlencode(query)}" if count.number else ""
        values.append(Value(f"{day.date:%Y-%m-%d}", count.number, str(count), link))
    return columns("activity", _("Items a day, %d days") % DAYS, _("Items"), values)


def types_of(name: str) -> list[Level]:
    """A person's types with their counts."""
    items = MemoryItem.all_objects.for_user(name)
    names = list(distinct(items, "item_type", MOST_TYPES, ["-timestamp"]))
    counted = counts_of([Countable(items.filter(item_type=one), "timestamp", MOST_COUNTED) for one in names])
    url = reverse("admin:memory_memoryitem_changelist")
    found = [
        Value(excerpt(one, 40), count.number, str(count), f"{url}?{urlencode({'user_id': name, 'item_type': one})}")
        for one, count in zip(names, counted, strict=True)
    ]
    return levels(sorted(found, key=lambda value: -value.number))


def size_of(name: str, items: Count) -> Size:
    """The bytes of a person's items, as documents: measured for the newest `MEASURED`."""
    rows = MemoryItem.all_objects.for_user(name).newest_first().defer("embedding", "text_embedding")[:MEASURED]
    sizes = [document_bytes(item) for item in rows]
    if len(sizes) == items.number:
        return Size(sum(sizes), is_estimate=False)
    return Size(int(sum(sizes) / max(1, len(sizes)) * items.number), is_estimate=True)


def document_bytes(item: MemoryItem) -> int:
    """The size of an item without its vectors."""
    values = {
        field.name: field.value_from_object(item)
        for field in item._meta.concrete_fields
        if field.name not in ("embedding", "text_embedding")
    }
    return limits.document_size(item._meta.db_table, item.pk, values)


def person_view(model_admin: Any, request: HttpRequest, user_id: str) -> HttpResponse:
    """A person's page."""
    site = model_admin.admin_site
    require(request, site)
    name, now = unquote(user_id), timezone.now()
    if not exists(name):
        raise Http404(_("Nothing of this person is stored."))
    items, sessions, waiting = counts_of(
        [
            Countable(MemoryItem.all_objects.for_user(name), "timestamp"),
            Countable(UserSession.objects.for_user(name), "last_activity", MOST_COUNTED),
            Countable(waiting_items(name, memory_settings.database), "written", MOST_COUNTED),
        ]
    )
    items_url, query = reverse("admin:memory_memoryitem_changelist"), urlencode({"user_id": name})
    context = {
        **page_context(model_admin, request, excerpt(name, 60), above=[(reverse("admin:memory_people"), _("People"))]),
        "name": name,
        "items": items,
        "sessions_count": sessions,
        "waiting": waiting,
        "size": size_of(name, items),
        "last": last_activity(name),
        "plot": activity(name, now),
        "types": types_of(name),
        "sessions": [
            (session, excerpt(title_of(session), 80))
            for session in UserSession.objects.for_user(name).recent(SESSIONS_SHOWN)
        ],
        "facts": facts_of(name),
        "items_url": f"{items_url}?{query}",
        "search_url": f"{items_url}?{urlencode({'user_id': name, 'q': ''})}",
        "sessions_url": f"{reverse('admin:memory_usersession_changelist')}?{query}",
        "export_url": reverse("admin:memory_person_export", args=(quote(name),)),
        "erase_url": reverse("admin:memory_person_erase", args=(quote(name),)) if may_erase(request, site) else "",
    }
    return TemplateResponse(request, "admin/memory/person.html", context)


def facts_of(name: str) -> list[tuple[MemoryItem, str, str]]:
    """The newest facts and preferences, each with its text and its URL."""
    found: list[MemoryItem] = []
    for kind in FACT_TYPES:
        items = MemoryItem.objects.for_user(name).of_type(kind).without_search_data().defer("embedding")
        found += items.newest_first()[:FACTS_SHOWN]
    newest = sorted(found, key=lambda item: (item.timestamp, item.pk), reverse=True)[:FACTS_SHOWN]
    return [
        (item, excerpt(item.text_content, 300), reverse("admin:memory_memoryitem_change", args=(quote(item.pk),)))
        for item in newest
    ]


def export_view(model_admin: Any, request: HttpRequest, user_id: str) -> HttpResponse | StreamingHttpResponse:
    """What is stored of a person: JSON lines, or with `?format=html` a page to read."""
    require(request, model_admin.admin_site)
    name, is_page = unquote(user_id), request.GET.get("format") == "html"
    suffix, kind = ("html", "text/html") if is_page else ("jsonl", "application/x-ndjson")
    return StreamingHttpResponse(
        exports.page(name) if is_page else exports.lines(name),
        content_type=f"{kind}; charset=utf-8",
        headers={**attachment(name, suffix), "Cache-Control": "no-store"},
    )


def attachment(name: str, suffix: str) -> dict[str, str]:
    """The header of a file about a person."""
    file_name = f"{slugify(name)[:60] or 'person'}-{timezone.localdate():%Y-%m-%d}.{suffix}"
    return {"Content-Disposition": f'attachment; filename="{file_name}"'}


def may_erase(request: HttpRequest, site: Any) -> bool:
    """Whether the user may erase people: by the permission for it, or by those to delete items and sessions."""
    if request.user.has_perm(ERASE_PERSON):
        return True
    return all(may(request, "delete", model, site) for model in (MemoryItem, UserSession))


def erase_view(model_admin: Any, request: HttpRequest, user_id: str) -> HttpResponse:
    """A question, and after a POST the erasure, of at most `ERASED_AT_ONCE` rows; repeated, it goes on."""
    site = model_admin.admin_site
    require(request, site)
    if not may_erase(request, site):
        raise PermissionDenied
    name = unquote(user_id)
    progress = erasure.progress_of(name)
    if request.method == "POST":
        done = erasure.erase(name, by=request.user.get_username(), most=ERASED_AT_ONCE, wait=False)
        count = done.total - (progress.total if progress else 0)
        text = ngettext("%(count)d record was erased.", "%(count)d records were erased.", count) % {"count": count}
        if done.state is erasure.State.FINISHED:
            url = reverse("admin:memory_person_receipt", args=(quote(name),))
            link = format_html('<a href="{}">{}</a>', url, _("Receipt"))
            messages.success(
                request, format_html("{} {} {}", text, _("Nothing of this person is stored any more."), link)
            )
            return HttpResponseRedirect(reverse("admin:memory_people"))
        waits = _("Writes that had begun may still be stored: erase again in some seconds.")
        more = _("More are stored: erase again.")
        messages.warning(request, f"{text} {waits if done.state is erasure.State.WAITING else more}")
        return HttpResponseRedirect(request.get_full_path())
    if not exists(name) and (progress is None or progress.state is erasure.State.FINISHED):
        raise Http404(_("Nothing of this person is stored."))
    items, sessions = counts_of(
        [
            Countable(MemoryItem.all_objects.for_user(name), "timestamp"),
            Countable(UserSession.objects.for_user(name), "last_activity", MOST_COUNTED),
        ]
    )
    above = [(reverse("admin:memory_people"), _("People")), (person_url(name), excerpt(name, 60))]
    context = {
        **page_context(model_admin, request, _("Erase"), above=above),
        "name": name,
        "items": items,
        "sessions_count": sessions,
        "erased": None if progress is None else progress.total,
        "at_once": ERASED_AT_ONCE,
        "person_url": person_url(name),
    }
    return TemplateResponse(request, "admin/memory/erase.html", context)


def receipt_view(model_admin: Any, request: HttpRequest, user_id: str) -> HttpResponse:
    """The receipt of a person's erasure, until the tombstone ends."""
    require(request, model_admin.admin_site)
    name = unquote(user_id)
    progress = erasure.progress_of(name) if may_erase(request, model_admin.admin_site) else None
    if progress is None or not progress.receipt:
        raise Http404(_("There is no receipt of this person."))
    headers = {**attachment("erasure", "json"), "Cache-Control": "no-store"}
    return HttpResponse(progress.receipt, content_type="application/json", headers=headers)

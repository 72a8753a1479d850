"""A person's page: activity, sessions, facts and size, and the export of what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.contrib.admin.utils import quote, unquote
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.text import slugify
from django.utils.translation import gettext as _

from .. import limits
from ..conf import memory_settings
from ..lifecycle import exports
from ..models import MemoryItem, UserSession
from .display import excerpt, title_of
from .erasing import attachment, may_erase
from .figures import Count, Countable, counts_of, days_before, distinct, of_days
from .index_states import waiting_items
from .pages import page_context, require
from .people import MOST_COUNTED, exists, last_activity
from .plots import Level, Plot, Value, columns, levels

DAYS: Final = 60
SESSIONS_SHOWN: Final = 20
FACTS_SHOWN: Final = 20
MEASURED: Final = 200
"""Items of which the size is measured; that of the rest is estimated by their mean."""
MOST_TYPES: Final = 25
FACT_TYPES: Final = ("fact", "preference")


@dataclass(frozen=True)
class Size:
    """Bytes of a person's items; `is_estimate`: only the newest were measured."""

    bytes: int
    is_estimate: bool


def person_view(model_admin: Any, request: HttpRequest, user_id: str) -> HttpResponse:
    """A person's page."""
    require(request, model_admin.admin_site)
    name = unquote(user_id)
    if not exists(name):
        raise Http404(_("Nothing of this person is stored."))
    above = [(reverse("admin:memory_people"), _("People"))]
    context = {
        **page_context(model_admin, request, excerpt(name, 60), above=above),
        **figures_of(name),
        **links_of(name, may_erase(request, model_admin.admin_site)),
        "name": name,
        "sessions": sessions_of(name),
        "facts": facts_of(name),
    }
    return TemplateResponse(request, "admin/memory/person.html", context)


def figures_of(name: str) -> Mapping[str, Any]:
    """The numbers of the page, and its plots."""
    items, sessions, waiting = counts_of(
        [
            Countable(MemoryItem.all_objects.for_user(name), "timestamp"),
            Countable(UserSession.objects.for_user(name), "last_activity", MOST_COUNTED),
            Countable(waiting_items(name, memory_settings.database), "written", MOST_COUNTED),
        ]
    )
    return {
        "items": items,
        "sessions_count": sessions,
        "waiting": waiting,
        "size": size_of(name, items),
        "last": last_activity(name),
        "plot": activity(name, timezone.now()),
        "types": types_of(name),
    }


def links_of(name: str, erase: bool) -> Mapping[str, str]:
    """The pages about a person; that of the erasure is empty unless the user may `erase`."""
    items_url, query = reverse("admin:memory_memoryitem_changelist"), urlencode({"user_id": name})
    return {
        "items_url": f"{items_url}?{query}",
        "search_url": f"{items_url}?{query}&q=",
        "sessions_url": f"{reverse('admin:memory_usersession_changelist')}?{query}",
        "export_url": reverse("admin:memory_person_export", args=(quote(name),)),
        "erase_url": reverse("admin:memory_person_erase", args=(quote(name),)) if erase else "",
    }


def sessions_of(name: str) -> list[tuple[UserSession, str]]:
    """The newest sessions, each with its title."""
    return [
        (session, excerpt(title_of(session), 80))
        for session in UserSession.objects.for_user(name).recent(SESSIONS_SHOWN)
    ]


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
        headers={**attachment(slugify(name)[:60] or "person", suffix), "Cache-Control": "no-store"},
    )

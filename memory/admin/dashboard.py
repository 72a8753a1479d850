"""The dashboard: what is stored and used, in a bounded number of queries.

    parts of figures (one function and a few queries each) -> plots and tables (pure) -> the template

Numbers of items include expired ones that were not purged yet: they are stored, and counted from an index alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, Final

from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from ..conf import memory_settings
from ..extras import MissingExtra
from ..models import MemoryItem, UserSession
from ..usage import BOUNDS, CLASSES, READ, REQUESTS, WRITTEN, Usage, usage
from .display import excerpt
from .figures import Count, Countable, Day, counts_of, days_before, distinct, of_days
from .index_states import waiting_items
from .pages import page_context, require
from .people import person_url
from .plots import Level, Plot, Value, columns, levels

DAYS: Final = 30
MOST_TYPES: Final = 12
MOST_PEOPLE: Final = 10
SESSIONS_READ: Final = 50
"""The newest sessions, among which the people who were active last are looked for."""
MOST_WAITING: Final = 10_000

READ_PRICE, WRITE_PRICE = 0.03 / 100_000, 0.09 / 100_000
"""US dollars for a document in Oregon, as https://firebase.google.com/docs/firestore/pricing lists them."""


@dataclass(frozen=True)
class Figure:
    """A number with a name, and the page that lists what it counts."""

    name: str
    text: str
    url: str = ""
    note: str = ""


@dataclass(frozen=True)
class ActivePerson:
    """One of the people who were active last. `waiting` items are not in the search index yet."""

    name: str
    url: str
    last: datetime
    items: Count
    waiting: Count


def items_by_day(now: datetime) -> Plot:
    """Items of the last `DAYS` days: a count for each."""
    days = days_before(timezone.localtime(now).date(), DAYS)
    counted = counts_of(of_days(MemoryItem.all_objects.all(), days))
    return columns(
        "items",
        _("Items a day, %d days") % DAYS,
        _("Items"),
        day_values(days, counted, "admin:memory_memoryitem_changelist"),
    )


def day_values(days: Sequence[Day], counted: Sequence[Count], list_name: str) -> list[Value]:
    """The values of a plot of days, each with a link to the list of that day."""
    return [
        Value(
            f"{day.date:%Y-%m-%d}",
            count.number,
            str(count),
            f"{reverse(list_name)}?{urlencode(of_day(day.date))}" if count.number else "",
        )
        for day, count in zip(days, counted, strict=True)
    ]


def of_day(day: date) -> dict[str, str]:
    """The parameters with which a list shows one day."""
    parts = ("year", "month", "day")
    return {f"timestamp__{part}": str(getattr(day, part)) for part in parts}


def figures(now: datetime) -> list[Figure]:
    """Active sessions, what expires and what has expired: six counts."""
    sessions, items = UserSession.objects.all(), MemoryItem.all_objects.all()
    sessions_url = reverse("admin:memory_usersession_changelist")
    items_url = reverse("admin:memory_memoryitem_changelist")
    since = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
    active = [
        Countable(sessions.filter(last_activity__gt=now - ago, last_activity__lte=now), "last_activity")
        for ago in since.values()
    ]
    until = [now + timedelta(days=1), now + timedelta(days=7)]
    expiring = [Countable(items.filter(expiration__gt=now, expiration__lte=end), "expiration") for end in until]
    expired = Countable(items.filter(expiration__lte=now), "expiration")
    hour, day, week, soon, later, gone = map(str, counts_of([*active, *expiring, expired]))
    return [
        Figure(_("Sessions active in the last hour"), hour, sessions_url),
        Figure(_("Sessions active in 24 hours"), day, sessions_url),
        Figure(_("Sessions active in 7 days"), week, sessions_url),
        Figure(_("Items that expire within a day"), soon, f"{items_url}?expiring=day"),
        Figure(_("Items that expire within 7 days"), later, f"{items_url}?expiring=week"),
        Figure(_("Expired items that wait for memory_purge"), gone),
    ]


def types(now: datetime) -> list[Level]:
    """Items of the last `DAYS` days by type: one query for each of the first `MOST_TYPES` types, and its count."""
    items = MemoryItem.all_objects.all()
    names = list(distinct(items, "item_type", MOST_TYPES))
    since = days_before(timezone.localtime(now).date(), DAYS)[0].start
    counted = counts_of([Countable(items.filter(item_type=name, timestamp__gte=since), "timestamp") for name in names])
    url = reverse("admin:memory_memoryitem_changelist")
    found = [
        Value(excerpt(name, 40), count.number, str(count), f"{url}?{urlencode({'item_type': name})}")
        for name, count in zip(names, counted, strict=True)
    ]
    return levels(sorted(found, key=lambda value: -value.number))


def people(now: datetime) -> list[ActivePerson]:
    """Those among the newest sessions, newest first: two counts each, and the state of the index."""
    using = memory_settings.database
    rows = UserSession.objects.newest_first().values_list("user_id", "last_activity")[:SESSIONS_READ]
    last: dict[str, datetime] = {}
    for name, moment in rows:
        last.setdefault(name, moment)
    names = list(islice(last, MOST_PEOPLE))
    since = days_before(timezone.localtime(now).date(), DAYS)[0].start
    items = [MemoryItem.all_objects.for_user(name).filter(timestamp__gte=since) for name in names]
    counted = counts_of(
        [Countable(one, "timestamp", MOST_WAITING) for one in items]
        + [Countable(waiting_items(name, using), "written", MOST_WAITING) for name in names]
    )
    both = zip(names, counted[: len(names)], counted[len(names) :], strict=True)
    return [ActivePerson(name, person_url(name), last[name], count, waiting) for name, count, waiting in both]


def search_plot(used: Usage) -> Plot:
    """Searches of the last 24 hours by their duration."""
    names = [*(_("up to %d ms") % bound for bound in BOUNDS), _("longer")]
    values = [Value(name, count, number(count)) for name, count in zip(names, used.searches.values(), strict=True)]
    return columns("searches", _("Searches by duration, 24 hours"), _("Searches"), values)


def usage_figures(used: Usage, on_firestore: bool) -> list[Figure]:
    """Searches, the cache, and the documents of Firestore with their price: pure."""
    searches = sum(used.total(name) for name in CLASSES)
    median, slowest = used.percentile(0.5), used.percentile(0.95)
    found = [
        Figure(_("Searches"), number(searches)),
        Figure(_("Half of the searches took at most"), milliseconds(median) if searches else "-"),
        Figure(_("95 % of the searches took at most"), milliseconds(slowest) if searches else "-"),
        Figure(_("Conversations read from the cache"), "-" if used.hit_rate is None else f"{used.hit_rate:.1%}"),
    ]
    if not on_firestore:
        return found
    read, written, requests = used.total(READ), used.total(WRITTEN), used.total(REQUESTS)
    if not requests:
        text = _("Add memory.usage.UsageMiddleware to MIDDLEWARE to count them.")
        return [*found, Figure(_("Documents of Firestore"), "-", note=text)]
    return [
        *found,
        Figure(_("Documents read by requests"), number(read), note=_("in %s requests") % number(requests)),
        Figure(_("Documents written by requests"), number(written)),
        Figure(
            _("Price of these"),
            f"$ {read * READ_PRICE + written * WRITE_PRICE:.4f}",
            note=_("$0.03 for 100,000 reads and $0.09 for 100,000 writes"),
        ),
    ]


def number(count: int) -> str:
    """With separators of thousands."""
    return str(number_format(count, force_grouping=True))


def milliseconds(bound: int | None) -> str:
    """The bound of a class of durations."""
    return _("more than %d ms") % BOUNDS[-1] if bound is None else _("%d ms") % bound


def health() -> list[Mapping[str, Any]]:
    """The components of the service, as a table; none without the extra of the API."""
    try:
        from ..health.report import SERVICE, examine  # needs an extra
    except MissingExtra:
        return []
    report = examine(SERVICE)
    return [
        {
            "name": component.name,
            "engine": finding.engine,
            "failure": finding.failure,
            "milliseconds": "" if finding.seconds is None else f"{1_000 * finding.seconds:.1f}",
        }
        for component, finding in report.findings.items()
    ]


def dashboard_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The page. It needs the permissions to view items and sessions."""
    require(request, model_admin.admin_site)
    now, used = timezone.now(), usage()
    context = {
        **page_context(model_admin, request, _("Dashboard")),
        "now": now,
        "days": DAYS,
        "figures": figures(now),
        "items_plot": items_by_day(now),
        "types": types(now),
        "people": people(now),
        "search_plot": search_plot(used),
        "usage": usage_figures(used, connections[memory_settings.database].vendor == "firestore"),
        "usage_is_shared": used.is_shared,
        "health": health(),
        "people_url": reverse("admin:memory_people"),
    }
    return TemplateResponse(request, "admin/memory/dashboard.html", context)

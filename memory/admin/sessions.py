"""Sessions, and the page on which their conversations are read."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

import django
from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from memory.batches import batches

from .. import history
from ..models import MemoryItem, UserSession
from .base import RecordAdmin
from .conversation import Place, conversation
from .dates import in_utc_if_needed
from .display import conversation_url, excerpt, items_url, text_line, time_cell, time_text, title_of
from .filters import DateRangeFilter, UserFilter
from .forms import UserSessionForm
from .pages import may

# Alternatives that Firestore takes in one query.
CONVERSATIONS_AT_ONCE = 30


class UserSessionAdmin(RecordAdmin):
    """Users' sessions. Deleting one deletes its conversation, and says so."""

    form = UserSessionForm
    list_display = ("last", "user", "session_start", "title", "read")
    list_display_links = ("last", "session_start")
    list_filter = (UserFilter, ("last_activity", DateRangeFilter))
    date_hierarchy = "last_activity"
    ordering = ("-last_activity", "-id")
    search_fields = ("user_id", "session_id", "metadata__title")
    search_help_text = _("Searches users, sessions and titles; every word must be found.")
    add_only_fields = ("user_id", "session_id")
    derived_fields = ("started", "last_time", "items")
    fieldsets = (
        (None, {"fields": ("user_id", "session_id", "started", "last_time", "items")}),
        (_("Content"), {"fields": ("metadata",)}),
    )

    @admin.display(description=_("last activity"), ordering="last_activity")
    def last(self, obj: UserSession) -> SafeString:
        """The time of the newest item."""
        return time_cell(obj.last_activity)

    @admin.display(description=_("started"))
    def started(self, obj: UserSession) -> str:
        """The time of the oldest item."""
        return time_text(obj.started_at)

    @admin.display(description=_("last activity"))
    def last_time(self, obj: UserSession) -> str:
        """The time of the newest item."""
        return time_text(obj.last_activity)

    @admin.display(description=_("session"), ordering="session_id")
    def session_start(self, obj: UserSession) -> SafeString:
        """The session's id, its start where it is long."""
        return format_html('<span class="memory-id" title="{}">{}</span>', obj.session_id, excerpt(obj.session_id, 36))

    @admin.display(description=_("title"))
    def title(self, obj: UserSession) -> SafeString | None:
        """The title in the metadata."""
        return text_line(title_of(obj))

    @admin.display(description=_("conversation"))
    def read(self, obj: UserSession) -> SafeString:
        """A link to the conversation."""
        return format_html(
            '<a href="{}" aria-label="{}">{}</a>',
            conversation_url(obj.user_id, obj.session_id),
            _("Read the conversation %s") % obj,
            _("Read"),
        )

    @admin.display(description=_("items"))
    def items(self, obj: UserSession) -> SafeString:
        """How many live items there are, with links to the conversation and to their list."""
        return format_html(
            '{} (<a href="{}">{}</a>, <a href="{}">{}</a>)',
            obj.items().count(),
            conversation_url(obj.user_id, obj.session_id),
            _("read the conversation"),
            items_url(obj.user_id, obj.session_id),
            _("list them"),
        )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.conversation_view)
        page = path("<path:object_id>/conversation/", view, name="memory_usersession_conversation")
        return [page, *super().get_urls()]

    @in_utc_if_needed
    def conversation_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A session's items as a thread: the newest, or those at the `Place` that the parameters name."""
        if not (self.has_view_permission(request) and may(request, "view", MemoryItem, self.admin_site)):
            raise PermissionDenied
        session = history.session_by_id(unquote(object_id))
        if session is None:
            raise Http404(_("There is no such session."))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Conversation"),
            "subtitle": title_of(session) or session.session_id,
            "opts": self.opts,
            "media": self.media,
            "session": session,
            "breadcrumbs": self._breadcrumbs(session),
            "breadcrumbs_are_list": django.VERSION >= (6, 1),
            "conversation": conversation(session, Place.of(request.GET.dict())),
            "items_url": items_url(session.user_id, session.session_id),
        }
        return TemplateResponse(request, "admin/memory/usersession/conversation.html", context)

    def _breadcrumbs(self, session: UserSession) -> list[tuple[str, Any]]:
        """URLs and names of the pages above a conversation."""
        return [
            (reverse("admin:index"), _("Home")),
            (reverse("admin:app_list", args=(self.opts.app_label,)), self.opts.app_config.verbose_name),
            (reverse("admin:memory_usersession_changelist"), capfirst(self.opts.verbose_name_plural)),
            (reverse("admin:memory_usersession_change", args=(quote(session.pk),)), session.session_id),
        ]

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Sessions with the number of items that go with them, expired ones included."""
        sessions = list(objs)
        count, names = items_in(sessions), MemoryItem._meta
        counts = {str(self.opts.verbose_name_plural): len(sessions), str(names.verbose_name_plural): count}
        lacking = set() if may(request, "delete", MemoryItem, self.admin_site) or not count else {names.verbose_name}
        return [self._linked(session) for session in sessions], counts, {str(name) for name in lacking}, []

    def _linked(self, session: UserSession) -> SafeString:
        url = reverse("admin:memory_usersession_change", args=(quote(session.pk),))
        return format_html('{}: <a href="{}">{}</a>', capfirst(self.opts.verbose_name), url, session)


def items_in(sessions: Iterable[UserSession]) -> int:
    """How many items the sessions have, expired ones included."""
    of_each = [Q(user_id=session.user_id, session_id=session.session_id) for session in sessions]
    some_at_once = batches(of_each, CONVERSATIONS_AT_ONCE)
    return sum(MemoryItem.all_objects.filter(reduce(or_, some)).count() for some in some_at_once)

"""The admin of memory items."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..conf import memory_settings
from ..models import MemoryItem
from ..sealing import protected
from . import dashboard, erasing, people, person, search_page
from .base import RecordAdmin
from .dates import in_utc_if_needed
from .display import EMPTY, conversation_url, excerpt, name_cell, text_block, text_line, vector_summary
from .filters import (
    AsOfFilter,
    DateRangeFilter,
    ExpiringFilter,
    ItemTypeFilter,
    PersonaFilter,
    RoleFilter,
    SessionFilter,
    UserFilter,
)
from .index_states import STATES, states_of
from .search import SearchChangeList, parse_query, score_cell, search_results


class MemoryItemAdmin(RecordAdmin):
    """Memory items, filtered by user, session, type, role, persona and time."""

    list_display: tuple[str, ...] = ("time", "user", "session", "type", "speaker", "text_start")
    list_display_links = ("time", "text_start")
    list_filter = (
        UserFilter,
        SessionFilter,
        ItemTypeFilter,
        RoleFilter,
        PersonaFilter,
        ("timestamp", DateRangeFilter),
        AsOfFilter,
        ExpiringFilter,
    )
    date_hierarchy = "timestamp"
    ordering = ("-timestamp", "-id")
    search_fields = ("user_id", "session_id", "text_content")
    search_help_text = _(
        "“user:ada what did she paint?” searches one user's memory, best match first, and so does a query with the "
        "user filter. Other words are searched in users, sessions and texts of all items; all words must match."
    )
    deferred_fields = ("embedding", *MemoryItem.UNREAD_FIELDS)
    add_only_fields = ("id", "user_id", "session_id")
    derived_fields = ("conversation", "index_state", "embedding_summary", "content_hash", "superseded_by", "touched")
    formatted_fields = {"metadata": "metadata_formatted", "text_content": "text_formatted"}
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "user_id",
                    "session_id",
                    "conversation",
                    "item_type",
                    "persona_active",
                    "timestamp",
                    "index_state",
                )
            },
        ),
        (_("Content"), {"fields": ("text_content", "metadata")}),
        (
            _("Validity"),
            {
                "fields": (
                    *("supersedes", "superseded_by", "valid_from", "valid_to"),
                    *("source", "derived_from", "importance", "touched"),
                ),
                "classes": ("collapse",),
            },
        ),
        (_("Expiration"), {"fields": ("expiration",)}),
        (_("Technical"), {"fields": ("id", "content_hash", "embedding_summary"), "classes": ("collapse",)}),
    )

    def get_urls(self) -> list[URLPattern]:
        def page(route: str, view: Any, name: str) -> URLPattern:
            return path(route, self.admin_site.admin_view(partial(in_utc_if_needed(view), self)), name=f"memory_{name}")

        return [
            page("dashboard/", dashboard.dashboard_view, "dashboard"),
            page("people/", people.people_view, "people"),
            page("people/names/", people.names_view, "people_names"),
            page("people/<path:user_id>/export/", person.export_view, "person_export"),
            page("people/<path:user_id>/erase/", erasing.erase_view, "person_erase"),
            page("people/<path:user_id>/receipt/", erasing.receipt_view, "person_receipt"),
            page("people/<path:user_id>/page/", person.person_view, "person"),
            page("search/", search_page.search_view, "search"),
            page("search/feedback/", search_page.feedback_view, "feedback"),
            *super().get_urls(),
        ]

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """The columns of the keyword search, without encrypted ones."""
        return tuple(name for name in self.search_fields if name not in protected())

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SearchChangeList

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """Add the score if one user's memory is searched."""
        search_text = request.GET.get(SEARCH_VAR, "").strip()
        memory_query = parse_query(search_text, request.GET.get(UserFilter.field)) if search_text else None
        return (*self.list_display, "score") if memory_query and memory_query.text else self.list_display

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[MemoryItem], search_term: str
    ) -> tuple[QuerySet[MemoryItem], bool]:
        """Ranked search in one user's memory, keyword search in all."""
        memory_query = parse_query(search_term, request.GET.get(UserFilter.field)) if search_term.strip() else None
        if memory_query is None:
            return super().get_search_results(request, queryset, search_term)
        items = queryset.filter(user_id=memory_query.user_id)
        if request.GET.get(UserFilter.field) not in (None, "", memory_query.user_id):
            return queryset.none(), False
        found = search_results(request, items, memory_query) if memory_query.text else None
        if found is None:
            return super().get_search_results(request, items, memory_query.text)
        return items.filter(pk__in=[item.pk for item in found]), False

    @admin.display(description=_("score"))
    def score(self, obj: MemoryItem) -> SafeString | None:
        """The score of the search."""
        return score_cell(obj)

    @admin.display(description=_("session"), ordering="session_id")
    def session(self, obj: MemoryItem) -> SafeString | None:
        """A link to the conversation, at the item's place."""
        if obj.session_id is None:
            return None
        url = conversation_url(obj.user_id, obj.session_id, obj.pk)
        return format_html(
            '<a class="memory-id" href="{}" title="{}">{}</a>', url, obj.session_id, excerpt(obj.session_id, 24)
        )

    @admin.display(description=_("type"), ordering="item_type")
    def type(self, obj: MemoryItem) -> SafeString | None:
        """The start of the type."""
        return name_cell(obj.item_type)

    @admin.display(description=_("role / persona"))
    def speaker(self, obj: MemoryItem) -> SafeString | None:
        """The role and the persona."""
        parts = [part for part in (obj.role, obj.persona_active) if part]
        return name_cell(" / ".join(parts), 40)

    @admin.display(description=_("text"))
    def text_start(self, obj: MemoryItem) -> SafeString | None:
        """The start of the text, and whether the item is not valid now."""
        line = text_line(obj.text_content or "")
        if obj.is_valid():
            return line
        return format_html('{} <span class="memory-kind">{}</span>', line or "", _("not valid now"))

    @admin.display(description=_("conversation"))
    def conversation(self, obj: MemoryItem) -> str:
        """A link to the conversation, at the item's place."""
        if obj.session_id is None:
            return EMPTY
        return format_html(
            '<a href="{}">{}</a>',
            conversation_url(obj.user_id, obj.session_id, obj.pk),
            _("Show this item in its conversation"),
        )

    @admin.display(description=_("text"))
    def text_formatted(self, obj: MemoryItem) -> str:
        """The whole text."""
        return text_block(obj.text_content)

    @admin.display(description=_("search index"))
    def index_state(self, obj: MemoryItem) -> str:
        """Whether the index has the item, and what it waits for."""
        return str(STATES[states_of([obj], obj.user_id, obj._state.db or memory_settings.database)[obj.pk]])

    @admin.display(description=_("embedding"))
    def embedding_summary(self, obj: MemoryItem) -> str:
        """A summary of the vector."""
        return vector_summary(obj.embedding)

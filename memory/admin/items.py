"""Memory items."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..models import MemoryItem
from .base import RecordAdmin
from .display import NOTHING, conversation_url, excerpt, text_block, text_line, vector_summary
from .filters import ExpiringFilter, ItemTypeFilter, PersonaFilter, RoleFilter, SessionFilter, UserFilter
from .search import FoundChangeList, asked, best_of, score_of


class MemoryItemAdmin(RecordAdmin):
    """What is in users' memories, by user, session, type, role, persona and time."""

    list_display: tuple[str, ...] = ("time", "user_id", "session", "item_type", "speaker", "text_start")
    list_display_links = ("time", "text_start")
    list_filter = (
        UserFilter,
        SessionFilter,
        ItemTypeFilter,
        RoleFilter,
        PersonaFilter,
        ("timestamp", admin.DateFieldListFilter),
        ExpiringFilter,
    )
    date_hierarchy = "timestamp"
    ordering = ("-timestamp", "-id")
    search_fields = ("user_id", "session_id", "text_content")
    search_help_text = _(
        "“user:ada what did she paint?” finds what one memory has to say, best first, and so does a question while a "
        "user is chosen. Other words are searched in all users, sessions and texts; every one must be found."
    )
    deferred = ("embedding", *MemoryItem.UNREAD_FIELDS)
    fixed = ("id", "user_id", "session_id")
    derived = ("conversation", "embedding_summary", "content_hash")
    formatted = {"metadata": "metadata_formatted", "text_content": "text_formatted"}
    fieldsets = (
        (None, {"fields": ("user_id", "session_id", "conversation", "item_type", "persona_active", "timestamp")}),
        (_("Content"), {"fields": ("text_content", "metadata")}),
        (_("Expiration"), {"fields": ("expiration",)}),
        (_("Technical"), {"fields": ("id", "content_hash", "embedding_summary"), "classes": ("collapse",)}),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FoundChangeList

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """With scores where one memory is searched."""
        typed = request.GET.get(SEARCH_VAR, "").strip()
        looked_for = asked(typed, request.GET.get(UserFilter.field)) if typed else None
        return (*self.list_display, "score") if looked_for and looked_for.question else self.list_display

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[MemoryItem], search_term: str
    ) -> tuple[QuerySet[MemoryItem], bool]:
        """One user's memory by words and by meaning, everybody's by words."""
        looked_for = asked(search_term, request.GET.get(UserFilter.field)) if search_term.strip() else None
        if looked_for is None:
            return super().get_search_results(request, queryset, search_term)
        items = queryset.filter(user_id=looked_for.user_id)
        if request.GET.get(UserFilter.field) not in (None, "", looked_for.user_id):
            return queryset.none(), False
        found = best_of(request, items, looked_for) if looked_for.question else None
        if found is None:
            return super().get_search_results(request, items, looked_for.question)
        return items.filter(pk__in=[item.pk for item in found]), False

    @admin.display(description=_("score"))
    def score(self, obj: MemoryItem) -> SafeString | None:
        """How well it answers."""
        return score_of(obj)

    @admin.display(description=_("session"), ordering="session_id")
    def session(self, obj: MemoryItem) -> SafeString | None:
        """A link to the conversation, at the item's place."""
        if obj.session_id is None:
            return None
        url = conversation_url(obj.user_id, obj.session_id, obj.pk)
        return format_html(
            '<a class="memory-id" href="{}" title="{}">{}</a>', url, obj.session_id, excerpt(obj.session_id, 24)
        )

    @admin.display(description=_("role / persona"))
    def speaker(self, obj: MemoryItem) -> SafeString | None:
        """Who speaks, and as whom."""
        parts = [excerpt(part, 32) for part in (obj.role, obj.persona_active) if part]
        return format_html('<span dir="auto">{}</span>', " / ".join(parts)) if parts else None

    @admin.display(description=_("text"))
    def text_start(self, obj: MemoryItem) -> SafeString | None:
        """The start of the text."""
        return text_line(obj.text_content or "")

    @admin.display(description=_("conversation"))
    def conversation(self, obj: MemoryItem) -> str:
        """A link to the conversation, at the item's place."""
        if obj.session_id is None:
            return NOTHING
        return format_html(
            '<a href="{}">{}</a>',
            conversation_url(obj.user_id, obj.session_id, obj.pk),
            _("Read it at this item's place"),
        )

    @admin.display(description=_("text"))
    def text_formatted(self, obj: MemoryItem) -> str:
        """The whole text."""
        return text_block(obj.text_content)

    @admin.display(description=_("embedding"))
    def embedding_summary(self, obj: MemoryItem) -> str:
        """The vector in short."""
        return vector_summary(obj.embedding)

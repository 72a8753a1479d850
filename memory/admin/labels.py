"""The admin of the feedback on searches: a list, a download in the format of `memory_evaluate`, and deletion."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..conf import memory_settings
from ..models import MemoryItem, SearchLabel
from .display import EMPTY, excerpt, name_cell, text_line, time_cell
from .filters import UserFilter
from .listed import ListedAdmin
from .pages import may

MOST_PEOPLE = 20


@admin.action(permissions=["download"], description=_("Download as a file for memory_evaluate"))
def download_labelled(model_admin: Any, request: HttpRequest, queryset: QuerySet[SearchLabel]) -> HttpResponse:
    """Admin action: all feedback on the memories of the selected people, with the texts of their items."""
    people = list(dict.fromkeys(queryset.values_list("user_id", flat=True)))
    if len(people) > MOST_PEOPLE:
        return HttpResponse(
            f"Select feedback of at most {MOST_PEOPLE} people, or run manage.py memory_evaluate --feedback.",
            status=400,
            content_type="text/plain",
        )
    from ..search.feedback import labelled_data  # needs an extra

    content = json.dumps(labelled_data(memory_settings.database, people), ensure_ascii=False, indent=1)
    headers = {"Content-Disposition": 'attachment; filename="labelled.json"', "Cache-Control": "no-store"}
    return HttpResponse(content, content_type="application/json; charset=utf-8", headers=headers)


class SearchLabelAdmin(ListedAdmin):
    """Feedback is given on the search page; here it is listed and deleted."""

    list_display = ("time", "user", "question_start", "item", "answer", "labelled_by")
    list_filter = (UserFilter,)
    actions = [download_labelled]
    fields = ("user_id", "question", "item", "answer", "labelled_by", "time")
    readonly_fields = fields

    def has_download_permission(self, request: HttpRequest) -> bool:
        """The file has texts of items."""
        return self.has_view_permission(request) and may(request, "view", MemoryItem, self.admin_site)

    @admin.display(description=_("time"), ordering="labelled_at")
    def time(self, obj: SearchLabel) -> SafeString:
        """When the feedback was given."""
        return time_cell(obj.labelled_at)

    @admin.display(description=_("user"))
    def user(self, obj: SearchLabel) -> SafeString | None:
        """The person in whose memory was searched."""
        return name_cell(obj.user_id)

    @admin.display(description=_("question"))
    def question_start(self, obj: SearchLabel) -> SafeString:
        """The question, with a link to its search."""
        url = f"{reverse('admin:memory_search')}?{urlencode({'user': obj.user_id, 'q': obj.question})}"
        return format_html('<a href="{}">{}</a>', url, text_line(obj.question) or EMPTY)

    @admin.display(description=_("item"))
    def item(self, obj: SearchLabel) -> SafeString | None:
        """The id of the item."""
        return format_html('<span class="memory-id">{}</span>', excerpt(obj.item_id, 36)) if obj.item_id else None

    @admin.display(description=_("feedback"))
    def answer(self, obj: SearchLabel) -> Any:
        """What was said."""
        return _("answers") if obj.answers else _("does not answer") if obj.item_id else _("nothing answers")

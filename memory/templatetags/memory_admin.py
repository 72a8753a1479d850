"""`{% load memory_admin %}`: tags of the app's pages in Django's admin."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_list import date_hierarchy
from django.contrib.admin.views.main import ChangeList

from ..admin.dates import with_dates
from ..admin.display import conversation_url
from ..admin.pages import pages_for
from ..models import UserSession

register = template.Library()


@register.inclusion_tag("admin/date_hierarchy.html")
def indexed_date_hierarchy(changelist: ChangeList) -> dict[str, Any]:
    """Django's bar of dates, cheap on large lists."""
    return date_hierarchy(with_dates(changelist)) or {}


@register.simple_tag
def conversation_of(session: UserSession) -> str:
    """The URL of a session's conversation."""
    return conversation_url(session.user_id, session.session_id)


@register.simple_tag(takes_context=True)
def memory_pages(context: dict[str, Any]) -> list[tuple[str, Any]]:
    """URLs and names of the app's own pages that the user may see."""
    request = context.get("request")
    return [] if request is None else pages_for(request)

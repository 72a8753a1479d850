"""`{% load memory_admin %}`: tags of the app's pages in Django's admin."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_list import date_hierarchy
from django.contrib.admin.views.main import ChangeList

from ..admin.dates import with_dates

register = template.Library()


@register.inclusion_tag("admin/date_hierarchy.html")
def indexed_date_hierarchy(changelist: ChangeList) -> dict[str, Any]:
    """Django's bar of dates, cheap on large lists."""
    return date_hierarchy(with_dates(changelist)) or {}

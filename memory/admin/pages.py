"""What the app's own pages in the admin have in common: permissions, the context of the site, and breadcrumbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import django
from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from ..models import MemoryItem, UserSession

Crumb = tuple[str, Any]
"""A URL and a name."""


def may(request: HttpRequest, action: str, model: type[Any], site: admin.AdminSite) -> bool:
    """Whether the request's user may do something (`view`, `delete`) with the records of a registered model."""
    return bool(getattr(site.get_model_admin(model), f"has_{action}_permission")(request))


def require(request: HttpRequest, site: admin.AdminSite, action: str = "view") -> None:
    """Raise `PermissionDenied` unless the user may do it with items and with sessions."""
    if not all(may(request, action, model, site) for model in (MemoryItem, UserSession)):
        raise PermissionDenied


def page_context(
    model_admin: Any, request: HttpRequest, title: Any, *, above: Sequence[Crumb] = (), subtitle: Any = None
) -> dict[str, Any]:
    """The context of `admin/memory/page.html`. `above` are the pages between the app's and this one."""
    opts = model_admin.opts
    app: Crumb = (reverse("admin:app_list", args=(opts.app_label,)), opts.app_config.verbose_name)
    return {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "subtitle": subtitle,
        "opts": opts,
        "media": model_admin.media,
        "breadcrumbs": [(reverse("admin:index"), _("Home")), app, *above],
        "breadcrumbs_are_list": django.VERSION >= (6, 1),
    }


def pages_for(request: HttpRequest) -> list[Crumb]:
    """The app's own pages that the user may see: URLs and names."""
    models: list[type[Any]] = [MemoryItem, UserSession]
    if not all(request.user.has_perm(f"memory.{get_permission_codename('view', model._meta)}") for model in models):
        return []
    named = (("dashboard", _("Dashboard")), ("people", _("People")), ("search", _("Search")))
    return [(reverse(f"admin:memory_{page}"), name) for page, name in named]

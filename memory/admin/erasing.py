"""Erasing a person in the admin: a question with the cost, the erasure in steps, and its receipt."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..lifecycle import costs, erasure
from ..models import MemoryItem, UserSession
from .display import excerpt
from .figures import Count
from .pages import may, page_context, require
from .people import person_url

ERASED_AT_ONCE: Final = 5_000
"""Records that one request erases."""
ERASE_PERSON: Final = "memory.erase_person"


def may_erase(request: HttpRequest, site: Any) -> bool:
    """Whether the user may erase people: by the permission for it, or by those to delete items and sessions."""
    if request.user.has_perm(ERASE_PERSON):
        return True
    return all(may(request, "delete", model, site) for model in (MemoryItem, UserSession))


def erase_view(model_admin: Any, request: HttpRequest, user_id: str) -> HttpResponse:
    """A question, and after a POST the erasure, of at most `ERASED_AT_ONCE` rows; repeated, it goes on."""
    require(request, model_admin.admin_site)
    if not may_erase(request, model_admin.admin_site):
        raise PermissionDenied
    name = unquote(user_id)
    before = erasure.progress_of(name)
    return erase(request, name, before) if request.method == "POST" else ask(model_admin, request, name, before)


def erase(request: HttpRequest, name: str, before: erasure.Progress | None) -> HttpResponse:
    """Erase some records, and go to the list of people if it was all, or else back to the question."""
    done = erasure.erase(name, by=request.user.get_username(), most=ERASED_AT_ONCE, wait=False)
    count = done.total - (before.total if before else 0)
    text = ngettext("%(count)d record was erased.", "%(count)d records were erased.", count) % {"count": count}
    if done.state is erasure.State.FINISHED:
        url = reverse("admin:memory_person_receipt", args=(quote(name),))
        link = format_html('<a href="{}">{}</a>', url, _("Receipt"))
        messages.success(request, format_html("{} {} {}", text, _("Nothing of this person is stored any more."), link))
        return HttpResponseRedirect(reverse("admin:memory_people"))
    waits = _("Writes that had begun may still be stored: erase again in some seconds.")
    more = _("More are stored: erase again.")
    messages.warning(request, f"{text} {waits if done.state is erasure.State.WAITING else more}")
    return HttpResponseRedirect(request.get_full_path())


def ask(model_admin: Any, request: HttpRequest, name: str, before: erasure.Progress | None) -> HttpResponse:
    """The question, with what would be erased and what that costs."""
    cost = costs.cost_of(name)
    if not cost.deletes and (before is None or before.state is erasure.State.FINISHED):
        raise Http404(_("Nothing of this person is stored."))
    above = [(reverse("admin:memory_people"), _("People")), (person_url(name), excerpt(name, 60))]
    context = {
        **page_context(model_admin, request, _("Erase"), above=above),
        "name": name,
        "items": Count(cost.owned[MemoryItem._meta.db_table]),
        "sessions_count": Count(cost.owned[UserSession._meta.db_table]),
        "cost": cost,
        "erased": None if before is None else before.total,
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


def attachment(name: str, suffix: str) -> dict[str, str]:
    """The header of a file, whose name has the day."""
    return {"Content-Disposition": f'attachment; filename="{name}-{timezone.localdate():%Y-%m-%d}.{suffix}"'}

"""The history of a record in the admin: its changes, their differences, and the views that revert one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote, unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as now

from ..models.versions import is_kept, versions_of
from .dates import in_utc_if_needed
from .revisions import UndoError, kept_versions, restore, revision, undo, with_values

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

ChangeMessage = list[dict[str, Any]]


class HistoryAdmin(ModelAdmin):
    """A history page with the differences of each change. A change can be undone, and a kept version restored.

    Both are changes in the log themselves, and keep a version, too.
    """

    object_history_template = "admin/memory/object_history.html"

    def get_urls(self) -> list[URLPattern]:
        wrap, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("<path:object_id>/history/<int:id>/undo/", wrap(self.undo_view), name=f"{name}_undo"),
            path("<path:object_id>/history/<str:version>/restore/", wrap(self.version_view), name=f"{name}_restore"),
            *super().get_urls(),
        ]

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """Like Django's, with the old and new values, so that the history shows differences."""
        message = super().construct_change_message(request, form, formsets, add)
        if add or not isinstance(message, list):
            return message
        before = {name: form.initial.get(name) for name in form.changed_data}
        return with_values(message, before, form.cleaned_data)

    @in_utc_if_needed
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Like Django's, with the differences of each change, and a button that undoes it."""
        record = self.get_object(request, unquote(object_id))
        response = super().history_view(request, object_id, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data is not None and record is not None:
            entries = response.context_data["action_list"]
            response.context_data |= {
                "revisions": [revision(entry, self.model) for entry in entries],
                "versions": kept_versions(record) if getattr(self.model, "HAS_VERSIONS", False) and is_kept() else [],
                "may_change": self.has_change_permission(request, record),
                "media": self.media,
            }
        return response

    def version_view(self, request: HttpRequest, object_id: str, version: str) -> HttpResponse:
        """Give a record the values of a kept version."""
        return self._reverted(request, object_id, lambda record: self._restored(record, version))

    def undo_view(self, request: HttpRequest, object_id: str, id: int) -> HttpResponse:
        """Undo a change, unless its fields were changed since."""
        return self._reverted(request, object_id, lambda record: self._undone(record, id))

    def _reverted(
        self, request: HttpRequest, object_id: str, revert: Callable[[Any], ChangeMessage]
    ) -> HttpResponseRedirect | HttpResponseNotAllowed:
        """Revert a change of a record and log it. `revert` saves the record and returns the message of the log."""
        record = self.get_object(request, unquote(object_id))
        if record is None:
            raise Http404(now("There is no such record."))
        if not self.has_change_permission(request, record):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        try:
            message = revert(record)
        except UndoError as error:
            self.message_user(request, str(error), messages.ERROR)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
        else:
            self.log_change(request, record, message)
            self.message_user(request, now("The change was undone."), messages.SUCCESS)
        address = f"admin:{self.opts.app_label}_{self.opts.model_name}_history"
        return HttpResponseRedirect(reverse(address, args=(quote(record.pk),)))

    def _restored(self, record: Any, version: str) -> ChangeMessage:
        """Save the record with the values of a kept version."""
        found = next((one for one in versions_of(record) if one.pk == version), None)
        if found is None:
            raise Http404(now("There is no such change."))
        names = restore(found, record)
        record.save(update_fields=names)
        return [self._changed(names)]

    def _undone(self, record: Any, id: int) -> ChangeMessage:
        """Save the record with the values before an entry of the log."""
        kind = ContentType.objects.get_for_model(self.model)
        entry = LogEntry.objects.filter(pk=id, content_type=kind, object_id=record.pk).first()
        if entry is None:
            raise Http404(now("There is no such change."))
        changed = undo(entry, record)
        unchanged = [field.name for field in self.model._meta.concrete_fields if field.name not in changed]
        record.full_clean(exclude=unchanged)
        record.save(update_fields=list(changed))
        before, after = ({name: both[at] for name, both in changed.items()} for at in (0, 1))
        return with_values([self._changed(list(changed))], before, after)

    def _changed(self, names: list[str]) -> dict[str, Any]:
        fields = [str(self.model._meta.get_field(name).verbose_name) for name in names]
        return {"changed": {"fields": fields}}

"""What the three lists share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AdminTextareaWidget
from django.db import NotSupportedError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext as now
from django.utils.translation import gettext_lazy as _

from ..fields import AnyJSONField, LongTextField
from ..models import Document
from .display import NOTHING, json_block, moment
from .exports import export_csv, export_jsonl
from .forms import FormattedJSONField, LinesField, RecordForm

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

logger = logging.getLogger(__name__)

Fieldsets = list[tuple[Any, Any]]

# The confirmation carries every id as a form field, of which Django takes 1,000 (DATA_UPLOAD_MAX_NUMBER_FIELDS).
MOST_DELETED_AT_ONCE = 500


class RecordChangeList(ChangeList):
    """A list that leaves out what it does not show and what is long: vectors, for one."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return found.defer(*self.model_admin.deferred)  # type: ignore[attr-defined]  # of our own admins


class RecordAdmin(ModelAdmin):
    """Lists with cheap pages, records with formatted JSON, exports; deletion in bounded numbers."""

    form = RecordForm
    actions = [export_jsonl, export_csv]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    view_on_site = False
    empty_value_display = NOTHING
    formfield_overrides = {
        AnyJSONField: {
            "form_class": FormattedJSONField,
            "widget": AdminTextareaWidget(
                attrs={"rows": 12, "class": "vLargeTextField memory-json-input", "spellcheck": "false"}
            ),
        },
        LongTextField: {
            "form_class": LinesField,
            "widget": AdminTextareaWidget(attrs={"rows": 12, "dir": "auto"}),
        },
    }

    # Fields that are set when a record is made and stay as they are.
    fixed: ClassVar[tuple[str, ...]] = ()
    # What only an existing record has to show.
    derived: ClassVar[tuple[str, ...]] = ()
    # Fields, and what shows them better to those who may only look.
    formatted: ClassVar[Mapping[str, str]] = {"metadata": "metadata_formatted"}
    # Fields that the list does not load.
    deferred: ClassVar[tuple[str, ...]] = ()

    class Media:
        css = {"all": ["memory/admin.css"]}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RecordChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Django's; a list that the database cannot make is told in a sentence, on a list that it can."""
        try:
            return super().changelist_view(request, extra_context)
        except NotSupportedError as error:
            if not request.GET:
                raise
            logger.warning("Storage refuses a list of the admin as too broad: %s", error)
            told = now("There is too much to search in: narrow it by a user, a session or a time, then search again.")
            self.message_user(request, told, messages.ERROR)
            return HttpResponseRedirect(request.path)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        # Changes are told from what is stored. A callable default would make the form send each value twice.
        return super().formfield_for_dbfield(db_field, request, show_hidden_initial=False, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Document | None = None) -> tuple[str, ...]:
        fixed = self.fixed if obj is not None else ()
        return (*fixed, *self.derived, *self.formatted.values())

    def get_fieldsets(self, request: HttpRequest, obj: Document | None = None) -> Fieldsets:
        fieldsets: Fieldsets = list(super().get_fieldsets(request, obj))
        if obj is None:
            return with_fields(fieldsets, dict.fromkeys(self.derived))
        return fieldsets if self.has_change_permission(request, obj) else with_fields(fieldsets, self.formatted)

    def save_model(self, request: HttpRequest, obj: Document, form: Any, change: bool) -> None:
        """Write only what was changed, so that what others wrote meanwhile stays."""
        obj.save(**({"update_fields": form.changed_data} if change else {}))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        if "delete_selected" in actions:
            actions["delete_selected"] = (delete_some, *actions["delete_selected"][1:])
        return actions

    @admin.display(description=_("time"), ordering="timestamp")
    def time(self, obj: Any) -> SafeString:
        """When it was said or made."""
        return moment(obj.timestamp)

    @admin.display(description=_("metadata"))
    def metadata_formatted(self, obj: Any) -> str:
        """The metadata as formatted JSON."""
        return json_block(obj.metadata)


def with_fields(fieldsets: Fieldsets, others: Mapping[str, str | None]) -> Fieldsets:
    """The fieldsets with other fields in the place of some; None takes one out, and a fieldset that gets empty."""
    changed = [
        (name, {**options, "fields": tuple(kept for field in options["fields"] if (kept := others.get(field, field)))})
        for name, options in fieldsets
    ]
    return [(name, options) for name, options in changed if options["fields"]]


def delete_some(model_admin: RecordAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
    """Django's `delete_selected`, up to a number of records that one confirmation can carry."""
    if queryset[: MOST_DELETED_AT_ONCE + 1].count() <= MOST_DELETED_AT_ONCE:
        return delete_selected(model_admin, request, queryset)
    model_admin.message_user(
        request,
        now("Nothing was deleted: at most %d are deleted at once. Narrow the list by filters, or select fewer.")
        % MOST_DELETED_AT_ONCE,
        messages.ERROR,
    )
    return None

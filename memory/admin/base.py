"""The base class of the three model admins."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AdminSplitDateTime, AdminTextareaWidget
from django.db import NotSupportedError, models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext as now
from django.utils.translation import gettext_lazy as _

from ..fields import AnyJSONField, LongTextField, SparseIdsField
from ..models import Document
from ..url_parameters import FoundByKey, refuses_large_numbers
from .change_lists import BoundedPaginator, RecordChangeList
from .dates import in_utc_if_needed
from .display import EMPTY, json_block, name_cell, time_cell, time_text
from .exports import export_csv, export_jsonl
from .forms import FormattedJSONField, IdsField, MultilineField, RecordForm
from .histories import HistoryAdmin

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

logger = logging.getLogger(__name__)

Fieldsets = list[tuple[Any, Any]]

# The confirmation form has one field per id; Django accepts 1,000 fields (DATA_UPLOAD_MAX_NUMBER_FIELDS).
MAX_DELETE_COUNT = 500


class LabelledDateTime(AdminSplitDateTime):
    """Django's two inputs of a time, each with a label for screen readers."""

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        """The context of the template."""
        context = super().get_context(name, value, attrs)
        for widget, label in zip(context["widget"]["subwidgets"], (now("Date"), now("Time")), strict=True):
            widget["attrs"]["aria-label"] = label
        return context


@wraps(delete_selected)  # An action of the same name comes before the site's.
def delete_limited(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
    """Django's `delete_selected`, limited to `MAX_DELETE_COUNT` records."""
    if queryset[: MAX_DELETE_COUNT + 1].count() <= MAX_DELETE_COUNT:
        return delete_selected(model_admin, request, queryset)
    model_admin.message_user(
        request,
        now("Nothing was deleted: the limit is %d records at once. Add filters, or select fewer records.")
        % MAX_DELETE_COUNT,
        messages.ERROR,
    )
    return None


class RecordAdmin(FoundByKey, HistoryAdmin):
    """Cheap pagination, formatted JSON, export actions, and deletion of a limited number of records."""

    form = RecordForm
    actions = [delete_limited, export_jsonl, export_csv]
    # Each record may have 1 MiB, so "show all" shows no more than a page.
    list_per_page = list_max_show_all = 50
    show_full_result_count = False
    paginator = BoundedPaginator
    show_facets = admin.ShowFacets.ALLOW
    view_on_site = False
    empty_value_display = EMPTY
    formfield_overrides = {
        SparseIdsField: {"form_class": IdsField, "widget": AdminTextareaWidget(attrs={"rows": 3})},
        AnyJSONField: {
            "form_class": FormattedJSONField,
            "widget": AdminTextareaWidget(
                attrs={"rows": 12, "class": "vLargeTextField memory-json-input", "spellcheck": "false"}
            ),
        },
        models.DateTimeField: {"widget": LabelledDateTime},
        LongTextField: {
            "form_class": MultilineField,
            "widget": AdminTextareaWidget(attrs={"rows": 12, "dir": "auto"}),
        },
    }

    # Fields that can be set only when a record is added.
    add_only_fields: ClassVar[tuple[str, ...]] = ()
    # Read-only fields of existing records.
    derived_fields: ClassVar[tuple[str, ...]] = ()
    # Fields, and their read-only replacements for users without the change permission.
    formatted_fields: ClassVar[Mapping[str, str]] = {"metadata": "metadata_formatted"}
    # Of all records, like `formatted_fields`.
    formatted_times: ClassVar[Mapping[str, str]] = {"timestamp": "time", "expiration": "expiration_formatted"}
    # Fields that the change list does not load.
    deferred_fields: ClassVar[tuple[str, ...]] = ()

    class Media:
        css = {"all": ["memory/admin.css"]}
        js = ["memory/names.js"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RecordChangeList

    @refuses_large_numbers
    @in_utc_if_needed
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Like Django's; if the database refuses the query, redirect to the unfiltered list with a message."""
        try:
            return super().changelist_view(request, extra_context)
        except NotSupportedError as error:
            if not request.GET:
                raise
            logger.warning("The storage refused a query of the admin as too broad: %s", error)
            text = now("The search is too broad. Filter by user, session or time, then search again.")
            self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(request.path)

    @in_utc_if_needed
    def changeform_view(self, *args: Any, **kwargs: Any) -> Any:
        return super().changeform_view(*args, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        # Changes are detected by the stored values. A callable default would add a hidden initial input.
        return super().formfield_for_dbfield(db_field, request, show_hidden_initial=False, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Document | None = None) -> tuple[str, ...]:
        unchangeable = self.add_only_fields if obj is not None else ()
        return (*unchangeable, *self.derived_fields, *self._formatted.values())

    def get_fieldsets(self, request: HttpRequest, obj: Document | None = None) -> Fieldsets:
        fieldsets: Fieldsets = list(super().get_fieldsets(request, obj))
        if obj is None:
            return replace_fields(fieldsets, dict.fromkeys(self.derived_fields))
        return fieldsets if self.has_change_permission(request, obj) else replace_fields(fieldsets, self._formatted)

    @property
    def _formatted(self) -> Mapping[str, str]:
        """The fields of this model that have a read-only replacement."""
        names = {field.name for field in self.opts.get_fields()}
        return {
            name: shown for name, shown in {**self.formatted_times, **self.formatted_fields}.items() if name in names
        }

    def save_model(self, request: HttpRequest, obj: Document, form: Any, change: bool) -> None:
        """Write only changed fields, so that concurrent changes of other fields are kept."""
        obj.save(**({"update_fields": form.changed_data} if change else {}))

    @admin.display(description=_("time"), ordering="timestamp")
    def time(self, obj: Any) -> SafeString:
        """The record's timestamp."""
        return time_cell(obj.timestamp)

    @admin.display(description=_("expiration"))
    def expiration_formatted(self, obj: Any) -> str:
        """When the record expires."""
        return time_text(obj.expiration)

    @admin.display(description=_("user"), ordering="user_id")
    def user(self, obj: Any) -> SafeString | None:
        """The start of the user's id."""
        return name_cell(obj.user_id)

    @admin.display(description=_("metadata"))
    def metadata_formatted(self, obj: Any) -> str:
        """The metadata as formatted JSON."""
        return json_block(obj.metadata)


def replace_fields(fieldsets: Fieldsets, others: Mapping[str, str | None]) -> Fieldsets:
    """Replace fields in fieldsets. None removes a field; empty fieldsets are removed too."""
    changed = [
        (name, {**options, "fields": tuple(kept for field in options["fields"] if (kept := others.get(field, field)))})
        for name, options in fieldsets
    ]
    return [(name, options) for name, options in changed if options["fields"]]

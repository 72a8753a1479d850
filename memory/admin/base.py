"""The base class of the three model admins."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import build_q_object_from_lookup_parameters, quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AdminSplitDateTime, AdminTextareaWidget
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import NotSupportedError, connections, models
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import cached_property
from django.utils.safestring import SafeString
from django.utils.translation import gettext as now
from django.utils.translation import gettext_lazy as _

from ..fields import AnyJSONField, LongTextField, SparseIdsField
from ..keeping import is_kept, versions_of
from ..models import Document
from .dates import in_utc_if_needed, until_the_end
from .display import EMPTY, json_block, name_cell, time_cell, time_text
from .exports import export_csv, export_jsonl
from .forms import FormattedJSONField, IdsField, MultilineField, RecordForm
from .revisions import UndoError, kept_versions, restore, revision, undo, with_values

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    RecordPaginator = Paginator[Any]
else:
    ModelAdmin = admin.ModelAdmin
    RecordPaginator = Paginator

logger = logging.getLogger(__name__)

Fieldsets = list[tuple[Any, Any]]

# The confirmation form has one field per id; Django accepts 1,000 fields (DATA_UPLOAD_MAX_NUMBER_FIELDS).
MAX_DELETE_COUNT = 500
# Records that a list counts and pages through: filters and dates lead to the rest.
MOST_LISTED = 10_000
# Records in which words, and values that no index has, are looked up.
MOST_LOOKED_UP = 10_000


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


class BoundedNumber(int):
    """A number that counting stopped at."""

    def __str__(self) -> str:
        return f"{int(self)}+"


class BoundedPaginator(RecordPaginator):
    """Counts up to `MOST_LISTED` records; the pages of the list end there."""

    @cached_property
    def count(self) -> int:
        """The number of records, or a `BoundedNumber`."""
        if not isinstance(self.object_list, QuerySet):
            return len(self.object_list)
        counted = self.object_list.order_by()[: MOST_LISTED + 1].count()
        return counted if counted <= MOST_LISTED else BoundedNumber(MOST_LISTED)


class RecordChangeList(ChangeList):
    """A change list that defers large columns that it does not show, such as vectors, and reads few records.

    Words, and the values of filters with `reads_records`, are in no index that helps. They are looked up in the newest
    `MOST_LOOKED_UP` records that pass the other filters. Firestore's engine bounds what it reads, and refuses more.
    """

    @property
    def _looks_up_newest(self) -> bool:
        """Whether a list that reads records is limited to the newest."""
        return connections[self.root_queryset.db].vendor != "firestore"

    def get_filters(self, request: HttpRequest) -> Any:
        """Like Django's, for the last year, month and day that there are, too."""
        given = self.filter_params
        if self.date_hierarchy:
            self.filter_params = until_the_end(given, str(self.date_hierarchy))
        try:
            found = super().get_filters(request)
        finally:
            self.filter_params = given  # links are made of them
        self._lookups: Any = found[2]
        return found

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self._request = request
        found: Any = super().get_queryset(request, exclude_parameters)
        if self._looks_up_newest and self.reads_records(exclude_parameters):
            found = self._among_newest(found, exclude_parameters)
        found = found.without_index()
        if self.query:  # words in any text: bounded, and too broad a search shows a message
            found.query.expects_mirror = True
        # All admins here are RecordAdmins. Columns and filters that no index serves are evaluated over a bounded read.
        return cast(QuerySet[Any], found.defer(*self.model_admin.deferred_fields))  # type: ignore[attr-defined]

    def reads_records(self, excluded: Sequence[str | None] | None) -> bool:
        """Whether words or a filter are looked up, or the choices of such a filter are counted."""
        unindexed: list[Any] = [one for one in self.filter_specs if is_unindexed(one)]
        return self.searches_words() or any(
            one.value() is not None or one.expected_parameters() == excluded for one in unindexed
        )

    def searches_words(self) -> bool:
        """Whether the text of the search is looked up in the records."""
        return bool(self.query)

    def of_the_query(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The records that pass what the text of the search says of indexed columns: here nothing."""
        return rows

    def _among_newest(self, found: QuerySet[Any], excluded: Sequence[str | None] | None) -> QuerySet[Any]:
        """Those of the newest records, with a message if there are others."""
        field, rows = str(self.date_hierarchy), self.of_the_query(self.root_queryset)
        for one in self.filter_specs:
            if not is_unindexed(one) and one.expected_parameters() != excluded:
                filtered = one.queryset(self._request, rows)
                rows = rows if filtered is None else filtered
        rows = rows.filter(build_q_object_from_lookup_parameters(self._lookups)).order_by(f"-{field}")
        most = MOST_LOOKED_UP
        oldest = next(iter(rows.values_list(field, flat=True)[most - 1 : most]), None)
        if oldest is None:
            return found
        text = now("The list was looked up in the newest %d records. Other filters narrow it.")
        inform_once(self._request, text % most)
        return found.filter(**{f"{field}__gte": oldest})


def is_unindexed(filter_spec: Any) -> bool:
    """Whether the records that pass the other filters are read for this filter."""
    return getattr(filter_spec, "reads_records", False)


def inform_once(request: HttpRequest, text: str) -> None:
    """Add the message, unless this request has it: a list is evaluated several times."""
    if text not in (given := request.__dict__.setdefault("memory_admin_messages", set())):
        given.add(text)
        messages.info(request, text)


class RecordAdmin(ModelAdmin):
    """Cheap pagination, formatted JSON, export actions, and deletion of a limited number of records."""

    form = RecordForm
    object_history_template = "admin/memory/object_history.html"
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

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """Like Django's, with the old and new values, so that the history shows differences."""
        message = super().construct_change_message(request, form, formsets, add)
        if add or not isinstance(message, list):
            return message
        before = {name: form.initial.get(name) for name in form.changed_data}
        return with_values(message, before, form.cleaned_data)

    def get_urls(self) -> list[URLPattern]:
        undo_view = self.admin_site.admin_view(self.undo_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_undo"
        version_view = self.admin_site.admin_view(self.version_view)
        return [
            path("<path:object_id>/history/<int:id>/undo/", undo_view, name=name),
            path("<path:object_id>/history/<str:version>/restore/", version_view, name=name.replace("undo", "restore")),
            *super().get_urls(),
        ]

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
        """Give a record the values of a kept version. That is a change in the log, and keeps a version, too."""
        record = self.get_object(request, unquote(object_id))
        if record is None:
            raise Http404(now("There is no such record."))
        if not self.has_change_permission(request, record):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        found = next((one for one in versions_of(record) if one.pk == version), None)
        if found is None:
            raise Http404(now("There is no such change."))
        try:
            names = restore(found, record)
            record.save(update_fields=names)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
        else:
            fields = [str(self.model._meta.get_field(name).verbose_name) for name in names]
            self.log_change(request, record, [{"changed": {"fields": fields}}])
            self.message_user(request, now("The change was undone."), messages.SUCCESS)
        address = f"admin:{self.opts.app_label}_{self.opts.model_name}_history"
        return HttpResponseRedirect(reverse(address, args=(quote(record.pk),)))

    def undo_view(self, request: HttpRequest, object_id: str, id: int) -> HttpResponse:
        """Undo a change, unless its fields were changed since. The undoing is a change in the log, too."""
        record = self.get_object(request, unquote(object_id))
        if record is None:
            raise Http404(now("There is no such record."))
        if not self.has_change_permission(request, record):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        kind = ContentType.objects.get_for_model(self.model)
        entry = LogEntry.objects.filter(pk=id, content_type=kind, object_id=record.pk).first()
        if entry is None:
            raise Http404(now("There is no such change."))
        try:
            changed = undo(entry, record)
            record.full_clean(exclude=[name for name in self._field_names() if name not in changed])
            record.save(update_fields=list(changed))
        except (UndoError, ValidationError) as error:
            text = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
            self.message_user(request, text, messages.ERROR)
        else:
            before, after = ({name: both[at] for name, both in changed.items()} for at in (0, 1))
            fields = [str(self.model._meta.get_field(name).verbose_name) for name in changed]
            self.log_change(request, record, with_values([{"changed": {"fields": fields}}], before, after))
            self.message_user(request, now("The change was undone."), messages.SUCCESS)
        address = f"admin:{self.opts.app_label}_{self.opts.model_name}_history"
        return HttpResponseRedirect(reverse(address, args=(quote(record.pk),)))

    def _field_names(self) -> list[str]:
        return [field.name for field in self.model._meta.concrete_fields]

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

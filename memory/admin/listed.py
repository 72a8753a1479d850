"""The base of admins of rows that the service writes: staff list them, and neither add nor change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse

from ..url_parameters import FoundByKey, refuses_large_numbers
from .change_lists import BoundedPaginator, SingleOrderChangeList
from .dates import in_utc_if_needed
from .display import EMPTY

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class ListedAdmin(FoundByKey, ModelAdmin):
    """Cheap pagination, in one order for which there is an index."""

    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    view_on_site = False
    empty_value_display = EMPTY
    paginator = BoundedPaginator
    sortable_by: ClassVar[tuple[str, ...]] = ()

    class Media:
        css = {"all": ["memory/admin.css"]}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SingleOrderChangeList

    @refuses_large_numbers
    @in_utc_if_needed
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, extra_context)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """By the filters only: there is no index for others."""
        own: list[Any] = list(self.list_filter)
        names = [one[0] if isinstance(one, tuple) else one.parameter_name for one in own]
        return lookup in names or lookup.partition("__")[0] in names

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The service writes them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The service writes them."""
        return False

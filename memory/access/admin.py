"""The admin of access tokens: it shows a new token once, and no token after that."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..url_parameters import FoundByKey, refuses_large_numbers
from .models import SCOPES, AccessToken, Owner, new_secret

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[AccessToken]
    ModelForm = forms.ModelForm[AccessToken]
else:
    ModelAdmin, ModelForm = admin.ModelAdmin, forms.ModelForm


class ScopesField(forms.MultipleChoiceField):
    """Check boxes for a text of names, separated by spaces."""

    widget = forms.CheckboxSelectMultiple

    def prepare_value(self, value: Any) -> Any:
        """The checked names."""
        return value.split() if isinstance(value, str) else value

    def clean(self, value: Any) -> Any:
        """The text."""
        return " ".join(super().clean(value))


class NewTokenForm(ModelForm):
    """A token that is about to be issued."""

    scopes = ScopesField(label=_("scopes"), choices=list(SCOPES.items()), initial=list(SCOPES))

    class Meta:
        model = AccessToken
        fields = ("user", "name", "scopes", "owner", "expires")


@admin.register(AccessToken)
class AccessTokenAdmin(FoundByKey, ModelAdmin):
    """Issue, rename, shorten and revoke tokens. Staff who are not superusers issue tokens for themselves only."""

    list_display = ("__str__", "user", "hint", "scopes", "owner", "expiry", "last_use")
    list_select_related = ("user",)
    search_fields = ("name", "hint")
    search_help_text = _("Name, or how the token begins.")
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    raw_id_fields = ("user",)
    formfield_overrides = {
        models.DateTimeField: {"widget": AdminSplitDateTime(attrs={"aria-label": _("expires")})},
    }

    class Media:
        css = {"all": ["memory/admin.css"]}
        js = ["memory/names.js"]  # labels the search box

    @admin.display(description=_("expires"), ordering="expires")
    def expiry(self, obj: AccessToken) -> str | None:
        """When the token expires."""
        return _time_text(obj.expires)

    @admin.display(description=_("last used"), ordering="last_used")
    def last_use(self, obj: AccessToken) -> str | None:
        """When the token was last used."""
        return _time_text(obj.last_used)

    @admin.display(description=_("created"), ordering="created")
    def creation(self, obj: AccessToken) -> str | None:
        """When the token was issued."""
        return _time_text(obj.created)

    @refuses_large_numbers
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """As Django's."""
        return super().changelist_view(request, extra_context)

    def get_form(
        self, request: HttpRequest, obj: AccessToken | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """New tokens have a form of their own."""
        return super().get_form(request, obj, change, **({} if change else {"form": NewTokenForm}), **kwargs)

    def get_fields(self, request: HttpRequest, obj: AccessToken | None = None) -> Any:
        """All that is stored, but the hash."""
        new = ("user", "name", "scopes", "owner", "expires")
        return new if obj is None else (*new, "hint", "creation", "last_use")

    def get_readonly_fields(self, request: HttpRequest, obj: AccessToken | None = None) -> Any:
        """Name and expiry of an existing token can change; what it may do cannot."""
        return () if obj is None else ("user", "scopes", "owner", "hint", "creation", "last_use")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The users for whom this one may issue tokens."""
        if db_field.name == "user" and not _is_superuser(request):
            kwargs |= {"queryset": get_user_model()._default_manager.filter(pk=str(request.user.pk))}
        if db_field.name == "user":
            kwargs |= {"initial": request.user.pk}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: AccessToken, form: Any, change: bool) -> None:
        """Issue a new token; its secret is kept on the object until the response."""
        if not change:
            if obj.user_id != request.user.pk and not _is_superuser(request):
                raise PermissionDenied
            obj.secret = new_secret()  # type: ignore[attr-defined]
            obj.set_secret(obj.secret)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: AccessToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret in this response, since messages and redirects would store it."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("Access token"),
            "opts": self.opts,
            "token": obj,
            "secret": obj.secret,  # type: ignore[attr-defined]
        }
        response = TemplateResponse(request, "admin/memory_access/accesstoken/created.html", context)
        response["Cache-Control"] = "no-store"
        return response


@admin.register(Owner)
class OwnerAdmin(FoundByKey, admin.ModelAdmin[Owner] if TYPE_CHECKING else admin.ModelAdmin):  # type: ignore[misc]
    """Which owner id belongs to whom. Deleting the row of a deleted user lets another one have the id."""

    list_display = ("id", "user")
    list_select_related = ("user",)
    search_fields = ("=id",)
    search_help_text = _("The whole id.")
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["memory/admin.css"]}
        js = ["memory/names.js"]

    @refuses_large_numbers
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """As Django's."""
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Ids are reserved by themselves."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Owner | None = None) -> bool:
        """An id does not change hands."""
        return False


def _time_text(time: datetime | None) -> str | None:
    """A time as all pages of the app's admin show it."""
    return None if time is None else f"{timezone.localtime(time):%Y-%m-%d %H:%M:%S}"


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))

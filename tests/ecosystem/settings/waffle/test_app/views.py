"""django-waffle: the views of its test application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import Context, Template
from django.views import View
from waffle import flag_is_active  # type: ignore[import-not-found]
from waffle.decorators import waffle_flag, waffle_switch  # type: ignore[import-not-found]
from waffle.mixins import WaffleFlagMixin, WaffleSampleMixin, WaffleSwitchMixin  # type: ignore[import-not-found]


def flag_in_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("on" if flag_is_active(request, "myflag") else "off")


def flag_in_view_readonly(request: HttpRequest) -> HttpResponse:
    return HttpResponse("on" if flag_is_active(request, "myflag", read_only=True) else "off")


def flag_in_django(request: HttpRequest) -> HttpResponse:
    return render(
        request, "tags.html", {"flag_var": "flag_var", "switch_var": "switch_var", "sample_var": "sample_var"}
    )


def no_request_context(request: HttpRequest) -> str:
    template = Template(
        "{% load waffle_tags %}{% switch 'switch' %}switch on{% else %}switch off{% endswitch %}"
        "{% sample 'sample' %}sample on{% else %}sample off{% endsample %}"
    )
    return template.render(Context({}))


def foo_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("redirected")


def foo_view_with_args(request: HttpRequest, some_number: int) -> HttpResponse:
    return HttpResponse(f"redirected with {some_number}")


def guarded(decorator: Callable[..., Any]) -> Callable[..., HttpResponse]:
    """A view behind a decorator."""

    def view(request: HttpRequest, **arguments: Any) -> HttpResponse:
        return HttpResponse("foo")

    return decorator(view)  # type: ignore[no-any-return]


VIEWS = {
    "flag-on": guarded(waffle_flag("foo")),
    "flag-off": guarded(waffle_flag("!foo")),
    "switch-on": guarded(waffle_switch("foo")),
    "switch-off": guarded(waffle_switch("!foo")),
    **{
        f"{kind}_view_{name}": guarded(decorator("foo", target))
        for kind, decorator in (("switched", waffle_switch), ("flagged", waffle_flag))
        for name, target in (
            ("with_valid_redirect", foo_view),
            ("with_valid_url_name", "foo_view"),
            ("with_invalid_redirect", "invalid_view"),
        )
    },
}
"""By path."""

VIEWS_WITH_ARGUMENTS = {
    f"{kind}_view_with_args_{name}": guarded(decorator("foo", target))
    for kind, decorator in (("switched", waffle_switch), ("flagged", waffle_flag))
    for name, target in (("with_valid_redirect", foo_view_with_args), ("with_valid_url_name", "foo_view_with_args"))
}
"""By path; a number follows."""


class Answer(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("foo")


class FlagView(WaffleFlagMixin, Answer):  # type: ignore[misc]
    waffle_flag = "foo"


class FlagOffView(WaffleFlagMixin, Answer):  # type: ignore[misc]
    waffle_flag = "!foo"


class SampleView(WaffleSampleMixin, Answer):  # type: ignore[misc]
    waffle_sample = "foo"


class SampleOffView(WaffleSampleMixin, Answer):  # type: ignore[misc]
    waffle_sample = "!foo"


class SwitchView(WaffleSwitchMixin, Answer):  # type: ignore[misc]
    waffle_switch = "foo"


class SwitchOffView(WaffleSwitchMixin, Answer):  # type: ignore[misc]
    waffle_switch = "!foo"

"""django-waffle: the URLs of its test application."""

from django.contrib import admin
from django.urls import include, path

from test_app import views  # type: ignore[import-not-found]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("waffle.urls")),
    path("flag_in_view", views.flag_in_view),
    path("flag_in_view_readonly", views.flag_in_view_readonly),
    path("foo_view", views.foo_view, name="foo_view"),
    path("foo_view_with_args/<int:some_number>/", views.foo_view_with_args, name="foo_view_with_args"),
    *(path(name, view) for name, view in views.VIEWS.items()),
    *(path(f"{name}/<int:some_number>/", view) for name, view in views.VIEWS_WITH_ARGUMENTS.items()),
]

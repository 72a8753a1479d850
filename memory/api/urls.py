"""The API's URLs: `path("api/", include("memory.api.urls"))` in a project."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []

"""The API's URLs: `path("api/", include("memory.api.urls"))` in a project. The trailing slash is optional."""

from django.urls import URLPattern, URLResolver, include, path, re_path
from rest_framework.routers import SimpleRouter

from memory.health import urlpatterns as health_urls

from .documentation import RedocView, SchemaView, SwaggerView
from .people import PeopleViewSet
from .viewsets import AgentDataViewSet, MemoryItemViewSet, UserSessionViewSet

app_name = "memory-api"

router = SimpleRouter()
router.trailing_slash = "/?"  # a regular expression, like the router's routes
for viewset in (MemoryItemViewSet, AgentDataViewSet, UserSessionViewSet, PeopleViewSet):
    router.register(viewset.collection, viewset, basename=viewset.collection)

documentation: list[URLPattern] = [
    re_path(r"^schema/?$", SchemaView.as_view(), name="schema"),
    re_path(r"^docs/?$", SwaggerView.as_view(), name="docs"),
    re_path(r"^redoc/?$", RedocView.as_view(), name="redoc"),
]

urlpatterns: list[URLPattern | URLResolver] = [*health_urls, *documentation, path("", include(router.urls))]

"""The schema and two ways to read it, open to all: they hold no data. Assets come from this service alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from django.templatetags.static import static
from drf_spectacular.settings import patched_settings
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from .openapi import SPECTACULAR_SETTINGS

SCHEMA_NAME = "memory-api:schema"
# drf-spectacular keeps settings that are patched for a moment in one place for all threads.
_lock = threading.Lock()


@cache
def openapi() -> Mapping[str, Any]:
    """The schema, made once a process: it depends on code and urls alone, and takes a second."""
    generator = SpectacularAPIView.generator_class(urlconf=None)
    schema: Mapping[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return schema


class OpenView:
    """Policies of what is open to all, and not part of the schema."""

    authentication_classes: Any = ()
    permission_classes: Any = (AllowAny,)
    throttle_classes: Any = ()
    versioning_class: Any = None
    content_negotiation_class: Any = DefaultContentNegotiation
    schema: Any = None


class SchemaView(OpenView, SpectacularAPIView):
    """OpenAPI 3, as YAML or, with `Accept: application/json` or `?format=json`, as JSON."""

    def _get_schema_response(self, request: Request) -> Response:
        with _lock, patched_settings(SPECTACULAR_SETTINGS):
            return Response(openapi())


class Page(OpenView):
    """A page that may load what this service serves, and nothing else."""

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """With a Content-Security-Policy."""
        final: Response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        final["Content-Security-Policy"] = policy(static(""))
        return final


def policy(static_url: str) -> str:
    """The pages' Content-Security-Policy; static files may come from another host, where the project says so."""
    host = urlsplit(static_url).netloc
    own = f"'self' {host}" if host else "'self'"
    # Redoc styles what it draws from its script and searches in a worker; Swagger UI's icons are data. Redoc also asks
    # its maker's site for a logo, which is refused here.
    return (
        f"default-src 'none'; script-src {own}; style-src {own} 'unsafe-inline'; img-src {own} data:; "
        f"font-src {own}; connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'"
    )


class SwaggerView(Page, SpectacularSwaggerSplitView):
    """Swagger UI; its script is served apart from the page."""

    url_name = SCHEMA_NAME
    template_name = "memory/api/swagger.html"
    title = SPECTACULAR_SETTINGS["TITLE"]

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The page, or with `?script` its script."""
        with _lock, patched_settings(SPECTACULAR_SETTINGS):
            response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        return response


class RedocView(Page, SpectacularRedocView):
    """Redoc."""

    url_name = SCHEMA_NAME
    template_name = "memory/api/redoc.html"
    title = SPECTACULAR_SETTINGS["TITLE"]

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The page."""
        with _lock, patched_settings(SPECTACULAR_SETTINGS):
            response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        return response

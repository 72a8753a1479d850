"""The OpenAPI schema, Swagger UI and Redoc. Public, since they hold no data; all assets are served locally."""

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
STYLESHEET = "memory/api/docs.css"
# `patched_settings` changes drf-spectacular's settings for all threads.
_lock = threading.Lock()


@cache
def openapi() -> Mapping[str, Any]:
    """The schema, generated once per process: it depends only on code and URLs, and takes about 1 s."""
    generator = SpectacularAPIView.generator_class(urlconf=None)
    schema: Mapping[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return schema


class OpenView:
    """Policies of public views that are not part of the schema."""

    authentication_classes: Any = ()
    permission_classes: Any = (AllowAny,)
    throttle_classes: Any = ()
    versioning_class: Any = None
    content_negotiation_class: Any = DefaultContentNegotiation
    schema: Any = None


class SchemaView(OpenView, SpectacularAPIView):
    """OpenAPI 3 as YAML, or as JSON with `Accept: application/json` or `?format=json`."""

    def _get_schema_response(self, request: Request) -> Response:
        with _lock, patched_settings(SPECTACULAR_SETTINGS):
            return Response(openapi())


class Page(OpenView):
    """An HTML page that loads assets only from this service."""

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Add the Content-Security-Policy header."""
        final: Response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        # A storage with a manifest knows files only, so the host is that of a file of the pages.
        final["Content-Security-Policy"] = content_security_policy(static(STYLESHEET))
        return final


def content_security_policy(static_url: str) -> str:
    """The pages' Content-Security-Policy. It allows the host of `STATIC_URL`, if that is another one."""
    host = urlsplit(static_url).netloc
    own = f"'self' {host}" if host else "'self'"
    # Redoc adds inline styles and searches in a worker; Swagger UI's icons are data URLs. Redoc also requests a logo
    # from its vendor's site, which this policy blocks.
    return (
        f"default-src 'none'; script-src {own}; style-src {own} 'unsafe-inline'; img-src {own} data:; "
        f"font-src {own}; connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'"
    )


class SwaggerView(Page, SpectacularSwaggerSplitView):
    """Swagger UI, with its script at a separate URL."""

    url_name = SCHEMA_NAME
    template_name = "memory/api/swagger.html"
    title = SPECTACULAR_SETTINGS["TITLE"]

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The page, or its script with `?script`."""
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

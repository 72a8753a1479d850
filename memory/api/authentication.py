"""Authentication: tokens and Django's sessions."""

from __future__ import annotations

from django.apps import apps
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, TokenAuthentication
from rest_framework.request import Request


class LoginAuthentication(SessionAuthentication):
    """Session authentication with CSRF protection; anonymous requests get a 401 instead of a 403."""

    def authenticate_header(self, request: Request) -> str:
        """The value of `WWW-Authenticate` in a 401 response."""
        return "Session"


def authentication_classes() -> tuple[type[BaseAuthentication], ...]:
    """Session authentication, preceded by tokens if `rest_framework.authtoken` is installed."""
    if apps.is_installed("rest_framework.authtoken"):
        return (TokenAuthentication, LoginAuthentication)
    return (LoginAuthentication,)

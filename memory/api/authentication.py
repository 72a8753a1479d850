"""Who asks: a token, or the session of somebody who is logged in."""

from __future__ import annotations

from django.apps import apps
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, TokenAuthentication
from rest_framework.request import Request


class LoginAuthentication(SessionAuthentication):
    """Django's session, with CSRF protection; nobody logged in is a 401."""

    def authenticate_header(self, request: Request) -> str:
        """The challenge of the 401."""
        return "Session"


def authentication_classes() -> tuple[type[BaseAuthentication], ...]:
    """Tokens where `rest_framework.authtoken` is installed, and sessions."""
    if apps.is_installed("rest_framework.authtoken"):
        return (TokenAuthentication, LoginAuthentication)
    return (LoginAuthentication,)

"""Authentication: access tokens and Django's sessions."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    TokenAuthentication,
    get_authorization_header,
)
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from .permissions import may_be_limited_to

HASHED, CLEAR = "memory.access", "rest_framework.authtoken"


class LoginAuthentication(SessionAuthentication):
    """Session authentication with CSRF protection; anonymous requests get a 401 instead of a 403."""

    def authenticate_header(self, request: Request) -> str:
        """The value of `WWW-Authenticate` in a 401 response."""
        return "Session"


class AccessTokenAuthentication(TokenAuthentication):
    """`Authorization: Token ...` or `Bearer ...`: the tokens of `memory.access`, then those of DRF, if installed."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """The user and the token; None without such a header. Raises `AuthenticationFailed`."""
        scheme = get_authorization_header(request).split(maxsplit=1)[:1]
        if scheme and scheme[0].lower() == b"bearer":
            self.keyword = "Bearer"  # of this request: authenticators are made for each
        return super().authenticate(request)

    def authenticate_credentials(self, key: str) -> tuple[Any, Any]:
        """The user and the token of a secret."""
        token = self._access_token(key) if apps.is_installed(HASHED) else None
        if token is None:
            if apps.is_installed(CLEAR):
                return super().authenticate_credentials(key)
            raise AuthenticationFailed("Invalid token.")
        if token.is_expired:
            raise AuthenticationFailed("This token has expired.")
        if not token.user.is_active:
            raise AuthenticationFailed("User inactive or deleted.")
        if token.owner and not may_be_limited_to(token.user, token.owner):
            raise AuthenticationFailed("The user of this token may not act for its owner.")
        token.note_use()
        return token.user, token

    def _access_token(self, key: str) -> Any:
        from ..access.models import AccessToken  # a model: only if its app is installed

        return AccessToken.objects.of_secret(key)

    def authenticate_header(self, request: Request) -> str:
        """The value of `WWW-Authenticate` in a 401 response."""
        return "Token"


def authentication_classes() -> tuple[type[BaseAuthentication], ...]:
    """Session authentication, preceded by tokens if an app of tokens is installed."""
    if apps.is_installed(HASHED) or apps.is_installed(CLEAR):
        return (AccessTokenAuthentication, LoginAuthentication)
    return (LoginAuthentication,)

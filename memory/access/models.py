"""The models of access tokens and of owner ids."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

PREFIX: Final = "mem_"
"""Begins each token, so that scanners of secrets recognise it."""

RANDOM_BYTES = 32
HINT_LENGTH = len(PREFIX) + 4
DEFAULT_DAYS = 90
USE_INTERVAL = timedelta(minutes=5)
"""How old `last_used` may be before a request renews it: a write for each request would be a bottleneck."""

READ: Final = "read"
WRITE: Final = "write"
FORGET: Final = "forget"
SCOPES: Final = {
    READ: _("read: list, retrieve, search"),
    WRITE: _("write: create and change"),
    FORGET: _("forget: delete"),
}


def new_secret() -> str:
    """A random token."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def digest_of(secret: str) -> str:
    """The stored form of a token. A fast hash is enough for a random text of 160 bits and more."""
    return hashlib.sha256(secret.encode()).hexdigest()


def validate_scopes(value: str) -> None:
    """Raise `ValidationError` for anything but known scopes, separated by spaces."""
    names = value.split()
    if not names or not SCOPES.keys() >= set(names):
        raise ValidationError(_("Scopes are some of: %(known)s."), code="scopes", params={"known": " ".join(SCOPES)})


def default_expiry() -> datetime:
    """`DEFAULT_DAYS` from now."""
    return timezone.now() + timedelta(days=DEFAULT_DAYS)


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    """Tokens, by their secret or by their validity."""

    def issue(self, user: Any, scopes: Iterable[str] = tuple(SCOPES), **values: Any) -> tuple[AccessToken, str]:
        """Save a new token; return it with its secret, which is not stored. Raises `ValidationError`."""
        secret = new_secret()
        token = self.model(user=user, scopes=" ".join(scopes), **values)
        token.set_secret(secret)
        token.full_clean()
        token.save(using=self.db, force_insert=True)
        return token, secret

    def of_secret(self, secret: str) -> AccessToken | None:
        """The token with this secret, valid or not, with its user and the user's owner id; or None."""
        with suppress(AccessToken.DoesNotExist):
            return self.select_related("user__memory_owner").get(pk=digest_of(secret))
        return None

    def expired(self) -> AccessTokenQuerySet:
        """Tokens that are not accepted any more."""
        return self.filter(expires__lte=timezone.now())


class AccessToken(models.Model):
    """A token of a user. The secret is shown once, when it is issued; the row has its SHA-256 hash."""

    digest = models.CharField(max_length=64, primary_key=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memory_tokens", verbose_name=_("user")
    )
    name = models.CharField(_("name"), max_length=100, blank=True, help_text=_("What the token is used for."))
    hint = models.CharField(_("begins with"), max_length=HINT_LENGTH, blank=True, editable=False)
    scopes = models.CharField(_("scopes"), max_length=100, default=" ".join(SCOPES), validators=[validate_scopes])
    owner = models.CharField(
        _("only for"),
        max_length=255,
        blank=True,
        help_text=_("The only user id whose records the token reaches. Empty: all that the user may access."),
    )
    created = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires = models.DateTimeField(
        _("expires"), null=True, blank=True, default=default_expiry, help_text=_("Empty: never.")
    )
    last_used = models.DateTimeField(_("last used"), null=True, editable=False)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("access token")
        verbose_name_plural = _("access tokens")
        ordering = ("-created",)

    def __str__(self) -> str:
        return self.name or f"{self.hint}…"

    def set_secret(self, secret: str) -> None:
        """Make this the token of `secret`: its hash and its first characters."""
        self.digest, self.hint = digest_of(secret), secret[:HINT_LENGTH]

    @property
    def is_expired(self) -> bool:
        """Whether the time of expiry has passed."""
        return self.expires is not None and self.expires <= timezone.now()

    def allows(self, scope: str) -> bool:
        """Whether the token has this scope."""
        return scope in self.scopes.split()

    def note_use(self) -> None:
        """Renew `last_used` if it is older than `USE_INTERVAL`. An error of the database is logged."""
        now = timezone.now()
        if self.last_used is not None and now - self.last_used < USE_INTERVAL:
            return
        alias = self._state.db
        tokens = type(self)._base_manager.using(alias).filter(pk=self.pk)
        # After the request's transaction, if there is one: concurrent requests must not contend for this row.
        transaction.on_commit(lambda: tokens.update(last_used=now), using=alias, robust=True)


class Owner(models.Model):
    """An owner id (`user_id`, `agent_id`) that belongs to one user for ever, also after the user was deleted."""

    id = models.CharField(max_length=255, primary_key=True)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="memory_owner"
    )

    class Meta:
        verbose_name = _("owner id")
        verbose_name_plural = _("owner ids")

    def __str__(self) -> str:
        return self.id

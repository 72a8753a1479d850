"""The form of the admin's login, which refuses names and addresses after failed attempts.

Failures are counted in the cache, which all processes share if it is Redis, and in the process, which counts alone
while Redis is away. A refused attempt checks no password.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.cache import BaseCache, caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from rest_framework.throttling import BaseThrottle

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 900
FAILURES_OF_NAME_AND_ADDRESS = 5
FAILURES_OF_ADDRESS = 30
TOO_MANY = _("Too many failed attempts. Try again in 15 minutes.")

local = LocMemCache("orchestra-logins", {"OPTIONS": {"MAX_ENTRIES": 10_000}})


@dataclass(frozen=True)
class Counter:
    """The failures of an address, or of a name at an address."""

    key: str
    most: int

    @classmethod
    def of(cls, kind: str, parts: str, most: int) -> Counter:
        """The key is a hash: names are typed by anybody, sometimes a password."""
        return cls(f"login:{kind}:{hashlib.sha256(parts.encode(errors='replace')).hexdigest()}", most)

    def stores(self) -> Iterator[BaseCache]:
        """Where failures are counted."""
        yield local
        yield caches["default"]

    @property
    def is_full(self) -> bool:
        """Whether another attempt is refused."""
        return any((store.get(self.key) or 0) >= self.most for store in self.stores())

    def count(self) -> None:
        """Count a failure; the window begins with the first one."""
        for store in self.stores():
            store.add(self.key, 0, timeout=WINDOW_SECONDS)
            try:
                store.incr(self.key)
            except ValueError:  # evicted since `add`
                continue

    def reset(self) -> None:
        """Forget the failures."""
        for store in self.stores():
            store.delete(self.key)


def counters(request: HttpRequest, name: str) -> tuple[Counter, Counter]:
    """The counters of a name at an address, and of the address."""
    address = BaseThrottle().get_ident(request) or ""  # type: ignore[arg-type]  # reads META only
    return (
        Counter.of("name", f"{address} {name.casefold()}", FAILURES_OF_NAME_AND_ADDRESS),
        Counter.of("address", address, FAILURES_OF_ADDRESS),
    )


class LoginForm(AdminAuthenticationForm):
    """Django's form of the admin, throttled."""

    def clean(self) -> dict[str, Any]:
        """As Django's; raises `ValidationError` without checking the password after too many failures."""
        assert self.request is not None  # noqa: S101  (the login view passes it)
        of_name, of_address = counters(self.request, str(self.cleaned_data.get("username", "")))
        if of_name.is_full or of_address.is_full:
            logger.warning("A login was refused after too many failed attempts.")
            raise ValidationError(TOO_MANY, code="throttled")
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            of_name.count()
            of_address.count()
            raise
        of_name.reset()
        return cleaned

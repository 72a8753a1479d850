"""django-two-factor-auth: the helpers of its tests, which its source distribution does not contain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.contrib.auth import get_user_model
from django_otp import DEVICE_ID_SESSION_KEY  # type: ignore[import-not-found]
from django_otp.oath import totp  # type: ignore[import-not-found]
from django_otp.util import random_hex  # type: ignore[import-not-found]
from two_factor.plugins.registry import registry  # type: ignore[import-not-found]
from two_factor.utils import default_device  # type: ignore[import-not-found]

__all__ = ["UserMixin", "default_device", "method_registry", "totp_str"]


PASSWORD = "secret"


class UserMixin:
    """Users of a test, by name; the methods take the only one unless they are given one."""

    client: Any

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self._users: dict[str, Any] = {}
        self._passwords: dict[Any, str] = {}

    def create_user(self, username: str = "bouke@example.com", password: str = PASSWORD, **fields: Any) -> Any:
        """A user, whose name is the email address."""
        return self._create("create_user", username, password, fields)

    def create_superuser(self, username: str = "bouke@example.com", password: str = PASSWORD, **fields: Any) -> Any:
        """A superuser, whose name is the email address."""
        return self._create("create_superuser", username, password, fields)

    def login_user(self, user: Any = None) -> None:
        """Log in; verified if the user has a device."""
        user = user or self._only
        assert self.client.login(username=user.get_username(), password=self._passwords[user.pk])
        if (device := default_device(user)) is not None:
            session = self.client.session
            session[DEVICE_ID_SESSION_KEY] = device.persistent_id
            session.save()

    def enable_otp(self, user: Any = None) -> Any:
        """A device of the user."""
        return (user or self._only).totpdevice_set.create(name="default", key=random_hex())

    def _create(self, name: str, username: str, password: str, fields: dict[str, Any]) -> Any:
        make = getattr(get_user_model()._default_manager, name)
        user = make(username=username, email=username, password=password, **fields)
        self._users[username], self._passwords[user.pk] = user, password
        return user

    @property
    def _only(self) -> Any:
        [user] = self._users.values()
        return user


def totp_str(key: bytes) -> str:
    """The token of this time, with zeros in front."""
    return str(totp(key)).zfill(6)


@contextmanager
def method_registry(codes: Sequence[str]) -> Iterator[None]:
    """Only these methods are registered."""
    with mock.patch.object(registry, "_methods", [registry.get_method(code) for code in codes]):
        yield

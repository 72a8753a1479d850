"""django-oauth-toolkit: the models of its tests, which its source distribution does not contain."""

from __future__ import annotations

import uuid

from django.db import models
from oauth2_provider.models import (  # type: ignore[import-not-found]
    AbstractAccessToken,
    AbstractApplication,
    AbstractDeviceGrant,
    AbstractGrant,
    AbstractIDToken,
    AbstractRefreshToken,
)
from oauth2_provider.settings import oauth2_settings  # type: ignore[import-not-found]


def one_to(model: str, name: str) -> models.OneToOneField[object, object]:
    """A link that ends when the other row is deleted."""
    return models.OneToOneField(model, on_delete=models.SET_NULL, blank=True, null=True, related_name=name)


class BaseTestApplication(AbstractApplication):  # type: ignore[misc]
    """An application with schemes of its own."""

    allowed_schemes = models.TextField(blank=True)

    def get_allowed_schemes(self) -> list[str]:
        return self.allowed_schemes.split() if self.allowed_schemes else super().get_allowed_schemes()


class SampleApplication(AbstractApplication):  # type: ignore[misc]
    custom_field = models.CharField(max_length=255)


class SampleAccessToken(AbstractAccessToken):  # type: ignore[misc]
    custom_field = models.CharField(max_length=255)
    source_refresh_token = one_to(oauth2_settings.REFRESH_TOKEN_MODEL, "s_refreshed_access_token")


class SampleRefreshToken(AbstractRefreshToken):  # type: ignore[misc]
    custom_field = models.CharField(max_length=255)
    access_token = one_to(oauth2_settings.ACCESS_TOKEN_MODEL, "s_refresh_token")


class SampleGrant(AbstractGrant):  # type: ignore[misc]
    custom_field = models.CharField(max_length=255)


class SampleDeviceGrant(AbstractDeviceGrant):  # type: ignore[misc]
    """A device of another application."""


class LocalIDToken(AbstractIDToken):  # type: ignore[misc]
    """A token of another application."""


class CustomPkAccessToken(AbstractAccessToken):  # type: ignore[misc]
    """A token whose primary key has another name."""

    id = None
    custom_pk = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    source_refresh_token = one_to(oauth2_settings.REFRESH_TOKEN_MODEL, "custom_pk_refreshed_access_token")


class CustomPkRefreshToken(AbstractRefreshToken):  # type: ignore[misc]
    """A token whose primary key has another name."""

    id = None
    custom_pk = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    access_token = one_to("tests.CustomPkAccessToken", "custom_pk_refresh_token")

"""django-oauth-toolkit: the fixtures of its tests, which its source distribution does not contain."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from jwcrypto import jwk, jwt  # type: ignore[import-not-found]
from oauth2_provider.models import get_application_model, get_id_token_model  # type: ignore[import-not-found]
from oauth2_provider.settings import oauth2_settings as provider_settings  # type: ignore[import-not-found]

from . import presets

SECRET = "1234567890abcdefghijklmnopqrstuvwxyz"
PAST = 61
"""Seconds since a token expired. jwcrypto accepts tokens for 60 s longer."""


class Overridden:
    """The settings of the provider, in which attributes can be set until the test ends."""

    def __init__(self, settings: Any, values: Mapping[str, Any]) -> None:
        super().__setattr__("settings", settings)
        self.update(values)

    def update(self, values: Mapping[str, Any]) -> None:
        """Replace all values, and make the core of the server anew for each request."""
        self.settings.OAUTH2_PROVIDER = values
        provider_settings.reload()
        self.ALWAYS_RELOAD_OAUTHLIB_CORE = True

    def __getattr__(self, name: str) -> Any:
        return getattr(provider_settings, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(provider_settings, name, value)
        provider_settings._cached_attrs.add(name)

    def __delattr__(self, name: str) -> None:
        delattr(provider_settings, name)
        provider_settings._cached_attrs.discard(name)


@pytest.fixture
def oauth2_settings(request: pytest.FixtureRequest, settings: Any) -> Iterator[Overridden]:
    """The settings of the test's marker; an attribute of a test case."""
    marker = request.node.get_closest_marker("oauth2_settings")
    made = Overridden(settings, marker.args[0] if marker else {})
    if request.instance is not None:
        request.instance.oauth2_settings = made
    yield made
    settings.finalize()
    provider_settings.reload()


@pytest.fixture
def rp_settings(oauth2_settings: Overridden) -> Overridden:
    """Logout by the relying party is on."""
    oauth2_settings.update(presets.OIDC_SETTINGS_RP_LOGOUT)
    return oauth2_settings


@pytest.fixture(scope="session")
def session_key() -> Any:
    """The provider's key."""
    return jwk.JWK.from_pem(django_settings.OIDC_RSA_PRIVATE_KEY.encode())


@pytest.fixture
def oidc_key(request: pytest.FixtureRequest, session_key: Any) -> Any:
    """The provider's key; an attribute of a test case."""
    if request.instance is not None:
        request.instance.key = session_key
    return session_key


def made_application(host: str, client_type: str) -> Any:
    """An application that signs with RSA."""
    model = get_application_model()
    return model.objects.create(
        name=host,
        redirect_uris=f"http://{host}",
        post_logout_redirect_uris=f"http://{host}",
        client_type=client_type,
        authorization_grant_type=model.GRANT_AUTHORIZATION_CODE,
        algorithm=model.RS256_ALGORITHM,
        client_secret=SECRET,
    )


@pytest.fixture
def application(db: None) -> Any:
    """A confidential application."""
    return made_application("example.org", get_application_model().CLIENT_CONFIDENTIAL)


@pytest.fixture
def public_application(db: None) -> Any:
    """A public application."""
    return made_application("other.org", get_application_model().CLIENT_PUBLIC)


@pytest.fixture
def hybrid_application(application: Any) -> Any:
    """An application of the hybrid flow."""
    application.authorization_grant_type = application.GRANT_OPENID_HYBRID
    application.client_secret = SECRET
    application.save()
    return application


@pytest.fixture
def cors_application(db: None) -> Any:
    """An application with allowed origins."""
    made = made_application("example.com", get_application_model().CLIENT_CONFIDENTIAL)
    made.allowed_origins = "https://example.com http://example.com"
    made.save()
    return made


@pytest.fixture
def test_user(db: None) -> Any:
    """A user."""
    return get_user_model().objects.create_user("test_user", "test@example.com", "123456")


@pytest.fixture
def other_user(db: None) -> Any:
    """Another user."""
    return get_user_model().objects.create_user("other_user", "other@example.com", "123456")


@pytest.fixture
def logged_in_client(test_user: Any) -> Client:
    """A client of the user's."""
    client = Client()
    client.force_login(test_user)
    return client


def tokens(application: Any, user: Any, client: Client, scope: str, redirect_uri: str, **given: Any) -> SimpleNamespace:
    """The tokens that the flow with a code gives."""
    client.force_login(user)
    common = {"client_id": application.client_id, "scope": scope, "redirect_uri": redirect_uri}
    granted = client.post(
        reverse("oauth2_provider:authorize"), {**common, "state": "state", "response_type": "code", "allow": True}
    )
    assert granted.status_code == 302
    [code] = parse_qs(urlparse(granted["Location"]).query)["code"]
    client.logout()
    found = client.post(
        reverse("oauth2_provider:token"),
        {**common, "grant_type": "authorization_code", "code": code, "client_secret": SECRET},
    )
    assert found.status_code == 200
    names = ("access_token", "id_token")
    return SimpleNamespace(user=user, application=application, **{name: found.json()[name] for name in names}, **given)


@pytest.fixture
def oidc_tokens(oauth2_settings: Overridden, application: Any, test_user: Any, client: Client) -> SimpleNamespace:
    """Tokens of the confidential application."""
    oauth2_settings.update(presets.OIDC_SETTINGS_RW)
    return tokens(application, test_user, client, "openid", "http://example.org", oauth2_settings=oauth2_settings)


@pytest.fixture
def oidc_email_scope_tokens(
    oauth2_settings: Overridden, application: Any, test_user: Any, client: Client
) -> SimpleNamespace:
    """Tokens of the confidential application with the email address."""
    oauth2_settings.update(presets.OIDC_SETTINGS_EMAIL_SCOPE)
    return tokens(application, test_user, client, "openid email", "http://example.org", oauth2_settings=oauth2_settings)


@pytest.fixture
def oidc_non_confidential_tokens(
    oauth2_settings: Overridden, public_application: Any, test_user: Any, client: Client
) -> SimpleNamespace:
    """Tokens of the public application."""
    oauth2_settings.update(presets.OIDC_SETTINGS_EMAIL_SCOPE)
    return tokens(public_application, test_user, client, "openid", "http://other.org", oauth2_settings=oauth2_settings)


def id_token(user: Any, application: Any, key: Any, **claims: Any) -> str:
    """A stored token that has expired."""
    expires, jti = timezone.now() - timedelta(seconds=PAST), uuid.uuid4()
    get_id_token_model().objects.create(user=user, scope="", expires=expires, jti=jti, application=application)
    made = jwt.JWT(
        header={"typ": "JWT", "alg": "RS256", "kid": key.thumbprint()},
        claims={
            "exp": int(expires.timestamp()),
            "jti": str(jti),
            "aud": application.client_id,
            "iss": provider_settings.OIDC_ISS_ENDPOINT,
            **claims,
        },
    )
    made.make_signed_token(key)
    return str(made.serialize())


@pytest.fixture
def expired_id_token(oauth2_settings: Overridden, oidc_key: Any, test_user: Any, application: Any) -> str:
    return id_token(test_user, application, oidc_key)


@pytest.fixture
def id_token_wrong_aud(oauth2_settings: Overridden, oidc_key: Any, test_user: Any, application: Any) -> str:
    return id_token(test_user, application, oidc_key, aud="")


@pytest.fixture
def id_token_wrong_iss(oauth2_settings: Overridden, oidc_key: Any, test_user: Any, application: Any) -> str:
    return id_token(test_user, application, oidc_key, iss="")

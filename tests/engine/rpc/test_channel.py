"""Targets and credentials: the precedence of settings, and errors that name settings but never secrets."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import google.auth
import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.exceptions import ImproperlyConfigured
from google.auth import exceptions as auth_exceptions
from google.auth.credentials import AnonymousCredentials

from memory.backends.firestore.rpc import channel
from memory.testing.emulator import free_port

SECRET = "c2VjcmV0LW5vdC10by1iZS1zZWVu"


@pytest.fixture(scope="session")
def key() -> dict[str, str]:
    """A service account key in Google's format."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": "key-project",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "writer@key-project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }


def target(**options: Any) -> channel.Target:
    return channel.target({"NAME": "(default)", "PROJECT": "", "HOST": "", "OPTIONS": options})


def test_json_is_preferred_to_a_path(key: dict[str, str], tmp_path: Path) -> None:
    """A key given as JSON takes precedence over a file, and its project is used."""
    other = tmp_path / "key.json"
    other.write_text(json.dumps({**key, "project_id": "file-project"}))
    _, project = channel.credentials(target(credentials_json=json.dumps(key), credentials_path=str(other)))
    assert project == "key-project"
    _, project = channel.credentials(target(credentials_path=str(other)))
    assert project == "file-project"


def test_json_may_be_a_mapping(key: dict[str, str]) -> None:
    """A parsed key is equivalent to its text."""
    assert target(credentials_json=key) == target(credentials_json=json.dumps(key, sort_keys=True))


def test_path_is_preferred_to_the_default(key: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key file takes precedence over GOOGLE_APPLICATION_CREDENTIALS, which is used if nothing else is set."""
    for name in ("path", "default"):
        (tmp_path / name).write_text(json.dumps({**key, "project_id": name}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "default"))
    assert channel.credentials(target(credentials_path=str(tmp_path / "path")))[1] == "path"
    assert channel.credentials(target())[1] == "default"


def test_last_come_application_default_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing is set, google-auth's default credentials are used."""
    default = AnonymousCredentials()
    monkeypatch.setattr(google.auth, "default", lambda scopes: (default, "adc-project"))
    assert channel.credentials(target()) == (default, "adc-project")


WRONG = {
    "not json": f"{{{SECRET}",
    "another type": json.dumps({"type": "authorized_user", "refresh_token": SECRET}),
    "not a mapping": json.dumps([SECRET]),
    "incomplete": json.dumps({"type": "service_account", "private_key": SECRET}),
    "bad key": json.dumps(
        {"type": "service_account", "private_key": SECRET, "client_email": SECRET, "token_uri": SECRET}
    ),
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize(
    ("option", "variable"), [("credentials_json", "GCP_SA_KEY_JSON"), ("credentials_path", "GCP_SA_KEY_PATH")]
)
def test_wrong_key_is_an_error_that_names_its_setting_only(
    text: str, option: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unusable key is an error, even if other credentials exist. The error contains the setting but not the key."""
    monkeypatch.setattr(google.auth, "default", lambda scopes: (AnonymousCredentials(), "must-not-be-reached"))
    (tmp_path / "key.json").write_text(text)
    value = text if option == "credentials_json" else str(tmp_path / "key.json")
    with pytest.raises(ImproperlyConfigured, match=variable) as caught:
        channel.credentials(target(**{option: value}))
    assert option in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_unreadable_file_is_named_by_its_setting(tmp_path: Path) -> None:
    """The error for a missing file names the setting."""
    with pytest.raises(ImproperlyConfigured, match=r"GCP_SA_KEY_PATH.*FileNotFoundError"):
        channel.credentials(target(credentials_path=str(tmp_path / "absent.json")))


def test_the_error_without_credentials_lists_all_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to provide credentials is named."""

    def nothing(scopes: object) -> None:
        raise auth_exceptions.DefaultCredentialsError(SECRET)

    monkeypatch.setattr(google.auth, "default", nothing)
    with pytest.raises(ImproperlyConfigured) as caught:
        channel.credentials(target())
    for name in ("credentials_json", "credentials_path", "GOOGLE_APPLICATION_CREDENTIALS", "gcloud auth"):
        assert name in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("content", [None, "", f"{{{SECRET}", json.dumps({"type": "service_account"})])
def test_a_wrong_default_key_is_an_error_that_names_its_variable(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a file that is not a key, or (None) a directory."""
    path = tmp_path / "key.json"
    path.mkdir() if content is None else path.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(ImproperlyConfigured, match="either GOOGLE_APPLICATION_CREDENTIALS names a file") as caught:
        channel.credentials(target())
    assert SECRET not in str(caught.value)


def test_secrets_are_in_no_repr(key: dict[str, str]) -> None:
    """A target can be logged."""
    assert "PRIVATE KEY" not in repr(target(credentials_json=json.dumps(key)))


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1:8080", ""), ("127.0.0.1", "8080"), ("127.0.0.1", 8080)])
def test_host_is_an_emulator(host: str, port: str | int) -> None:
    """The emulator's port is in HOST or in PORT."""
    assert channel.target({"PROJECT": "p", "HOST": host, "PORT": port}).emulator == "127.0.0.1:8080"


def test_emulator_needs_a_project() -> None:
    """Without credentials there is no default project."""
    with pytest.raises(ImproperlyConfigured, match="PROJECT"):
        channel.target({"HOST": "127.0.0.1:8080"})


def test_named_database_and_project_are_in_the_resource_name(key: dict[str, str]) -> None:
    """NAME is the database's id, PROJECT overrides the key's project. Nothing is sent."""
    settings = {"NAME": "other", "PROJECT": "mine", "OPTIONS": {"credentials_json": json.dumps(key)}}
    assert channel.connect(channel.target(settings)).database == "projects/mine/databases/other"
    settings["PROJECT"] = ""
    assert channel.connect(channel.target(settings)).database == "projects/key-project/databases/other"


def test_credentials_without_a_project_need_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a project an error is raised before any call."""
    monkeypatch.setattr(google.auth, "default", lambda scopes: (AnonymousCredentials(), None))
    with pytest.raises(ImproperlyConfigured, match="GCP_PROJECT_ID"):
        channel.connect(channel.Target(project="", database="unnamed"))


def test_a_restarted_server_is_reached_soon() -> None:
    """However long it was down, without a restart of the process and without gRPC's default backoff."""
    port = free_port()
    wire = channel.connect(channel.Target("p", "away", f"127.0.0.1:{port}"))
    request = channel.pb["GetDocumentRequest"](name=f"{wire.documents}/notes/1")

    def outcome() -> grpc.StatusCode:
        with pytest.raises(grpc.RpcError) as caught:
            wire.unary("GetDocument", request, 1)
        return caught.value.code()

    away = time.monotonic() + 6
    while time.monotonic() < away:
        assert outcome() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        time.sleep(0.1)
    server = grpc.server(ThreadPoolExecutor(1))
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    server.start()
    try:
        back = time.monotonic() + 2.5
        while (code := outcome()) is grpc.StatusCode.UNAVAILABLE and time.monotonic() < back:
            time.sleep(0.1)
    finally:
        server.stop(None)
    assert code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("id", ["plain-1_.~", "a b", "é", "100%", "(x)", "a&name=b", "a\u2028", "x/y/z"])
def test_routing_headers_are_quoted(id: str) -> None:
    """The name of the document, percent-encoded as Google's clients send it."""
    seen = []

    class Recording(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> None:
            seen.append(dict(details.invocation_metadata)["x-goog-request-params"])

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Recording()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        wire = channel.connect(channel.Target("p", "(default)", f"127.0.0.1:{port}"))
        name = f"{wire.documents}/notes/{id}"
        with pytest.raises(grpc.RpcError):
            wire.unary("GetDocument", channel.pb["GetDocumentRequest"](name=name), 5)
    finally:
        server.stop(None)
    assert seen == [quote(f"name={name}", safe="/=")]

"""Access tokens: hashed, scoped, expiring, shown once; those of Django REST framework are adopted."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.test import Client
from django.utils import timezone

from memory.access import legacy
from memory.access.models import AccessToken
from memory.models import MemoryItem

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEMS = "/api/memory-items/"
LIST = "/admin/memory_access/accesstoken/"
OPERATIONS = {
    "read": [
        ("get", ITEMS),
        ("get", f"{ITEMS}one/"),
        ("get", f"{ITEMS}search/?q=a"),
        ("post", f"{ITEMS}check-duplicate/"),
        ("post", f"{ITEMS}context/"),
    ],
    "write": [("post", ITEMS), ("post", f"{ITEMS}bulk/"), ("patch", f"{ITEMS}one/"), ("put", f"{ITEMS}one/")],
    "forget": [("delete", f"{ITEMS}one/"), ("delete", "/api/sessions/ada:s/")],
}


def send(client: Client, method: str, path: str, secret: str, keyword: str = "Token", body: str = "{}") -> Any:
    """A request with a token."""
    more = {} if method == "get" else {"data": body, "content_type": "application/json"}
    return getattr(client, method)(path, headers={"Authorization": f"{keyword} {secret}"}, **more)


def command(*arguments: str) -> str:
    """The output of `memory_tokens`."""
    output = StringIO()
    call_command("memory_tokens", *arguments, stdout=output, stderr=StringIO())
    return output.getvalue().strip()


def test_only_the_hash_is_stored(make_user: Callable[..., Any]) -> None:
    """No column of the row has the secret, nor more than its first characters."""
    token, secret = AccessToken.objects.issue(make_user())
    stored = str(AccessToken.objects.filter(pk=token.pk).values().get())
    assert len(secret) > 40
    assert secret not in stored
    assert secret[8:] not in stored


@pytest.mark.parametrize("keyword", ["Token", "Bearer", "bearer"])
def test_both_spellings_of_the_header(client: Client, make_user: Callable[..., Any], keyword: str) -> None:
    """`Token`, as before, and `Bearer`."""
    secret = AccessToken.objects.issue(make_user("ada"))[1]
    assert send(client, "get", ITEMS, secret, keyword).status_code == 200
    assert send(client, "get", ITEMS, secret[:-1], keyword).status_code == 401


@pytest.mark.parametrize("scope", OPERATIONS)
def test_an_operation_needs_its_scope(client: Client, make_user: Callable[..., Any], scope: str) -> None:
    """Without it: 403 and nothing happens; with it the request gets to validation, at least."""
    user = make_user("ada")
    MemoryItem.objects.create(id="one", user_id="ada", item_type="message", session_id="s")
    others = AccessToken.objects.issue(user, [name for name in OPERATIONS if name != scope])[1]
    for method, path in OPERATIONS[scope]:
        refused = send(client, method, path, others)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_scope"), path
    assert MemoryItem.objects.filter(pk="one").exists()
    alone = AccessToken.objects.issue(user, [scope])[1]
    assert {send(client, method, path, alone).status_code for method, path in OPERATIONS[scope]} <= {200, 204, 400, 404}


def test_a_token_for_one_owner(client: Client, make_user: Callable[..., Any]) -> None:
    """An operator's token that is limited to `ada` acts as her, and reaches nobody else's records."""
    operator = make_user("operator", permissions=("act_for_any_user",))
    for owner in ("ada", "bob", "operator"):
        MemoryItem.objects.create(id=f"of-{owner}", user_id=owner, item_type="message")
    secret = AccessToken.objects.issue(operator, owner="ada")[1]
    assert [item["id"] for item in send(client, "get", ITEMS, secret).json()["results"]] == ["of-ada"]
    assert send(client, "get", f"{ITEMS}of-bob/", secret).status_code == 404
    assert send(client, "get", f"{ITEMS}of-operator/", secret).status_code == 404
    assert send(client, "post", ITEMS, secret, body='{"item_type": "m"}').json()["user_id"] == "ada"
    foreign = send(client, "post", ITEMS, secret, body='{"item_type": "m", "user_id": "bob"}')
    assert foreign.json()["error"]["fields"]["user_id"][0]["code"] == "not_yours"


def test_a_limited_token_ends_with_the_permission(client: Client, make_user: Callable[..., Any]) -> None:
    """Nobody gets the records of others by a token of their own."""
    secret = AccessToken.objects.issue(make_user("bob"), owner="ada")[1]
    assert send(client, "get", ITEMS, secret).status_code == 401


def test_an_expired_token_is_refused(client: Client, make_user: Callable[..., Any]) -> None:
    """From its time of expiry on."""
    token, secret = AccessToken.objects.issue(make_user("ada"))
    assert token.expires is not None
    assert timedelta(days=89) < token.expires - timezone.now() < timedelta(days=91)
    AccessToken.objects.update(expires=timezone.now())
    response = send(client, "get", ITEMS, secret)
    assert (response.status_code, "expired" in response.json()["error"]["message"]) == (401, True)


def test_the_last_use_is_noted(
    client: Client, make_user: Callable[..., Any], django_capture_on_commit_callbacks: Any
) -> None:
    """Once in five minutes, not at each request."""
    token, secret = AccessToken.objects.issue(make_user("ada"))
    with django_capture_on_commit_callbacks(execute=True):
        send(client, "get", ITEMS, secret)
    first = AccessToken.objects.get(pk=token.pk).last_used
    assert first is not None
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        send(client, "get", ITEMS, secret)
    assert callbacks == []
    AccessToken.objects.update(last_used=first - timedelta(minutes=6))
    with django_capture_on_commit_callbacks(execute=True):
        send(client, "get", ITEMS, secret)
    assert AccessToken.objects.get(pk=token.pk).last_used > first  # type: ignore[operator]


def form(user: Any, **values: Any) -> dict[str, Any]:
    """The admin's form of a new token."""
    return {
        "user": user.pk,
        "name": "robot",
        "scopes": ["read"],
        "owner": "",
        "expires_0": "",
        "expires_1": "",
        **values,
    }


def test_the_admin_shows_a_new_token_once(client: Client, make_user: Callable[..., Any]) -> None:
    """In the response to the form; neither pages, messages, cookies nor the log have it afterwards."""
    boss = make_user("boss", is_staff=True, is_superuser=True)
    client.force_login(boss)
    answer = client.post(f"{LIST}add/", form(boss))
    (secret,) = re.findall(r'id="secret">(mem_[\w-]+)<', answer.content.decode())
    assert "no-store" in answer["Cache-Control"]
    assert send(Client(), "get", ITEMS, secret).status_code == 200
    token = AccessToken.objects.get()
    assert token.scopes == "read"
    pages = [client.get(path) for path in (LIST, f"{LIST}{token.pk}/change/", f"{LIST}{token.pk}/history/", "/admin/")]
    seen = "".join(page.content.decode() for page in pages) + str(client.cookies)
    seen += str(list(LogEntry.objects.values())) + str(dict(client.session))
    assert [page.status_code for page in pages] == [200] * 4
    assert secret not in seen
    assert secret[8:] not in seen
    assert LogEntry.objects.get().object_repr == "robot"


def test_staff_issue_tokens_for_themselves_only(client: Client, make_user: Callable[..., Any]) -> None:
    """The permission to add tokens gives nobody the rights of another user."""
    clerk, boss = make_user("clerk", is_staff=True), make_user("boss", is_superuser=True)
    found = Permission.objects.filter(content_type__app_label="memory_access", codename="add_accesstoken")
    clerk.user_permissions.set(found)
    client.force_login(clerk)
    assert client.post(f"{LIST}add/", form(boss)).status_code == 200
    assert not AccessToken.objects.exists()
    client.post(f"{LIST}add/", form(clerk))
    assert AccessToken.objects.get().user == clerk


def test_what_a_token_may_do_cannot_be_changed(client: Client, make_user: Callable[..., Any]) -> None:
    """Name and expiry can."""
    boss = make_user("boss", is_staff=True, is_superuser=True)
    token, _ = AccessToken.objects.issue(boss, ["read"], name="old")
    client.force_login(boss)
    changed = form(
        make_user("bob"), scopes=["write"], owner="ada", name="new", expires_0="2030-01-01", expires_1="00:00"
    )
    assert client.post(f"{LIST}{token.pk}/change/", changed).status_code == 302
    token.refresh_from_db()
    assert (token.user, token.scopes, token.owner, token.name) == (boss, "read", "", "new")
    assert token.expires is not None
    assert token.expires.year == 2030


def test_the_command_issues_lists_and_revokes(client: Client, make_user: Callable[..., Any]) -> None:
    """The secret alone is printed; the list does not have it."""
    make_user("ada")
    secret = command("create", "ada", "--name", "robot", "--scope", "read", "--scope", "write", "--days", "0")
    token = AccessToken.objects.get()
    assert (token.scopes, token.expires, token.owner) == ("read write", None, "")
    assert send(client, "get", ITEMS, secret).status_code == 200
    listed = command("list", "ada")
    assert ("robot" in listed, "ada" in listed, secret in listed) == (True, True, False)
    assert command("revoke", token.hint) == "1 revoked"
    assert send(client, "get", ITEMS, secret).status_code == 401
    AccessToken.objects.issue(token.user, expires=timezone.now())
    AccessToken.objects.issue(token.user)
    assert command("revoke", "--expired") == "1 revoked"
    assert command("revoke", "--user", "ada") == "1 revoked"


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "nobody"),
        ("revoke",),
        ("revoke", "mem_none"),
        ("revoke", "--user", "nobody"),
        ("create", "ada", "--owner", ""),
        ("create", "ada", "--days", "-1"),
        ("create", "ada", "--days", "999999999"),
        ("create", "ada", "--days", "999999999999999"),
    ],
)
def test_mistakes_of_the_command(make_user: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    """An error, and no traceback."""
    make_user("ada")
    with pytest.raises(CommandError):
        command(*arguments)


KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def clear_token(make_user: Callable[..., Any]) -> type[models.Model]:
    """A token as `rest_framework.authtoken` stored it, and its entry in the admin's log; the model of its table."""
    user, model = make_user("ada"), legacy.clear_tokens()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE authtoken_token (key varchar(40) PRIMARY KEY, user_id integer NOT NULL)")
    model._base_manager.create(key=KEY, user_id=user.pk)
    kind = ContentType.objects.create(app_label="authtoken", model="tokenproxy")
    LogEntry.objects.create(user=user, content_type=kind, object_id=str(user.pk), object_repr=KEY, action_flag=1)
    found: type[models.Model] = model
    return found


@pytest.mark.parametrize("kept", [False, True])
def test_tokens_of_drf_are_adopted(client: Client, clear_token: Any, kept: bool) -> None:
    """They stay valid, hashed; the clear ones are gone, from the log, too."""
    assert send(client, "get", ITEMS, KEY).status_code == 401
    assert command("adopt", *(["--keep"] if kept else [])) == "1 adopted"
    assert send(client, "get", ITEMS, KEY).status_code == 200
    token = AccessToken.objects.get()
    assert (token.user.username, token.scopes, token.expires) == ("ada", "read write forget", None)
    assert clear_token._base_manager.exists() == kept
    assert LogEntry.objects.get().object_repr == "token"
    assert command("adopt") == "0 adopted"


def test_nothing_to_adopt() -> None:
    """Without the table of `rest_framework.authtoken`."""
    assert command("adopt") == "0 adopted"

"""The cost of requests on Firestore alone: the table of `docs/firestore-only.md`, line by line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone

from memory.access.models import AccessToken
from memory.backends.firestore.creation import flush_emulator
from memory.backends.firestore.rpc import channel

from .conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "firestore-only.md"
LINE = re.compile(r"^\| (?P<name>[^|]+?) \| (?P<calls>\d+) \| (?P<read>\d+) \| (?P<written>\d+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class World:
    """The users: the boss, and a clerk whose browser has a session."""

    client: Client
    boss: User
    clerk: User

    def get(self, path: str) -> None:
        """A page, which must exist."""
        assert self.client.get(path).status_code == 200

    def post(self, path: str, **values: Any) -> None:
        """A form, which must be accepted."""
        assert self.client.post(path, values).status_code in (200, 302)


def stated() -> dict[str, tuple[int, int, int]]:
    """Calls, documents read and documents written, by the name of what costs them."""
    found = LINE.finditer(DOCUMENT.read_text(encoding="utf-8"))
    return {one["name"]: (int(one["calls"]), int(one["read"]), int(one["written"])) for one in found}


def load_user(key: str | None, expected: User) -> None:
    """Like the middleware of sessions and auth for each request."""
    request = HttpRequest()
    request.session = SessionStore(key)
    assert get_user(request) == expected


def has_perm(user: User) -> None:
    """Any permission check; further ones of the same request cost nothing."""
    assert user.has_perm("memory.add_memoryitem")
    assert not user.has_perm("memory.delete_memoryitem")


ADMIN: dict[str, str] = {
    "the admin's index": "/admin/",
    "the list of users": "/admin/auth/user/",
    "the list of users, searched": "/admin/auth/user/?q=cle",
    "a user's form": "/admin/auth/user/{clerk}/change/",
    "a user's history": "/admin/auth/user/{clerk}/history/",
    "the list of memory items": "/admin/memory/memoryitem/",
}


@pytest.mark.parametrize("name", ADMIN)
def test_pages_of_the_admin(name: str, world: World, cost: Callable[[], Any]) -> None:
    """A superuser's request, session and user included."""
    path = ADMIN[name].format(clerk=world.clerk.pk)
    with cost() as spent:
        world.get(path)
    assert spent.summary == stated()[name], spent.calls


@pytest.fixture
def world(boss: User, clerk: User, warm: None) -> World:
    """The boss is logged in; content types are known to the process."""
    client = Client()
    client.force_login(boss)
    return World(client, boss, clerk)


def test_who_someone_is_and_what_they_may(world: World, cost: Callable[[], Any]) -> None:
    """The user of a session; the permissions of one with own permissions and others from two groups."""
    key = world.client.session.session_key
    fresh = User.objects.get(pk=world.clerk.pk)
    boss = User.objects.get(pk=world.boss.pk)
    stations: dict[str, Callable[[], Any]] = {
        "the user of a session": lambda: load_user(key, world.boss),
        "a permission, by own rights and two groups": lambda: has_perm(fresh),
        "a permission of a superuser": lambda: boss.has_perm("memory.add_memoryitem"),
        "the groups of a user": lambda: list(fresh.groups.all()),
    }
    for name, ask in stations.items():
        with cost() as spent:
            ask()
        assert spent.summary == stated()[name], (name, spent.calls)


def test_sessions_and_changes(world: World, cost: Callable[[], Any]) -> None:
    """Log in, change, log out."""
    group = Group.objects.get(name="readers")
    client = World(Client(), world.boss, world.clerk)
    actions: dict[str, Callable[[], None]] = {
        "log in": lambda: client.post("/admin/login/", username="boss", password=PASSWORD, next="/admin/"),
        "add a group": lambda: client.post("/admin/auth/group/add/", name="new"),
        "delete a group with three permissions and one user": lambda: client.post(
            f"/admin/auth/group/{group.pk}/delete/", post="yes"
        ),
        "log out": lambda: client.post("/admin/logout/"),
    }
    for name, act in actions.items():
        with cost() as spent:
            act()
        assert spent.summary == stated()[name], (name, spent.calls)
    assert not Group.objects.filter(pk=group.pk).exists()


def test_the_api_with_a_token(world: World, cost: Callable[[], Any]) -> None:
    """The token, its user and the user's owner id, besides the request's own reads."""
    key = AccessToken.objects.issue(world.boss, last_used=timezone.now())[1]
    with cost() as spent:
        answer = Client().get("/api/memory-items/", headers={"Authorization": f"Token {key}"})
    assert answer.status_code == 200
    assert spent.summary == stated()["the API's list, with a token"], spent.calls


@pytest.mark.parametrize(
    "name", ["migrate, where nothing is to be done: at most", "migrate, on an empty database: at most"]
)
def test_migrate(name: str, transactional_db: None, cost: Callable[[], Any]) -> None:
    """A second `migrate` looks at each app's content types and permissions, and writes nothing."""
    if "empty" in name:
        flush_emulator(channel.target(connection.settings_dict))
        ContentType.objects.clear_cache()
    with cost() as spent:
        call_command("migrate", verbosity=0)
    assert all(is_ <= most for is_, most in zip(spent.summary, stated()[name], strict=True)), spent.summary

"""Django's and DRF's own applications where Firestore is the only database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.contrib.sites.models import Site
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.authtoken.models import Token

from memory.conf import memory_settings
from memory.models import MemoryItem

from .conftest import PASSWORD

pytestmark = pytest.mark.django_db


def test_there_is_one_database() -> None:
    """`DATABASE_URL=firestore:` leaves no other, and the app lives in it."""
    assert list(connections) == ["default"]
    assert connections["default"].vendor == "firestore"
    assert memory_settings.database == "default"
    assert MemoryItem.objects.db == "default"
    assert settings.SESSION_ENGINE == "django.contrib.sessions.backends.db"


def test_sessions_are_stored_expire_and_are_cleared() -> None:
    """Expired sessions are not found, and are then deleted."""
    store = SessionStore()
    store["cart"] = {"tea": 2}
    store.create()
    assert SessionStore(store.session_key)["cart"] == {"tea": 2}
    Session.objects.filter(pk=store.session_key).update(expire_date=timezone.now() - timedelta(seconds=1))
    assert "cart" not in SessionStore(store.session_key)
    fresh = SessionStore()
    fresh.create()
    call_command("clearsessions")
    assert list(Session.objects.values_list("pk", flat=True)) == [fresh.session_key]


def test_users_have_rights_by_themselves_and_by_groups(clerk: User) -> None:
    """Permissions of both kinds, who has one, and rights that are taken away."""
    assert authenticate(username="clerk", password=PASSWORD) == clerk
    assert authenticate(username="clerk", password="wrong") is None
    assert clerk.get_user_permissions() == {"auth.view_user", "auth.view_group"}
    assert len(clerk.get_group_permissions()) == 5
    assert list(User.objects.with_perm("memory.add_memoryitem", include_superusers=False)) == [clerk]
    Group.objects.get(name="writers").delete()
    again = User.objects.get(username="clerk")
    assert not again.has_perm("memory.add_memoryitem")
    assert again.has_perm("memory.view_memoryitem")


def test_names_are_unique(clerk: User) -> None:
    """A second user of a name, and a second token of a user, are refused, together with the block's other writes."""

    def two_users() -> None:
        with transaction.atomic():
            User.objects.create_user("somebody")
            User.objects.create_user("clerk")

    with pytest.raises(IntegrityError):
        two_users()
    assert not User.objects.filter(username="somebody").exists()
    Token.objects.create(user=clerk)
    with pytest.raises(IntegrityError), transaction.atomic():
        Token.objects.create(user=clerk)
    assert Token.objects.select_related("user").get(user__username="clerk").user == clerk


def test_content_types_and_permissions_are_those_of_the_models() -> None:
    """`migrate` made four permissions for each model, found by join and by natural key."""
    kind = ContentType.objects.get_for_model(MemoryItem)
    assert ContentType.objects.get_by_natural_key("memory", "memoryitem") == kind
    codenames = Permission.objects.filter(content_type__app_label="memory", content_type__model="memoryitem")
    assert set(codenames.values_list("codename", flat=True)) >= {f"{verb}_memoryitem" for verb in ("add", "view")}
    assert Permission.objects.get_by_natural_key("view_memoryitem", "memory", "memoryitem").content_type == kind


def test_the_site_is_there() -> None:
    """`django.contrib.sites` creates its example."""
    assert Site.objects.get_current().domain == "example.com"


def test_a_new_password_ends_other_sessions(clerk: User, client: Client) -> None:
    """The session that changed it continues, others are logged out, and the old password is invalid."""
    other = Client()
    for browser in (client, other):
        assert browser.login(username="clerk", password=PASSWORD)
    form: dict[str, Any] = {"old_password": PASSWORD, "new_password1": "new-secret-3", "new_password2": "new-secret-3"}
    assert client.post("/admin/password_change/", form).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert other.get("/admin/").status_code == 302
    assert not other.login(username="clerk", password=PASSWORD)


def test_messages_reach_the_next_page(boss: User, client: Client) -> None:
    """The message of a change in the admin is shown once."""
    client.force_login(boss)
    answer = client.post("/admin/auth/group/add/", {"name": "readers"}, follow=True)
    assert b"was added successfully" in answer.content
    assert b"was added successfully" not in client.get("/admin/auth/group/").content

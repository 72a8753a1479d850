"""The admin of agents' checkpoints."""

from __future__ import annotations

import pytest
from django.test import Client

from memory.models import AgentCheckpoint

from .conftest import Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"])


@pytest.fixture
def checkpoints() -> list[AgentCheckpoint]:
    """Of two users and threads."""
    return [
        AgentCheckpoint.objects.create(
            id=f"{user}{thread}",
            user_id=user,
            thread_id=thread,
            place=user + thread,
            checkpoint_id=thread,
            data=b"\xff",
        )
        for user in ("ada", "bob")
        for thread in ("<b>trip</b>", "dinner")
    ]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 4),
        ({"user_id": "ada"}, 2),
        ({"thread_id": "dinner"}, 2),
        ({"user_id": "bob", "thread_id": "<b>trip</b>"}, 1),
    ],
)
def test_checkpoints_are_listed(
    superuser: Client, url: Url, checkpoints: list[AgentCheckpoint], query: dict[str, str], count: int
) -> None:
    """By user and thread, without their bytes; names are escaped."""
    page = superuser.get(url("agentcheckpoint"), query)
    assert page.status_code == 200
    found = list(page.context["cl"].result_list)
    assert len(found) == count
    assert all("data" in one.get_deferred_fields() for one in found)
    assert "<b>trip" not in page.content.decode()


def test_a_checkpoint_is_shown_and_not_changed(superuser: Client, url: Url, checkpoints: list[AgentCheckpoint]) -> None:
    """It cannot be added, changed or deleted."""
    pk = checkpoints[0].pk
    assert "ada" in superuser.get(url("agentcheckpoint", "change", pk)).content.decode()
    assert superuser.post(url("agentcheckpoint", "change", pk), {"user_id": "eve"}).status_code == 403
    assert superuser.post(url("agentcheckpoint", "delete", pk), {"post": "yes"}).status_code == 403
    assert superuser.get(url("agentcheckpoint", "add")).status_code == 403
    assert AgentCheckpoint.objects.filter(user_id="ada").count() == 2

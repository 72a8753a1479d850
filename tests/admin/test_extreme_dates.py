"""Any date that the API accepts is shown by every page, in any time zone, and no response is stored by others.

Pages are enumerated from the URLconf.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from memory.models import AgentData, MemoryItem
from tests.api.test_tenancy import paths

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

DATES = {"first": datetime(1, 1, 1, tzinfo=UTC), "last": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)}
ZONES = {"first": "America/Los_Angeles", "last": "Pacific/Kiritimati"}
"""Time zones that cannot hold these moments."""
SEARCH = "/admin/memory/memoryitem/search/?user=ada&q=train"


@pytest.fixture
def _records() -> None:
    """Records of the first and the last moment."""
    for name, moment in DATES.items():
        values: dict[str, Any] = {"timestamp": moment, "metadata": {"role": "user"}}
        item: dict[str, Any] = {"user_id": "ada", "session_id": "chat", "item_type": "message", **values}
        item |= {"text_content": f"A {name} train.", "touched": moment}
        MemoryItem.objects.create(id=name, valid_from=DATES["first"], valid_to=DATES["last"], **item)
        ends = {"expiration": DATES["last"], "valid_from": moment, "valid_to": moment}
        MemoryItem.objects.create(id=f"{name}-ended", **item, **ends)
        AgentData.objects.create(id=name, agent_id="ada", data_type="plan", **values)
    MemoryItem.objects.create(id="of-ada", user_id="ada", session_id="chat", item_type="message", text_content="now")


def assert_not_stored(response: Any, path: str) -> None:
    """No browser and no proxy keeps a response that shows records."""
    if response.status_code == 200 and not path.startswith(("/api/docs", "/api/redoc")):
        assert "no-store" in response.get("Cache-Control", ""), path


@pytest.mark.usefixtures("_records")
@pytest.mark.parametrize("name", DATES)
def test_pages_of_the_admin(superuser: Client, name: str, settings: Any) -> None:
    """Lists, records, conversations, people, the dashboard and searches."""
    settings.TIME_ZONE = ZONES[name]
    ours = [path.replace("of-ada", name) for path in paths("admin/memory/")]
    bar = f"/admin/memory/memoryitem/?timestamp__year={DATES[name].year}"
    with timezone.override(ZONES[name]):
        for path in dict.fromkeys((SEARCH, bar, *ours)):
            if "logout" not in path:
                response = superuser.get(path)
                assert response.status_code < 500, path
                assert_not_stored(response, path)


@pytest.mark.usefixtures("_records")
@pytest.mark.parametrize("name", DATES)
def test_responses_of_the_api(make_user: Any, name: str, settings: Any) -> None:
    """Lists, records, histories, searches, contexts and exports."""
    settings.TIME_ZONE = ZONES[name]
    operator = APIClient()
    operator.force_authenticate(make_user("operator", permissions=("act_for_any_user",)))
    for path in dict.fromkeys(path.replace("of-ada", name) for path in paths("api/")):
        for more in ("", "?user_id=ada&q=train"):
            if "schema" not in path:
                response = operator.get(f"{path}{more}")
                assert response.status_code < 500, path
                assert_not_stored(response, path)

"""Requests every page of the app's admin with django-unfold's templates, in a process of its own: `test_unfold.py`.

Prints `{"path": [status, length, style sheets, whether it is unfold's page]}`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

PAGES = (
    "/admin/",
    "/admin/memory/",
    "/admin/memory/memoryitem/",
    "/admin/memory/memoryitem/?_facets=True",
    "/admin/memory/memoryitem/?q=user:ada+trains",
    "/admin/memory/memoryitem/add/",
    "/admin/memory/memoryitem/i0/change/",
    "/admin/memory/memoryitem/i0/history/",
    "/admin/memory/memoryitem/dashboard/",
    "/admin/memory/memoryitem/people/",
    "/admin/memory/memoryitem/people/ada/page/",
    "/admin/memory/memoryitem/people/ada/erase/",
    "/admin/memory/memoryitem/search/?user=ada&q=night+train",
    "/admin/memory/usersession/",
    "/admin/memory/usersession/ada:s/change/",
    "/admin/memory/usersession/ada:s/conversation/",
    "/admin/memory/usersession/ada:s/delete/",
    "/admin/memory/agentdata/",
    "/admin/memory/searchlabel/",
)


def fill() -> None:
    """A few items of one person, one of which was changed in the admin."""
    from django.utils import timezone

    from memory.models import AgentData, MemoryItem

    for number in range(5):
        MemoryItem.objects.create(
            id=f"i{number}",
            user_id="ada",
            session_id="s",
            item_type=["message", "fact"][number % 2],
            text_content=f"The night train number {number} to Vienna.",
            metadata={"role": "user", "thinking": "hm", "tool_calls": [{"name": "find", "args": {"q": number}}]},
            timestamp=timezone.now() - timedelta(hours=number),
        )
    AgentData.objects.create(agent_id="ada", data_type="plan", content={"a": 1})


def main() -> None:
    """On SQLite files in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "APP_ENV": "test",
            "DJANGO_SETTINGS_MODULE": "tests.admin.unfold_settings",
            "ENV_FILE": os.devnull,
            "DATABASE_URL": f"sqlite:///{folder}/default.sqlite3",
            "MEMORY_DATABASE_URL": f"sqlite:///{folder}/memory.sqlite3",
        }
        sys.path.insert(0, str(Path(__file__).parents[2]))
        import django

        django.setup()
        from django.conf import settings
        from django.contrib.auth import get_user_model
        from django.core.management import call_command
        from django.test import Client

        settings.ALLOWED_HOSTS = ["*"]
        for alias in ("default", "memory"):
            call_command("migrate", database=alias, verbosity=0)
        fill()
        client = Client()
        client.force_login(get_user_model().objects.create_superuser("admin"))
        found = {}
        for address in PAGES:
            response = client.get(address)
            page = response.content.decode()
            found[address] = [
                response.status_code,
                len(page),
                re.findall(r"memory/admin\.css", page)[:1],
                "unfold" in page,
            ]
        print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()

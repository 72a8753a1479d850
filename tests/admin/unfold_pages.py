"""Requests every page of the app's admin with django-unfold's templates, in a process of its own: `test_unfold.py`.

Prints `{"path": {"status": ..., "is_styled": ..., "is_unfold": ..., "problems": [...]}}`. The problems are those of a
browser, if there is one: errors of scripts, requests to other hosts, and a page that is wider than the screen. With
`--pictures FOLDER` it also keeps a picture of each page.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

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
    "/admin/memory/agentcheckpoint/",
    "/admin/memory/auditentry/",
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


def requested(client: Any) -> dict[str, dict[str, Any]]:
    """What each page has, by its address."""
    found = {}
    for address in PAGES:
        response = client.get(address)
        page = response.content.decode()
        found[address] = {
            "status": response.status_code,
            "is_styled": "memory/admin.css" in page,
            "is_unfold": "unfold" in page,
            "problems": [],
        }
    return found


@contextmanager
def served() -> Iterator[str]:
    """The address of a server of the pages and their static files."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.servers.basehttp import ThreadedWSGIServer
    from django.core.wsgi import get_wsgi_application
    from django.test.testcases import QuietWSGIRequestHandler

    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietWSGIRequestHandler)
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def browsed(session: str, executable: str, pictures: Path | None) -> Iterator[tuple[str, str]]:
    """Addresses and problems of the pages in a browser at 1,360 and 390 pixels."""
    from playwright.sync_api import sync_playwright

    with served() as host, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for width, scheme in ((1360, "light"), (390, "dark")):
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
            context.add_cookies([{"name": "sessionid", "value": session, "url": host}])
            page = context.new_page()
            problems: list[str] = []
            page.on("pageerror", lambda error, problems=problems: problems.append(f"error: {error}"))
            page.on("request", lambda request, problems=problems: problems.append(f"requests {request.url}"))
            for address in PAGES:
                page.goto(host + address)
                yield from ((address, one) for one in problems if not one.startswith(f"requests {host}"))
                problems.clear()
                if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                    yield address, f"is wider than {width} pixels"
                if pictures:
                    page.screenshot(path=pictures / f"{address.strip('/').replace('/', '-')}-{width}.png")
        browser.close()


def main() -> None:
    """On SQLite files in a temporary folder."""
    pictures = Path(sys.argv[2]) if sys.argv[1:2] == ["--pictures"] else None
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

        from tests import backends

        settings.ALLOWED_HOSTS = ["*"]
        for alias in ("default", "memory"):
            call_command("migrate", database=alias, verbosity=0)
        fill()
        client = Client()
        client.force_login(get_user_model().objects.create_superuser("admin"))
        found = requested(client)
        if executable := backends.chromium():
            for address, problem in browsed(client.cookies["sessionid"].value, executable, pictures):
                found[address]["problems"].append(problem)
        print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()

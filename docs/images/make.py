"""Makes the README's screenshots anew: `.venv/bin/python docs/images/make.py`. Needs chromium and requirements-dev.txt.

It serves the project in this process, on databases in a temporary folder, and leaves nothing behind but the pictures.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from tests.backends import chromium  # noqa: E402

PICTURES = {
    "conversation": "/admin/memory/usersession/ada_3Alisbon/conversation/",
    "changelist": "/admin/memory/memoryitem/",
}
WIDTH, HEIGHT = 1280, 900
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

# (session, minutes since the turn before, role, type, text)
TALK = (
    ("lisbon", 0, "user", "message", "I'd like four days in Lisbon in May, without a car. What should I not miss?"),
    (
        "lisbon",
        1,
        "assistant",
        "message",
        "May is a good month: warm, and the jacarandas are in bloom.\n\n"
        "• Day 1: Alfama on foot, the view from Graça at sunset\n"
        "• Day 2: Belém by tram 15, the monastery before ten\n"
        "• Day 3: Sintra by train, Quinta da Regaleira\n"
        "• Day 4: the tile museum, then whatever you liked best",
    ),
    ("lisbon", 3, "user", "message", "My knees are not what they were. Are there many stairs? And I don't eat fish."),
    (
        "lisbon",
        1,
        "assistant",
        "message",
        "Alfama is steep. Take tram 28 up and walk down; Graça has a lift since 2024. For dinner I'll look for places "
        "that do more than bacalhau: Mouraria has good Goan and Mozambican kitchens.",
    ),
    ("lisbon", 0, "system", "fact", "Ada walks stairs with difficulty. Ada does not eat fish."),
    ("lisbon", 1560, "user", "message", "Booked! 12 to 16 May. What do I pack?"),
    (
        "lisbon",
        1,
        "assistant",
        "message",
        "Layers: 15 °C in the morning, 24 °C after noon, wind at the river. Shoes with a good sole, since the "
        "pavements are polished limestone. And a card for trams and trains, so that you need no cash.",
    ),
    ("tests", 200, "user", "message", "Why does my test pass alone and fail with the others?"),
    (
        "tests",
        1,
        "assistant",
        "message",
        "Something outlives a test: a module's cache, a setting, a row. Run them in random order with a fixed seed, "
        "then halve the list until two are left.",
    ),
    ("tests", 2, "user", "message", "Found it. A fixture had session scope."),
    ("tests", 0, "assistant", "preference", "Ada prefers causes over workarounds."),
)


def seed() -> None:
    """A user's two conversations, and an account to look at them with."""
    from django.contrib.auth import get_user_model

    from memory.models import MemoryItem, UserSession

    time = START
    for session_id, minutes, role, item_type, text in TALK:
        time += timedelta(minutes=minutes, seconds=7)  # no two at one time: their ids are random
        MemoryItem.objects.create(
            user_id="ada",
            session_id=session_id,
            timestamp=time,
            item_type=item_type,
            persona_active="Travel guide" if session_id == "lisbon" and role == "assistant" else None,
            text_content=text,
            metadata={"role": role},
        )
    for session_id, title in (("lisbon", "Four days in Lisbon"), ("tests", "A test that fails in company")):
        UserSession.objects.filter(user_id="ada", session_id=session_id).update(metadata={"title": title})
    get_user_model().objects.create_superuser("admin", password="admin")  # noqa: S106  (a database that is thrown away)


@contextmanager
def service() -> Iterator[str]:
    """The project, migrated and served on a free port; gives its address."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "APP_ENV": "development",
            "DJANGO_SETTINGS_MODULE": "settings",
            "ENV_FILE": os.devnull,
            "DATABASE_URL": f"sqlite:///{folder}/orchestra.sqlite3",
            "MEMORY_DATABASE_URL": f"sqlite:///{folder}/memory.sqlite3",
            "LOG_LEVEL": "ERROR",
        }
        import django

        django.setup()
        from django.contrib.staticfiles.handlers import StaticFilesHandler
        from django.core.management import call_command
        from django.core.servers.basehttp import ThreadedWSGIServer
        from django.core.wsgi import get_wsgi_application
        from django.test.testcases import QuietWSGIRequestHandler

        for alias in ("default", "memory"):
            call_command("migrate", database=alias, verbosity=0)
        server = ThreadedWSGIServer(("127.0.0.1", 0), QuietWSGIRequestHandler)
        server.set_app(StaticFilesHandler(get_wsgi_application()))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


def main() -> None:
    """Serve, fill, log in, and take the pictures."""
    with service() as address:
        seed()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
            page.goto(f"{address}/admin/")
            page.fill("#id_username", "admin")
            page.fill("#id_password", "admin")
            page.click("input[type=submit]")
            for name, path in PICTURES.items():
                page.goto(address + path)
                page.screenshot(path=HERE / f"{name}.png")
            browser.close()


if __name__ == "__main__":
    main()

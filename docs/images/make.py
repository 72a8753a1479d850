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

ITEMS = "/admin/memory/memoryitem/"
PICTURES = {
    "conversation": "/admin/memory/usersession/ada_3Alisbon/conversation/",
    "changelist": f"{ITEMS}?user_id=ada",
    "dashboard": f"{ITEMS}dashboard/",
    "people": f"{ITEMS}people/",
    "person": f"{ITEMS}people/grace/page/",
    "search": f"{ITEMS}search/?user=ada&q=Can+she+climb+stairs%3F",
    "history": f"{ITEMS}edited/history/",
}
# Also in the dark, and as wide as a phone.
ALSO = ("dashboard", "conversation", "search")
SCREENS = {"": ("light", 1360), "-dark": ("dark", 1360), "-phone": ("light", 390), "-phone-dark": ("dark", 390)}
HEIGHT = 900
CROWD = ("bela", "chen", "dmitri", "efua", "farid", "grace", "hanne", "ivo", "jun", "kofi", "lena", "mateo")
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


def seed_crowd() -> None:
    """Other people, whose items are of the last weeks; one item was changed in the admin."""
    from django.contrib.admin.models import CHANGE, LogEntry
    from django.contrib.auth import get_user_model
    from django.utils import timezone

    from memory.models import MemoryItem

    now = timezone.now()
    MemoryItem.objects.bulk_create(
        MemoryItem(
            user_id=name,
            session_id=f"chat-{number // 8}",
            item_type=("message", "message", "message", "fact", "preference")[number % 5],
            text_content=f"Turn {number} of {name}: what was said that day.",
            metadata={"role": ("user", "assistant")[number % 2]},
            timestamp=now - timedelta(days=(number * number * (place + 3)) % 29, minutes=11 * number + place),
            expiration=now + timedelta(days=number) if number < 2 else None,
        )
        for place, name in enumerate(CROWD)
        for number in range(24 + 5 * place)
    )
    item = MemoryItem.objects.create(
        id="edited", user_id="ada", session_id="lisbon", item_type="fact",
        text_content="Ada walks stairs with difficulty. Ada eats no fish.", timestamp=START + timedelta(days=2),
    )  # fmt: skip
    values = {"text_content": ["Ada walks stairs with difficulty. Ada does not eat meat.", item.text_content]}
    change = [{"changed": {"fields": ["Text"], "values": values}}]
    user = get_user_model().objects.get(username="admin")
    LogEntry.objects.log_actions(user.pk, [item], CHANGE, change, single_object=True)
    for question in ("stairs", "trams in Lisbon", "what to pack"):
        MemoryItem.objects.for_user("ada").search(question)


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
        seed_crowd()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            for suffix, (scheme, width) in SCREENS.items():
                page = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)  # type: ignore[arg-type]
                page.goto(f"{address}/admin/")
                page.fill("#id_username", "admin")
                page.fill("#id_password", "admin")
                page.click("input[type=submit]")
                for name in PICTURES if not suffix else ALSO:
                    page.goto(address + PICTURES[name])
                    page.screenshot(path=HERE / f"{name}{suffix}.png")
                page.close()
            browser.close()


if __name__ == "__main__":
    main()

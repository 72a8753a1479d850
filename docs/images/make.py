"""Makes the screenshots anew: `.venv/bin/python docs/images/make.py`. Needs chromium and requirements-dev.txt.

`PICTURES` are those of README and docs. `PAGES` are all pages of the admin: of each a sheet in `pages/` with the four
screens. The project is served in this process, on databases in a temporary folder; only the pictures are left behind.
"""

from __future__ import annotations

import base64
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from tests.backends import chromium  # noqa: E402

MEMORY = "/admin/memory/"
ITEMS = f"{MEMORY}memoryitem/"
PICTURES = {
    "conversation": f"{MEMORY}usersession/ada_3Alisbon/conversation/",
    "changelist": f"{ITEMS}?user_id=ada",
    "dashboard": f"{ITEMS}dashboard/",
    "people": f"{ITEMS}people/",
    "person": f"{ITEMS}people/grace/page/",
    "search": f"{ITEMS}search/?user=ada&q=Can+she+climb+stairs%3F",
    "history": f"{ITEMS}edited/history/",
}
PAGES = {
    "app": MEMORY,
    "dashboard": PICTURES["dashboard"],
    "people": PICTURES["people"],
    "person": PICTURES["person"],
    "erase": f"{ITEMS}people/mateo/erase/",
    "search": PICTURES["search"],
    "items": ITEMS,
    "items-of-a-person": PICTURES["changelist"],
    "items-searched": f"{ITEMS}?q=user:ada+Can+she+climb+stairs%3F",
    "item": f"{ITEMS}edited/change/",
    "history": PICTURES["history"],
    "sessions": f"{MEMORY}usersession/",
    "session": f"{MEMORY}usersession/ada_3Alisbon/change/",
    "conversation": PICTURES["conversation"],
    "conversation-in-pages": f"{MEMORY}usersession/ada_3Along/conversation/?oldest=",
    "agent-data": f"{MEMORY}agentdata/",
    "checkpoints": f"{MEMORY}agentcheckpoint/",
    "feedback": f"{MEMORY}searchlabel/",
    "tokens": "/admin/memory_access/accesstoken/",
    "audit": f"{MEMORY}auditentry/",
}
# Also in the dark, and as wide as a phone.
ALSO = ("dashboard", "conversation", "search")
SCREENS = {"": ("light", 1360), "-dark": ("dark", 1360), "-phone": ("light", 390), "-phone-dark": ("dark", 390)}
# Of a sheet: the screens side by side, smaller.
SHEET = """<body style="margin:0;display:flex;gap:12px;background:#888">{}</body>"""
SHEET_HEIGHT = 560
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


def seed_more() -> None:
    """What is on the pages of agents' data, checkpoints, feedback and tokens; a long conversation; a kept version."""
    from django.contrib.auth import get_user_model

    from memory.access.models import AccessToken
    from memory.models import AgentCheckpoint, AgentData, AuditEntry, MemoryItem, SearchLabel

    MemoryItem.objects.bulk_create(
        MemoryItem(
            user_id="ada", session_id="long", item_type="message", text_content=f"Line {number} of a long talk.",
            metadata={"role": ("user", "assistant")[number % 2]}, timestamp=START + timedelta(minutes=number),
        )
        for number in range(250)
    )  # fmt: skip
    item = MemoryItem.objects.get(pk="edited")
    item.importance = 0.9
    item.save(update_fields=["importance"])
    for number, thread in enumerate(("lisbon", "lisbon", "tests")):
        AgentData.objects.create(
            agent_id="planner", data_type="plan", content={"step": number, "for": thread}, timestamp=START
        )
        AgentCheckpoint.objects.create(
            id=f"point-{number}", user_id="ada", thread_id=thread, place=thread, checkpoint_id=f"1f0-{number}",
            step=number, source="loop", data=b"{}",
        )  # fmt: skip
    for question, answers in (("Can she climb stairs?", True), ("what to pack", True), ("Who painted it?", False)):
        SearchLabel.store("ada", question, "edited", answers=answers, by="admin")
    for channel, action, operation in (("api", "read", "GET memory-items"), ("command", "erase", "memory_erase")):
        AuditEntry.objects.create(channel=channel, action=action, principal="dpo", operation=operation, outcome="done")
    AccessToken.objects.issue(get_user_model().objects.get(username="admin"), name="travel agent")


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
        from django.conf import settings
        from django.contrib.staticfiles.handlers import StaticFilesHandler
        from django.core.management import call_command
        from django.core.servers.basehttp import ThreadedWSGIServer
        from django.core.wsgi import get_wsgi_application
        from django.test.testcases import QuietWSGIRequestHandler

        settings.MEMORY = {**settings.MEMORY, "VERSIONS": 10, "ERASURE_CHECK": None}
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


def log_in(browser: Browser, address: str, scheme: Any, width: int) -> Page:
    """A page of a screen, whose user may see everything."""
    page = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)
    page.goto(f"{address}/admin/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "admin")
    with page.expect_event("load"):
        page.click("input[type=submit]")
    return page


def take_pictures(pages: Mapping[str, Page], address: str) -> None:
    """The pictures of README and docs."""
    for suffix, page in pages.items():
        for name in PICTURES if not suffix else ALSO:
            page.goto(address + PICTURES[name])
            page.screenshot(path=HERE / f"{name}{suffix}.png")


def take_sheets(pages: Mapping[str, Page], address: str, sheet: Page) -> None:
    """A picture of each page on all screens, and of the list of people after an erasure."""
    for name, path in PAGES.items():
        for page in pages.values():
            page.goto(address + path)
        keep_sheet(name, pages, sheet)
    first, *others = pages.values()
    first.goto(address + PAGES["erase"])
    with first.expect_event("load"):
        first.click("#content-main form button[type=submit], #content-main form input[type=submit]")
    for page in others:
        page.goto(address + PICTURES["people"])
    keep_sheet("erased", pages, sheet)


def keep_sheet(name: str, pages: Mapping[str, Page], sheet: Page) -> None:
    """The screens of what the pages show, side by side."""
    screens = [base64.b64encode(page.screenshot()).decode() for page in pages.values()]
    tag = '<img height="{}" alt="" src="data:image/png;base64,{}">'
    sheet.set_content(SHEET.format("".join(tag.format(SHEET_HEIGHT, screen) for screen in screens)))
    sheet.screenshot(path=HERE / "pages" / f"{name}.jpg", type="jpeg", quality=82)


def main() -> None:
    """Serve, fill, log in, and take the pictures."""
    (HERE / "pages").mkdir(exist_ok=True)
    with service() as address:
        seed()
        seed_crowd()
        seed_more()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            pages = {suffix: log_in(browser, address, *screen) for suffix, screen in SCREENS.items()}
            take_pictures(pages, address)
            width = sum(round(width * SHEET_HEIGHT / HEIGHT) + 12 for _, width in SCREENS.values()) - 12
            take_sheets(pages, address, browser.new_page(viewport={"width": width, "height": SHEET_HEIGHT}))
            browser.close()


if __name__ == "__main__":
    main()

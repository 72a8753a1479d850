"""The admin in a browser: layout, contrast, scripts, downloads and accessibility."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.test import Client, override_settings
from playwright.sync_api import Page, Route, sync_playwright

from memory.models import AgentCheckpoint, AuditEntry, MemoryItem, SearchLabel, UserSession
from tests import backends
from tests.browsing import next_page

from .conftest import Url

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.django_db(databases=["default", "memory"], transaction=True),
]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCRIPT = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
TEXTS = (
    "مرحبا، هذا نص طويل باللغة العربية مع كلمة English في الوسط",
    "x" * 800,
    "👩‍👩‍👧‍👦🎉" * 60,
    SCRIPT,
    "line one\n    indented",
)
SCREENS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]
# The text contrast that WCAG 2.2 requires (AA, https://www.w3.org/TR/WCAG22/#contrast-minimum).
MIN_CONTRAST = 4.5
CONTRAST = """
element => {
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = colour => channels(colour).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    let under = element;
    while (under && channels(getComputedStyle(under).backgroundColor)[3] === 0) under = under.parentElement;
    const ground = under ? getComputedStyle(under).backgroundColor : "rgb(255, 255, 255)";
    const [dark, bright] = [getComputedStyle(element).color, ground].map(light).sort((one, other) => one - other);
    return (bright + 0.05) / (dark + 0.05);
}
"""


@pytest.fixture
def records(make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., Any]) -> None:
    """A conversation with texts that could break the layout, and agent data."""
    for number, text in enumerate(TEXTS):
        make_item(
            id=f"i{number}",
            session_id="s",
            item_type=["message", "fact"][number % 2],
            persona_active="Sage",
            text_content=text,
            metadata={"role": ["user", "assistant", "tool"][number % 3], "long": "y" * 300},
            embedding=[0.5] * 2048,
            timestamp=NOON + timedelta(hours=5 * number),
        )
    make_item(user_id="u" * 200, session_id="w" * 200)
    make_agent_data(id="d", content={"text": SCRIPT, "list": ["z" * 300]})


@pytest.fixture
def browse(live_server: Any, superuser: Client) -> Callable[..., Any]:
    """`with browse(width=390) as page`: a browser logged in as a superuser; `page.goto` takes a path.

    Nothing may use the database inside of the block: Playwright keeps an event loop in the thread.
    """
    session = superuser.cookies[settings.SESSION_COOKIE_NAME].value

    @contextmanager
    def start(scheme: Any = "light", width: int = 1280) -> Iterator[Page]:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=backends.chromium(), args=["--no-sandbox"])
            context = browser.new_context(
                base_url=live_server.url, color_scheme=scheme, viewport={"width": width, "height": 900}
            )
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
            try:
                yield context.new_page()
            finally:
                browser.close()

    return start


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_pages_fit_the_screen_and_run_no_markup(
    browse: Callable[..., Any], records: None, url: Url, scheme: str, width: int
) -> None:
    """For all themes and widths: no horizontal scrolling, no executed user content, no script errors."""
    pages = [url(model) for model in ("memoryitem", "agentdata", "usersession")]
    pages += [url(model, "add") for model in ("memoryitem", "agentdata", "usersession")]
    pages += [url("memoryitem", "change", f"i{number}") for number in range(len(TEXTS))]
    pages += [url("agentdata", "change", "d")]
    for session in ("ada:s", UserSession.make_id("u" * 200, "w" * 200)):
        pages += [url("usersession", page, session) for page in ("change", "conversation", "delete")]
    failures: list[str] = []
    with browse(scheme, width) as page:
        page.on("pageerror", lambda error: failures.append(f"{page.url}: {error}"))
        for address in pages:
            assert page.goto(address).ok
            if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                failures.append(f"{address} is wider than the screen")
            if page.title() == "run":
                failures.append(f"{address} ran a user's script")
    assert failures == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_conversation_is_readable(browse: Callable[..., Any], records: None, url: Url, scheme: str) -> None:
    """Sufficient contrast in both themes, turns below each other, links to an item scroll to it."""
    with browse(scheme) as page:
        page.goto(url("usersession", "conversation", "ada:s"))
        for selector in (".memory-text", ".memory-turn-head strong", ".memory-turn-head a", ".memory-persona", "h2"):
            for element in page.query_selector_all(f"#content {selector}"):
                assert element.evaluate(CONTRAST) >= MIN_CONTRAST, selector
        tops = [element.bounding_box()["y"] for element in page.query_selector_all(".memory-turn")]
        assert tops == sorted(tops)
        assert len(tops) == len(TEXTS)
        page.goto(url("memoryitem"))
        with next_page(page):
            page.click(".field-session a[title=s] >> nth=0")
        marked = page.locator("#here")
        assert marked.inner_text().endswith("Metadata")
        assert "line one" in marked.inner_text()
        assert marked.is_visible()
        with next_page(page):
            page.click("#here .memory-turn-head a")
        assert page.url.endswith(url("memoryitem", "change", "i4"))


def test_item_is_edited(browse: Callable[..., Any], records: None, url: Url) -> None:
    """Invalid JSON is reported at its field and can be corrected; saving changes only that field."""
    before = MemoryItem.objects.get(pk="i4")
    with browse() as page:
        page.goto(url("memoryitem", "change", "i4"))
        assert json.loads(page.input_value("#id_metadata")) == before.metadata
        page.fill("#id_metadata", '{"role": "user",\n "mood" "calm"}')
        with next_page(page):
            page.click("text=Save and continue editing")
        assert "line 2, column 9" in page.inner_text(".field-metadata .errorlist")
        assert page.input_value("#id_metadata") == '{"role": "user",\n "mood" "calm"}'
        page.fill("#id_metadata", '{"role": "user",\n "mood": "calm"}')
        with next_page(page):
            page.click("text=Save and continue editing")
        assert "was changed successfully" in page.inner_text(".messagelist")
    after = MemoryItem.objects.get(pk="i4")
    assert after.metadata == {"role": "user", "mood": "calm"}
    unchanged = ("text_content", "timestamp", "embedding", "content_hash", "persona_active", "expiration")
    assert [getattr(after, name) for name in unchanged] == [getattr(before, name) for name in unchanged]


def test_selection_is_downloaded(browse: Callable[..., Any], url: Url, make_item: Any, tmp_path: Path) -> None:
    """Filter by user, select all pages, export: the file has all items."""
    for number in range(60):
        make_item(user_id=["ada", "eve"][number % 6 == 0], session_id="s", text_content=f"text {number}")
    with browse() as page:
        page.goto(url("memoryitem"))
        page.fill("input[name=user_id]", "ada")
        with next_page(page):
            page.press("input[name=user_id]", "Enter")
        assert "50 memory items" in page.inner_text(".paginator")
        page.goto(url("memoryitem"))
        page.check("#action-toggle")
        page.click("text=Select all 60 memory items")
        page.select_option("select[name=action]", "export_jsonl")
        with page.expect_download() as download:
            page.click("button[name=index]")
        download.value.save_as(tmp_path / "items.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert {line["text_content"] for line in lines} == {f"text {number}" for number in range(60)}
    assert UserSession.objects.count() == 2


def test_conversation_is_accessible(browse: Callable[..., Any], records: None, url: Url) -> None:
    """One main heading, headings per day, lists, and labelled navigation and fields."""
    with browse() as page:
        page.goto(url("usersession", "conversation", "ada:s"))
        assert page.locator("h1").count() == 1
        assert page.get_by_role("heading", name="Sunday, 2026-03-01").is_visible()
        assert page.get_by_role("listitem").filter(has_text="line one").count() == 1
        page.goto(url("memoryitem"))
        assert page.get_by_role("combobox", name="Exact user").is_visible()
        assert page.get_by_role("textbox", name="Exact session").is_visible()


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_search_of_one_users_memory(
    browse: Callable[..., Any], records: None, url: Url, make_item: Any, scheme: str, width: int
) -> None:
    """With the user as a prefix or as a filter, results are ordered by score, and scores are shown."""
    make_item(id="train", session_id="s", text_content="I took the night train to Vienna.", timestamp=NOON)
    make_item(id="bobs", user_id="bob", text_content="The night train was full.", timestamp=NOON)

    def first_text(page: Page) -> str:
        return page.inner_text("#result_list tbody tr >> nth=0")

    with browse(scheme, width) as page:
        page.goto(url("memoryitem"))
        page.fill("#searchbar", "user:ada which trains go at night?")
        with next_page(page):
            page.press("#searchbar", "Enter")
        assert "night train to Vienna" in first_text(page)
        assert page.input_value("#searchbar") == "user:ada which trains go at night?"
        scores = [float(text) for text in page.locator("td.field-score").all_inner_texts()]
        assert scores == sorted(scores, reverse=True)
        assert "words" in page.get_attribute("td.field-score span >> nth=0", "title")
        assert page.query_selector("td.field-score span").evaluate(CONTRAST) >= MIN_CONTRAST
        assert page.get_by_text("bob", exact=True).count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        page.goto(url("memoryitem") + "?user_id=bob")
        page.fill("#searchbar", "trains at night")
        with next_page(page):
            page.press("#searchbar", "Enter")
        assert "user_id=bob" in page.url
        assert "The night train was full." in first_text(page)


@pytest.fixture
def whole_memory(records: None, make_item: Callable[..., MemoryItem]) -> None:
    """Also turns with tools, facts, a change in the log, and feedback."""
    make_item(id="fact", session_id="s", item_type="fact", text_content="Ada likes the night train.")
    make_item(
        id="tools",
        session_id="s",
        text_content="Calling.",
        metadata={
            "role": "assistant",
            "branch": True,
            "thinking": "hm",
            "tool_calls": [{"name": "find", "args": {"q": "train"}}],
            "attachments": [{"name": "plan.pdf"}],
        },
    )
    SearchLabel.store("ada", "night train", "fact", answers=True, by="superuser")
    AgentCheckpoint.objects.create(
        id="point", user_id="ada", thread_id="dinner", place="dinner", checkpoint_id="1", data=b"\xff"
    )
    AuditEntry.objects.create(channel="api", action="read", principal="ada", operation="GET memory-items")
    item = MemoryItem.objects.get(pk="fact")
    with override_settings(MEMORY={**settings.MEMORY, "VERSIONS": 5}):
        item.importance = 0.9
        item.save(update_fields=["importance"])
    values = {"text_content": ["Ada likes trains.", item.text_content]}
    change = [{"changed": {"fields": ["Text"], "values": values}}]
    LogEntry.objects.log_actions(User.objects.get(username="superuser").pk, [item], CHANGE, change, single_object=True)


RECORDS = ("memoryitem", "agentdata", "usersession")


def every_page(url: Url) -> list[str]:
    """The addresses of all kinds of pages of the app."""
    own = "/admin/memory/memoryitem/"
    return [
        "/admin/memory/",
        *(url(model) for model in (*RECORDS, "searchlabel", "agentcheckpoint", "auditentry")),
        url("agentcheckpoint", "change", "point"),
        "/admin/memory_access/accesstoken/",
        "/admin/memory_access/accesstoken/add/",
        "/admin/memory_access/owner/",
        f"{own}?_facets=True&user_id=ada",
        f"{own}?q=user:ada+night+train",
        *(url(model, "add") for model in RECORDS),
        url("memoryitem", "change", "fact"),
        url("memoryitem", "history", "fact"),
        url("memoryitem", "delete", "fact"),
        url("usersession", "change", "ada:s"),
        url("usersession", "conversation", "ada:s"),
        url("usersession", "delete", "ada:s"),
        f"{own}dashboard/",
        f"{own}people/",
        f"{own}people/ada/page/",
        f"{own}people/ada/erase/",
        f"{own}search/",
        f"{own}search/?user=ada&q=night+train",
    ]


SERIOUS = {"serious", "critical"}
# Stricter than the project's policy, which allows the style attributes of Django's own widgets.
REPORTED = "default-src 'self'; img-src 'self' data:; style-src-elem 'self'; frame-ancestors 'none'"


def add_report_only(route: Route) -> None:
    """Answer a request for a document with a policy that only reports what it finds, on the console."""
    if route.request.resource_type != "document":
        return route.continue_()
    response = route.fetch()
    return route.fulfill(
        response=response, headers={**response.headers, "content-security-policy-report-only": REPORTED}
    )


@pytest.mark.parametrize(("scheme", "width"), [("light", 1360), ("dark", 390)])
def test_accessibility_and_requests(
    browse: Callable[..., Any], whole_memory: None, url: Url, scheme: str, width: int, live_server: Any
) -> None:
    """No page has a serious fault of accessibility (axe), asks another host, breaks a policy, or is too wide."""
    axe = Axe()
    problems: list[str] = []
    with browse(scheme, width) as page:
        page.route("**/*", add_report_only)
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((live_server.url, "data:")) else problems.append(request.url)
            ),
        )
        for address in every_page(url):
            answer = page.goto(address)
            assert answer.ok, address
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            for found in axe.run(page).response["violations"]:
                if found["impact"] in SERIOUS:
                    problems += [f"{address}: {found['id']}: {node['html'][:150]}" for node in found["nodes"]]
            if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                problems.append(f"{address} is wider than the screen")
    assert problems == []


REACHED = (
    "#content-main :is(a[href], button, input:not([type=hidden]), select, textarea, summary):not([disabled]):visible"
)


def test_keyboard_alone(browse: Callable[..., Any], whole_memory: None, url: Url) -> None:
    """Every link, button, field and fold of the app's own pages is reached by Tab, and a search works by keys."""
    with browse(width=1360) as page:
        for path in (
            *("dashboard/", "people/", "people/ada/page/", "people/ada/erase/", "search/?user=ada&q=night+train"),
            *("?user_id=ada", "fact/change/", "fact/history/", "/admin/memory/usersession/ada:s/conversation/"),
        ):
            page.goto(path if path.startswith("/") else f"/admin/memory/memoryitem/{path}")
            wanted = page.locator(REACHED).evaluate_all("all => all.map((one, number) => one.dataset.reached = number)")
            reached = set()
            for _ in range(len(wanted) + 120):
                page.keyboard.press("Tab")
                number = page.evaluate("document.activeElement.dataset.reached")
                reached.add(None if number is None else int(number))
            assert set(wanted) <= reached, path
        page.goto("/admin/memory/memoryitem/search/")
        page.focus("#memory-user")
        page.keyboard.press("Control+A")
        page.keyboard.type("ada")
        page.keyboard.press("Tab")
        page.keyboard.press("Control+A")
        page.keyboard.type("what does she like")
        with next_page(page):
            page.keyboard.press("Enter")
        assert "q=what" in page.url
        assert page.locator(".memory-results > li").count() > 0


def test_names_are_completed(browse: Callable[..., Any], url: Url, make_item: Any) -> None:
    """While a name is typed, those that begin with it are offered."""
    for name in ("Ada Byron", "Ada Lovelace", "Grace"):
        make_item(user_id=name)
    with browse() as page:
        page.goto("/admin/memory/memoryitem/search/")
        page.fill("#memory-user", "Ada")
        page.locator("#memory-names option").nth(1).wait_for(state="attached")
        offered = page.locator("#memory-names option").evaluate_all("all => all.map(one => one.value)")
        assert offered == ["Ada Byron", "Ada Lovelace"]


BROKEN_WORDS = """
() => [...document.querySelectorAll("#result_list .memory-name, #result_list .memory-id, #result_list .memory-line")]
    .flatMap(cell => [...cell.textContent.matchAll(/\\S+/g)].map(word => [cell.firstChild, word]))
    .filter(([text, word]) => {
        const range = document.createRange();
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1;
    })
    .map(([text, word]) => word[0])
"""


@pytest.mark.parametrize("width", [1360, 1280, 390])
def test_words_are_not_broken(browse: Callable[..., Any], url: Url, make_item: Any, width: int) -> None:
    """Words of up to 16 letters in the columns of a list are on one line."""
    words = ("assistant", "preference", "Reisebegleiterin", "conversationally")
    for word in words:
        make_item(
            user_id=word, session_id=word, item_type=word, persona_active=word, text_content=f"{word} " * 9,
            metadata={"role": word},
        )  # fmt: skip
    with browse(width=width) as page:
        page.goto(url("memoryitem"))
        assert page.locator("#result_list .memory-name").count() >= 3 * len(words)
        assert page.evaluate(BROKEN_WORDS) == []
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


OVERLAPS = """
() => {
    const range = document.createRange();
    // From Django 6.1 on the titles have an element of their own.
    range.selectNodeContents(document.querySelector("#content > h2, #content .titles > h2"));
    const buttons = [...document.querySelectorAll(".object-tools a")].map(button => button.getBoundingClientRect());
    return [...range.getClientRects()].filter(line => buttons.some(button =>
        line.left < button.right && button.left < line.right && line.top < button.bottom && button.top < line.bottom
    )).length;
}
"""


@pytest.mark.parametrize("width", [1280, 800, 390])
def test_a_long_title_leaves_room_for_buttons(browse: Callable[..., Any], records: None, url: Url, width: int) -> None:
    """Above a conversation and the forms of a session and an item, whose names have 200 characters."""
    session = UserSession.make_id("u" * 200, "w" * 200)
    item = MemoryItem.objects.get(user_id="u" * 200)
    pages = [url("usersession", page, session) for page in ("conversation", "change")]
    pages.append(url("memoryitem", "change", item.pk))
    with browse(width=width) as page:
        for path in pages:
            page.goto(path)
            assert page.locator(".object-tools a").count() > 0
            assert page.evaluate(OVERLAPS) == 0, path


def test_errors_of_a_search_are_above_its_fields(browse: Callable[..., Any], superuser: Client) -> None:
    """In a line of their own."""
    with browse() as page:
        page.goto("/admin/memory/memoryitem/search/?q=tea")
        note, form = (page.locator(place).bounding_box() for place in (".memory-ask .errornote", ".memory-ask"))
        assert note["width"] == form["width"]
        heights = {page.locator(f"#memory-{name}").bounding_box()["height"] for name in ("user", "q", "least", "asker")}
        assert len(heights) == 1

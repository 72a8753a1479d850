"""The schema's pages in a browser, under a strict Content-Security-Policy."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Route, sync_playwright

from tests import backends

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(databases=["default", "memory"], transaction=True)]

# Redoc asks its maker's site for a logo, whatever it is told; the page's policy refuses.
REFUSED = "https://cdn.redoc.ly/redoc/logo-mini.svg"


@pytest.mark.parametrize(("page", "shown"), [("docs", ".opblock-summary"), ("redoc", "h2")])
def test_the_page_shows_the_api_and_asks_nobody_else(live_server: Any, page: str, shown: str) -> None:
    """It works under its own policy, no other host is asked, and nothing fails."""
    hosts: set[str] = set()
    troubles: list[str] = []

    def look(route: Route) -> None:
        hosts.add(urlsplit(route.request.url).netloc)
        route.continue_()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=backends.chromium(), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("console", lambda told: troubles.append(told.text) if told.type == "error" else None)
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        tab.route("http*://**", look)
        tab.goto(f"{live_server.url}/api/{page}/")
        tab.locator(shown, has_text="List memory items").first.wait_for(timeout=30_000)
        browser.close()
    assert hosts == {urlsplit(live_server.url).netloc}
    assert [trouble for trouble in troubles if REFUSED not in trouble] == []

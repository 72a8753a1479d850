"""Swagger UI and Redoc in a browser, with the strict Content-Security-Policy."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Route, sync_playwright

from tests import backends

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(databases=["default", "memory"], transaction=True)]

# Redoc requests a logo from its vendor's site, whatever its options; the page's policy blocks it.
BLOCKED = "https://cdn.redoc.ly/redoc/logo-mini.svg"


@pytest.mark.parametrize(("page", "shown"), [("docs", ".opblock-summary"), ("redoc", "h2")])
def test_page_renders_without_other_hosts(live_server: Any, page: str, shown: str) -> None:
    """The page renders under its policy, requests no other host and logs no error."""
    hosts: set[str] = set()
    errors: list[str] = []

    def record(route: Route) -> None:
        hosts.add(urlsplit(route.request.url).netloc)
        route.continue_()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=backends.chromium(), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.route("http*://**", record)
        tab.goto(f"{live_server.url}/api/{page}/")
        tab.locator(shown, has_text="List memory items").first.wait_for(timeout=30_000)
        browser.close()
    assert hosts == {urlsplit(live_server.url).netloc}
    assert [error for error in errors if BLOCKED not in error] == []

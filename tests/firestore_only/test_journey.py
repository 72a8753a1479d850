"""A project on Firestore alone: commands in processes of their own, the admin in a browser."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import requests
from playwright.sync_api import Page, sync_playwright

from memory.testing.emulator import free_port
from tests import backends
from tests.browsing import next_page
from tests.live import ROOT, START_SECONDS, listens, manage
from tests.waiting import wait_until

from .conftest import PASSWORD

pytestmark = pytest.mark.chromium

NEW_PASSWORD = "another-password-for-tests-2"


@dataclass(frozen=True)
class Site:
    """A running service: its address, and the environment of commands for its database."""

    url: str
    variables: dict[str, str]


@pytest.fixture
def site(firestore_emulator: str) -> Iterator[Site]:
    """`migrate`, `createsuperuser` and `runserver` on an empty database."""
    port = free_port()
    variables = {
        "PATH": "/usr/bin:/bin",
        "ENV_FILE": "/dev/null",
        "DJANGO_SETTINGS_MODULE": "settings",
        "APP_ENV": "development",
        "DATABASE_URL": "firestore:",
        "FIRESTORE_EMULATOR_HOST": firestore_emulator,
        "GCP_PROJECT_ID": f"journey-{uuid.uuid4().hex[:8]}",
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    assert "Applying auth.0012" in manage("migrate", **variables)
    assert "No migrations to apply" in manage("migrate", **variables)
    manage("createsuperuser", "--noinput", "--username=boss", "--email=boss@example.org", **variables)
    server = subprocess.Popen(
        [sys.executable, "manage.py", "runserver", "--noreload", str(port)],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: listens(port), "runserver listens", START_SECONDS)
        yield Site(f"http://127.0.0.1:{port}", variables)
    finally:
        server.kill()
        server.wait()


@contextmanager
def browsing(site: Site) -> Iterator[Page]:
    """A browser's page, whose paths are the site's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=backends.chromium(), args=["--no-sandbox"])
        try:
            yield browser.new_context(base_url=site.url).new_page()
        finally:
            browser.close()


def log_in(page: Page, username: str, password: str) -> None:
    """Through the form."""
    page.goto("/admin/")
    page.fill("#id_username", username)
    page.fill("#id_password", password)
    with next_page(page):
        page.click("#content [type=submit]")


def save(page: Page) -> str:
    """Submit a form of the admin; return its message."""
    with next_page(page):
        page.click("[name=_save]")
    return page.inner_text(".messagelist")


def choose(page: Page, field: str, *labels: str) -> None:
    """Moves entries of a many-to-many widget to the chosen side."""
    page.select_option(f"#id_{field}_from", label=list(labels))
    page.click(f"#id_{field}_add, #id_{field}_add_link")


def test_people_work_in_the_admin(site: Site) -> None:
    """Log in; a group, a user with groups and permissions; edit, delete, log; the user's password, token and rights."""
    with browsing(site) as page:
        log_in(page, "boss", PASSWORD)
        assert "Site administration" in page.inner_text("#content h1")

        page.goto("/admin/auth/group/add/")
        page.fill("#id_name", "readers")
        choose(page, "permissions", "Memory | memory item | Can view memory item")
        assert "readers" in save(page)

        page.goto("/admin/auth/user/add/")
        page.fill("#id_username", "clerk")
        page.fill("#id_password1", PASSWORD)
        page.fill("#id_password2", PASSWORD)
        assert "clerk" in save(page)
        page.check("#id_is_staff")
        choose(page, "groups", "readers")
        choose(page, "user_permissions", "Memory | agent data | Can view agent data")
        page.fill("#id_first_name", "Clara")
        assert "changed successfully" in save(page)

        page.goto("/admin/auth/user/?q=CLA")
        assert page.locator("#result_list tbody tr").count() == 1
        with next_page(page):
            page.click("#result_list a >> text=clerk")
        page.wait_for_selector("#id_groups_to option", state="attached")
        assert page.locator("#id_groups_to option").all_inner_texts() == ["readers"]
        with next_page(page):
            page.click("text=History")
        assert page.locator("#change-history tbody tr").count() == 2

        page.goto("/admin/auth/group/add/")
        page.fill("#id_name", "nobody")
        save(page)
        with next_page(page):
            page.click("text=nobody >> nth=0")
        with next_page(page):
            page.click(".deletelink")
        with next_page(page):
            page.click("#content [type=submit]")
        assert "deleted successfully" in page.inner_text(".messagelist")
        assert page.locator("#result_list tbody tr").all_inner_texts() == ["\treaders"]
        page.goto("/admin/")
        assert page.locator(".actionlist li").count() == 5

        with next_page(page):
            page.click("#logout-form button")
        assert page.get_by_text("logged out").first.is_visible()
        page.goto("/admin/auth/group/")
        assert "/admin/login/" in page.url

        log_in(page, "clerk", PASSWORD)
        assert page.locator(".model-memoryitem").count() == 1
        assert page.locator(".model-user").count() == 0
        page.goto("/admin/password_change/")
        page.fill("#id_old_password", PASSWORD)
        page.fill("#id_new_password1", NEW_PASSWORD)
        page.fill("#id_new_password2", NEW_PASSWORD)
        with next_page(page):
            page.click("#content [type=submit]")
        assert page.url.endswith("/done/")
        page.goto("/admin/")
        assert "Site administration" in page.inner_text("#content h1")
    the_api_knows_tokens(site)


def the_api_knows_tokens(site: Site) -> None:
    """A token made by the command, and the API's responses to it and to a wrong one."""
    token = manage("memory_tokens", "create", "clerk", **site.variables).strip()
    address = f"{site.url}/api/memory-items/"
    item = {"user_id": "clerk", "session_id": "s", "item_type": "message", "text_content": "I like green tea."}
    headers = {"Authorization": f"Token {token}"}
    assert requests.post(address, json=item, headers=headers, timeout=20).status_code == 201
    found = requests.get(address, headers=headers, timeout=20).json()["results"]
    assert [one["text_content"] for one in found] == ["I like green tea."]
    assert requests.get(address, headers={"Authorization": "Token wrong"}, timeout=20).status_code == 401

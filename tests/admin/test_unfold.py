"""The app's pages with django-unfold, whose templates replace the admin's."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.docs.snippets import ROOT

from .unfold_pages import PAGES


def test_every_page_works_with_unfold() -> None:
    """Each is rendered in unfold's frame, with the app's styles, and a browser finds nothing wrong with it."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.admin.unfold_pages"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == set(PAGES)
    assert {address: page["status"] for address, page in found.items() if page["status"] != 200} == {}
    assert [address for address, page in found.items() if not page["is_unfold"]] == []
    without_styles = {address for address, page in found.items() if not page["is_styled"]}
    assert without_styles <= {"/admin/", "/admin/memory/", "/admin/memory/usersession/ada:s/delete/"}
    assert {address: page["problems"] for address, page in found.items() if page["problems"]} == {}

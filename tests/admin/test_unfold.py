"""The app's pages with django-unfold, whose templates replace the admin's."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.docs.snippets import ROOT

from .unfold_pages import PAGES


def test_every_page_works_with_unfold() -> None:
    """Each is rendered in unfold's frame; the app's own pages have their style sheet."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.admin.unfold_pages"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == set(PAGES)
    assert {address: status for address, (status, *_) in found.items() if status != 200} == {}
    assert [address for address, (_, _, _, is_unfold) in found.items() if not is_unfold] == []
    styled = [address for address, (_, _, styles, _) in found.items() if styles]
    assert set(PAGES) - set(styled) <= {"/admin/", "/admin/memory/", "/admin/memory/usersession/ada:s/delete/"}

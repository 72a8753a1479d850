"""The commands of pages about management commands, run in the order of the page."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from memory.lifecycle import erasure, receipts
from memory.models import MemoryItem, SearchLabel
from memory.tombstones import tombstones

from .snippets import ROOT, below, snippets

pytestmark = [
    pytest.mark.django_db(databases=["default", "memory"], transaction=True),
    pytest.mark.usefixtures("emptied"),
]

PAGES = ("admin", "lifecycle", "search", "security", "uniqueness", "upgrading", "redis")
# Commands that are run elsewhere, or need what a test has not.
ELSEWHERE = {
    "createsuperuser": "tests/docs/test_readme.py",
    "runserver": "tests/deploy/test_tutorial.py",
    "check": "tests/settings",
    "memory_evaluate": "tests/search/test_labelled.py",
    "memory_cache": "tests/cache/test_command.py",
    "memory_reembed": "tests/search/test_embedding.py",
    "firestore_constraints": "tests/engine",
    "firestore_indexes": "tests/engine",
}


def commands(page: str) -> list[list[str]]:
    """The arguments of a page's lines with `manage.py`."""
    text = "\n".join(one.text for one in snippets(ROOT / "docs" / f"{page}.md") if one.language == "bash")
    return [shlex.split(line, comments=True) for line in re.findall(r"python manage\.py (.*)", text)]


KEYS = receipts.new_key()
"""A private and a public key."""


@pytest.fixture
def emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, make_item: Callable[..., MemoryItem]
) -> Iterator[None]:
    """A person's memory, in an empty folder, where questions are answered with yes and erasures wait for nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda prompt="": "yes")
    monkeypatch.setattr(erasure, "settle_seconds", lambda using: 0.0)
    for alias in connections.databases.keys() - {"default", "memory"}:  # those of other tests
        monkeypatch.delitem(connections.databases, alias)
    settings.MEMORY = {**settings.MEMORY, "ERASURE_CHECK": 0.0, "RECEIPT_KEY": KEYS[0]}
    Path("public.pem").write_text(KEYS[1])
    make_item(id="tea", user_id="ada", session_id="s", text_content="Ada likes green tea.")
    SearchLabel.store("ada", "green tea", "tea", answers=True, by="staff")
    tombstones.clear()
    yield
    tombstones.clear()


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page(page: str) -> None:
    """None fails."""
    wanted = commands(page)
    assert wanted
    for name, *arguments in wanted:
        if name not in ELSEWHERE:
            call_command(name, *arguments, **({"verbosity": 0} if name == "migrate" else {}))


def test_a_receipt_is_checked_without_django() -> None:
    """By the module alone, and by OpenSSL, as the page says; another key is refused."""
    call_command("memory_erase", "ada", "--receipt", "receipt.json")
    shutil.copy(ROOT / "memory" / "lifecycle" / "receipts.py", ".")
    alone, with_openssl = below(ROOT / "docs" / "lifecycle.md", "The receipt", "bash")
    can_run_openssl = shutil.which("jq") and shutil.which("openssl")
    for script in (alone, with_openssl) if can_run_openssl else (alone,):
        for key, is_valid in ((KEYS[1], True), (receipts.new_key()[1], False)):
            Path("public.pem").write_text(key)
            text = script.replace("python ", f"{sys.executable} ")
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, check=False)
            assert (done.returncode == 0) == is_valid, done.stdout + done.stderr


def test_commands_that_are_run_elsewhere_are_tested_there() -> None:
    """Each path of the table exists, and one of its files names the command."""
    for name, place in ELSEWHERE.items():
        path = ROOT / place
        files = [path] if path.is_file() else list(path.rglob("*.py"))
        assert any(name in file.read_text() for file in files), name

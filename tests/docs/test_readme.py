"""The README's examples, run as they are written, against the running service."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import live

from .snippets import ROOT, below

README = ROOT / "README.md"


@pytest.fixture
def development(tmp_path: Path) -> dict[str, str]:
    """The variables of `make run`, but for databases of the test's own, with the user `admin`."""
    variables = {
        **live.deployed(tmp_path),
        "APP_ENV": "development",
        "DJANGO_SUPERUSER_PASSWORD": "a-password-for-tests",
    }
    live.make_databases(tmp_path)
    live.manage("createsuperuser", "--noinput", "--username=admin", "--email=admin@example.org", **variables)
    return variables


@pytest.fixture
def service(tmp_path: Path, development: dict[str, str]) -> Iterator[live.Service]:
    with live.service(tmp_path, APP_ENV=development["APP_ENV"]) as running:
        yield running


def test_the_python_example(development: dict[str, str]) -> None:
    """It stores an item, finds it, and prints its time and text; it has five lines, but for the blank one."""
    (code,) = below(README, "Use it from Python", "python")
    assert len([line for line in code.splitlines() if line]) <= 5
    printed = live.manage("shell", "--verbosity=0", "--command", code, **development)
    (line,) = printed.splitlines()
    assert line.endswith("+00:00 I like green tea.")


def test_the_curl_example(development: dict[str, str], service: live.Service) -> None:
    """It makes a token, stores an item over the API and prints it."""
    (code,) = below(README, "Use it over HTTP", "bash")
    assert "http://localhost:8000/" in code
    code = code.replace("http://localhost:8000", service.url).replace(".venv/bin/python", "python")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=ROOT,
        env=development,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    item = json.loads(done.stdout)
    assert item["text_content"] == "I like green tea."
    assert item["user_id"] == "ada"
    found = live.manage(
        "shell",
        "--verbosity=0",
        "--command",
        "from memory.models import *; print(*MemoryItem.objects.for_user('ada').values_list('pk', flat=True))",
        **development,
    )
    assert found.strip() == item["id"]


def test_the_readmes_commands_are_the_two_that_the_project_promises() -> None:
    """`make run` and `make test`, each a line of its own."""
    assert below(README, "Two commands", "bash") == ["make run\n", "make test\n"]

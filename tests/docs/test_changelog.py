"""Changelog fragments build into a section, and each is one line."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from memory.version import __version__
from tests import live

from .snippets import ROOT, anchors

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FRAGMENTS = sorted(file for file in (ROOT / "changelog.d").glob("*.md") if file.name != "README.md")


def test_the_next_section_builds(tmp_path: Path) -> None:
    """towncrier accepts every file name, and each fragment is a line of the section under its heading."""
    done = subprocess.run(
        ["towncrier", "build", "--draft", f"--version={__version__}", "--date=2026-01-01"],
        cwd=ROOT,
        env=live.deployed(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"## {__version__} (2026-01-01)")
    sections = dict(part.split("\n", 1) for part in done.stdout.split("\n### ")[1:])
    for file in FRAGMENTS:
        type_ = file.name.split(".")[-2].capitalize()
        assert f"- {file.read_text().strip()}\n" in sections[type_] + "\n", file.name


@pytest.mark.parametrize("file", FRAGMENTS, ids=lambda file: file.name)
def test_a_fragment_is_one_line_with_links_from_the_root(file: Path) -> None:
    """It has no dash of its own, and its links lead to files and headings."""
    (line,) = file.read_text().splitlines()
    assert not line.startswith(("-", "*"))
    for link in LINK.findall(line):
        path, _, anchor = link.partition("#")
        assert link.startswith("https://") or (ROOT / path).is_file(), link
        assert not anchor or anchor in anchors(ROOT / path), link


def test_the_version_is_set_in_one_place() -> None:
    """The distribution takes it from `memory/version.py`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "memory.version.__version__"}

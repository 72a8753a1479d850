"""docs/production.md and docs/cloud-run.md: gcloud knows their commands; the costs are counts times prices."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from .snippets import ROOT, snippets

PRODUCTION = ROOT / "docs/production.md"
FILES = (PRODUCTION, ROOT / "docs/cloud-run.md")
# Options of every command.
GLOBAL = {"--format", "--filter", "--project"}


def gcloud_commands() -> set[tuple[str, frozenset[str]]]:
    """The commands in the snippets, each with its options."""
    found = set()
    for file in FILES:
        for snippet in snippets(file):
            for line in re.sub(r"\\\n\s*", " ", snippet.text).splitlines():
                for call in re.findall(r"gcloud ([^|]*)", line):
                    (names,) = re.findall(r"^(?:[a-z-]+(?:\s+|$))+", call)
                    found.add((names.strip(), frozenset(re.findall(r"(?<= )--[a-z][a-z-]*", call))))
    return found


@cache
def help_of(names: str) -> tuple[str, str]:
    """The longest beginning of the words that is a command, and its help."""
    words = names.split()
    while words:
        done = subprocess.run(
            ["gcloud", *words, "--help"], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
        )
        if done.returncode == 0:
            return " ".join(words), re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
        words.pop()
    raise AssertionError(names)


@pytest.mark.skipif(shutil.which("gcloud", path="/usr/bin:/bin") is None, reason="gcloud is missing on this machine")
@pytest.mark.parametrize(("names", "options"), sorted((n, tuple(sorted(o))) for n, o in gcloud_commands()))
def test_gcloud_knows_the_command_and_its_options(names: str, options: tuple[str, ...]) -> None:
    """By its own help, which needs no network. At most one word that is not part of the command is its argument."""
    command, text = help_of(names)
    assert len(command.split()) >= min(2, len(names.split()))
    assert len(names.split()) - len(command.split()) <= 1, (command, names)
    assert "COMMAND is one of the following" not in text, command
    for option in set(options) - GLOBAL:
        bare = option.removeprefix("--no-").removeprefix("--")
        assert re.search(rf"--(?:\[no-\])?(?:no-)?{re.escape(bare)}\b", text), (command, option)


def tables() -> list[list[list[str]]]:
    """The tables of the section on costs, without their headings."""
    section = PRODUCTION.read_text().split("## The cost of a chat turn\n", 1)[1]
    found = re.findall(r"(?:^\|.*\n)+", section, flags=re.MULTILINE)
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in one.splitlines()[2:]] for one in found]


def test_the_costs_are_the_counts_times_the_prices() -> None:
    """A million of each turn, in dollars and cents."""
    counts, prices, costs = tables()
    price = {row[0]: float(row[1].split()[0]) for row in prices}
    for (_, *count), (_, *cost) in zip(counts, costs, strict=True):
        expected = [int(number) * 1_000_000 / 100_000 * price[name] for number, name in zip(count, price, strict=False)]
        assert [float(value) for value in cost] == pytest.approx([*expected, sum(expected)])
    assert int(counts[0][2]) * 10_000 == 20_000, "the free quota of writes"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_facts_have_an_official_source(file: Path) -> None:
    """Every link to another site is one of Google's."""
    hosts = set(re.findall(r"\]\(https://([^/)]+)", file.read_text()))
    assert hosts
    assert hosts <= {"cloud.google.com", "firebase.google.com", "docs.cloud.google.com"}


def test_the_shell_and_the_service_have_one_secret_key() -> None:
    """One command makes it, on the first page; the second page stores what the shell has."""
    production, cloud_run = (file.read_text() for file in FILES)
    assert production.count("export SECRET_KEY=$(.venv/bin/python -c") == 1
    assert 'printf %s "$SECRET_KEY" | gcloud secrets create memory-secret-key' in cloud_run
    assert "token_urlsafe" not in cloud_run

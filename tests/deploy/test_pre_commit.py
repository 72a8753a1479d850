"""The hooks before a commit are the checks of `make check`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from tests import live

ROOT = Path(__file__).resolve().parents[2]


def test_the_hooks_are_valid(tmp_path: Path) -> None:
    """By pre-commit itself."""
    command = ["pre-commit", "validate-config", ".pre-commit-config.yaml"]
    done = subprocess.run(command, cwd=ROOT, env=live.deployed(tmp_path), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_check_of_make_is_a_hook() -> None:
    """All that `make check` refuses is refused before the commit."""
    (rules,) = re.findall(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    tools = {Path(line.split()[0]).name for line in rules.splitlines()}
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    entries = {Path(hook["entry"].split()[0]).name for hook in hooks}
    assert tools <= entries
    assert all((live.executables() / entry).exists() for entry in entries)

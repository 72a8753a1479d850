"""The wheel of this checkout, and commands as its users type them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

from tests.docs.snippets import ROOT

SECONDS = 600  # for pip, on a slow line


def run(command: str, cwd: Path, **variables: str) -> str:
    """Run a command of a shell; its output. Only the path and pip's own configuration are this process'."""
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PIP_")}
    home = {"HOME": os.environ.get("HOME", str(cwd))}  # pip's cache
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=cwd,
        env={**kept, **home, **variables},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(folder: Path) -> None:
    """Copy the wheel's sources and build it in `dist/`, by the command of `make wheel`."""
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        copy(ROOT / name, folder / name)
    copytree(ROOT / "memory", folder / "memory", ignore=ignore_patterns("__pycache__"))
    (rule,) = re.findall(r"^wheel:.*\n\t\$\(BIN\)/python (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    run(f"{sys.executable} {rule}", folder)

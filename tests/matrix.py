"""Run a target of the Makefile on each version of Django, in an environment of its own.

    python -m tests.matrix TARGET [--all] [VERSION ...]

VERSION defaults to the versions that the app supports, without the one that is installed here unless `--all` is given.
The environments are `.venv-dj52`, `.venv-dj60` and so on: the pinned requirements with another Django. The interpreters
are those that `PYTHONS` names, by default those on PATH and pyenv's. A version without an interpreter is skipped; the
last lines name the outcome of each version.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import django

ROOT: Final = Path(__file__).resolve().parents[1]
REQUIREMENTS: Final = ("requirements.txt", "requirements-dev.txt")
NAMES: Final = ("python3.11", "python3.12", "python3.13", "python3.14", "python3")
ABILITIES: Final = "import sys, venv, ensurepip, sqlite3; print(*sys.version_info[:2])"

Python = tuple[int, int]


@dataclass(frozen=True)
class Version:
    """A version of Django, and the versions of Python that it supports: the first and the last."""

    name: str
    first: Python
    last: Python
    newest: bool = False
    """Whether to choose the newest interpreter instead of the oldest, so that both ends are tested."""

    @property
    def environment(self) -> str:
        """The directory of its environment."""
        return f".venv-dj{self.name.replace('.', '')}"

    def choose(self, found: dict[Python, str]) -> str | None:
        """The interpreter for this version; None if there is none."""
        supported = sorted(one for one in found if self.first <= one <= self.last)
        return found[supported[-1 if self.newest else 0]] if supported else None


# https://docs.djangoproject.com/en/stable/faq/install/#what-python-version-can-i-use-with-django
VERSIONS: Final = (
    Version("5.2", (3, 11), (3, 14)),
    Version("6.0", (3, 12), (3, 14)),
    Version("6.1", (3, 12), (3, 14), newest=True),
)


def interpreters(candidates: Iterable[str]) -> dict[Python, str]:
    """Those that can make an environment, the first of each version."""
    found: dict[Python, str] = {}
    for command in candidates:
        path = shutil.which(command)
        if path is None:
            continue
        done = subprocess.run([path, "-c", ABILITIES], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            major, minor = map(int, done.stdout.split())
            found.setdefault((major, minor), path)
    return found


def candidates() -> list[str]:
    """Interpreters that `PYTHONS` names, or those on PATH and pyenv's."""
    if given := os.environ.get("PYTHONS"):
        return given.split()
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [*NAMES, *map(str, pyenv.glob("3.*/bin/python3"))]


def requirements(version: Version) -> str:
    """The pinned requirements, with this version of Django instead of the pinned one."""
    pinned = "".join((ROOT / name).read_text(encoding="utf-8") for name in REQUIREMENTS)
    others = sorted(set(re.sub(r"(?im)^django==.*\n", "", pinned).splitlines()))
    return "\n".join([f"Django~={version.name}.0", *others, ""])


def prepare(version: Version, python: str) -> None:
    """Make the environment, unless it is there with these requirements."""
    directory = ROOT / version.environment
    wanted = requirements(version)
    digest, stamp = sha256(f"{python}\n{wanted}".encode()).hexdigest(), directory / "requirements.sha256"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return
    subprocess.run([python, "-m", "venv", "--clear", str(directory)], check=True)
    (directory / "requirements.txt").write_text(wanted, encoding="utf-8")
    pip = [str(directory / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    subprocess.run([*pip, "-r", str(directory / "requirements.txt")], check=True)
    stamp.write_text(digest, encoding="utf-8")


def run(version: Version, target: str, python: str) -> bool:
    """Whether the target succeeds on a version."""
    prepare(version, python)
    command = ["make", "--no-print-directory", target, f"VENV={version.environment}"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if the target succeeds on every version that can be run here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("versions", nargs="*", metavar="VERSION")
    parser.add_argument("--all", action="store_true", help="the installed version, too")
    options = parser.parse_args(arguments)
    installed = ".".join(map(str, django.VERSION[:2]))
    wanted = options.versions or [one.name for one in VERSIONS if options.all or one.name != installed]
    if unknown := set(wanted).difference(one.name for one in VERSIONS):
        parser.error(f"unknown versions: {', '.join(sorted(unknown))}")
    found = interpreters(candidates())
    outcomes: dict[str, str] = {}
    for version in (one for one in VERSIONS if one.name in wanted):
        python = version.choose(found)
        if python is None:
            outcomes[version.name] = "skipped: no interpreter for it"
            continue
        sys.stdout.write(f"--- Django {version.name}, {python}\n")
        sys.stdout.flush()
        outcomes[version.name] = "passed" if run(version, options.target, python) else "FAILED"
    for name, outcome in outcomes.items():
        sys.stdout.write(f"make {options.target} on Django {name}: {outcome}\n")
    return int("FAILED" in outcomes.values())


if __name__ == "__main__":
    sys.exit(main())

"""Known vulnerabilities of the pinned packages, by pip-audit, and weaknesses of the workflows, by zizmor.

    python -m tests.audit

The exit code is 1 for a known vulnerability or a weakness. A service of advisories that does not respond, or does not
know the packages, is reported and fails nothing: a build must not depend on it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILES = ("requirements.txt", "requirements-dev.txt")
WORKFLOWS = ROOT / ".github" / "workflows"
SECONDS = 300
AUDIT = ("-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off", "--timeout", "15")


def audited(file: str) -> list[dict[str, Any]] | None:
    """What pip-audit found for each package; None if it could not ask."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "audit.json"
        command = [sys.executable, *AUDIT, "-r", file, "--format", "json", "-o", str(output)]
        try:
            subprocess.run(command, cwd=ROOT, capture_output=True, timeout=SECONDS, check=False)
            found: list[dict[str, Any]] = json.loads(output.read_text())["dependencies"]
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
            return None
    return found


def problems(packages: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each known vulnerability."""
    return [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or '-'}"
        for package in packages
        for found in package.get("vulns", ())
    ]


def report(file: str, packages: list[dict[str, Any]] | None) -> tuple[list[str], bool]:
    """The lines to print, and whether the file is free of known vulnerabilities."""
    if packages is None:
        return [f"{file}: not audited, since the service of advisories did not respond"], True
    skipped = sum("skip_reason" in package for package in packages)
    lines = problems(packages)
    return [f"{file}: {len(packages) - skipped} packages audited, {skipped} unknown to the service", *lines], not lines


def checked_workflows(folder: Path = WORKFLOWS, zizmor: str | None = None) -> tuple[list[str], bool]:
    """The lines to print, and whether zizmor found no weakness. Asks no service."""
    executable = zizmor or str(Path(sys.executable).with_name("zizmor"))
    command = [executable, "--offline", "--no-progress", "--persona=pedantic", "--format=plain", str(folder)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"{folder.name}: not checked by zizmor: {error}"], False
    return [f"{folder.name}: {done.stdout.strip() or done.stderr.strip()}"], done.returncode == 0


def main() -> int:
    """Audit all files; 1 for a known vulnerability or a weakness."""
    reports = [*(report(file, audited(file)) for file in FILES), checked_workflows()]
    sys.stdout.writelines(f"{line}\n" for lines, _ in reports for line in lines)
    return int(not all(is_clean for _, is_clean in reports))


if __name__ == "__main__":
    sys.exit(main())

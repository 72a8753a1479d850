"""The audit of pinned packages fails on a known vulnerability, and on nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests import audit

CLEAN = {"name": "django", "version": "5.2.19", "vulns": []}
UNKNOWN = {"name": "mine", "skip_reason": "Dependency not found"}
WRONG = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": []}]}


@pytest.mark.parametrize(
    ("packages", "is_clean", "said"),
    [
        (None, True, "not audited"),
        ([CLEAN, UNKNOWN], True, "1 packages audited, 1 unknown"),
        ([CLEAN, WRONG], False, "old 1.0: PYSEC-1, fixed in 1.1"),
    ],
    ids=["no answer", "clean", "vulnerable"],
)
def test_report(packages: list[dict[str, Any]] | None, is_clean: bool, said: str) -> None:
    """Packages that the service does not know are counted."""
    lines, found = audit.report("requirements.txt", packages)
    assert found == is_clean
    assert said in "\n".join(lines)


def test_an_audit_that_cannot_run_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here pip-audit itself is missing."""
    monkeypatch.setattr(audit, "AUDIT", ("-m", "no_such_module"))
    assert audit.audited("requirements.txt") is None


UNSAFE = """
on: pull_request_target
jobs:
  greet:
    runs-on: ubuntu-24.04
    steps:
      - run: echo "${{ github.event.pull_request.title }}"
"""


@pytest.mark.skipif(not Path(sys.executable).with_name("zizmor").exists(), reason="zizmor is not installed")
def test_workflows_are_checked(tmp_path: Path) -> None:
    """Ours have no weakness; one that runs a stranger's text has."""
    assert audit.checked_workflows()[1]
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "unsafe.yml").write_text(UNSAFE)
    lines, is_clean = audit.checked_workflows(folder)
    assert not is_clean
    assert "template-injection" in "".join(lines)


def test_a_missing_zizmor_fails() -> None:
    """It asks no service, so nothing excuses it."""
    lines, is_clean = audit.checked_workflows(zizmor="/no/such/zizmor")
    assert not is_clean
    assert "not checked" in "".join(lines)

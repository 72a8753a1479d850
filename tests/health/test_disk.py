"""A full disk: SQLite answers reads, so only its free space tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from memory.health import checks, runner
from tests import databases


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """A database in a file."""
    with databases.added(
        "file", {"ENGINE": "memory.backends.sqlite", "NAME": str(tmp_path / "memory.sqlite3")}
    ) as alias:
        yield alias


def test_a_full_disk_is_a_failure_of_its_class(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below 32 MiB."""
    checks.check_disk(file)
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 2**62)
    with pytest.raises(checks.UnhealthyError) as raised:
        checks.check_disk(file)
    assert checks.failure_class(raised.value) == "disk full"


@pytest.mark.django_db(databases=["default", "memory"])
def test_health_reports_a_full_disk(file: str, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 for both databases, as for one that does not respond."""
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 2**62)
    monkeypatch.setattr(checks, "check_disk", lambda alias, check=checks.check_disk: check(file))
    runner.clear()
    body = client.get("/api/health").json()
    assert (body["status"], body["components"]["app"]) == ("unavailable", False)
    assert body["details"]["app"]["failure"] == "disk full"
    runner.clear()


@pytest.mark.embedded  # the tests' SQLite is in memory
@pytest.mark.django_db(databases=["default", "memory"])
def test_databases_in_memory_have_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of tests."""
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 2**62)
    checks.check_disk("default")

"""docs/migrate.md, followed in its order, with the service's databases."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from memory.models import MemoryItem, UserSession

from .snippets import ROOT, below, snippets

FILE = ROOT / "docs/migrate.md"


def run(block: str) -> None:
    """Run the commands of a block, all of which are `manage.py`'s."""
    for command in block.splitlines():
        python, manage, *arguments = shlex.split(command)
        assert (python, manage) == ("python", "manage.py")
        call_command(*arguments)


@pytest.mark.django_db(databases=["default", "memory"])
def test_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The trial shows the conversation and leaves nothing; then a user's items are there, once, and exported."""
    monkeypatch.chdir(tmp_path)
    (lines,) = below(FILE, "1. Get a file out of the product", "jsonl")
    Path("old.jsonl").write_text(lines)

    run(*below(FILE, "2. Import a copy and look at it", "bash"))
    assert "3 MemoryItem added" in capsys.readouterr().out
    (look,) = below(FILE, "2. Import a copy and look at it", "python")
    exec(compile(look, str(FILE), "exec"), {})  # noqa: S102  (our own document)
    first, second, found = capsys.readouterr().out.splitlines()
    assert first == "2026-03-02 09:30:00+00:00 user My favourite drink is green tea."
    assert second.endswith(" assistant Noted.")
    assert found == "My favourite drink is green tea."
    assert not MemoryItem.objects.exists()
    assert not UserSession.objects.exists()

    (everything,) = below(FILE, "3. Import everything", "bash")
    run(everything)
    run(everything)
    assert sorted(MemoryItem.objects.for_user("ada").values_list("pk", flat=True)) == ["old-1", "old-2", "old-3"]
    exported = [json.loads(line) for line in Path("ada.jsonl").read_text().splitlines()]
    assert [one["model"] for one in exported].count("MemoryItem") == 3
    assert not list(tmp_path.glob("*.rejects.jsonl"))
    assert len(snippets(FILE)) == 4, "a block that this test does not run"

"""The examples of docs/import-export.md run as they are written."""

from __future__ import annotations

import io
import json
import shlex
import zipfile
from pathlib import Path

import pytest
from django.core.management import BaseCommand, call_command, load_command_class

from memory.interchange.export import MODELS, all_records, json_lines
from memory.models import MemoryItem
from tests.docs.snippets import ROOT, below

DOCUMENT = ROOT / "docs" / "import-export.md"


@pytest.mark.django_db(databases=["default", "memory"])
def test_its_commands_and_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples are the commands' files; each command succeeds, and the export's example comes back as it is."""
    monkeypatch.chdir(tmp_path)
    (chat,), (messages,) = below(DOCUMENT, "ChatGPT", "json"), below(DOCUMENT, "LangChain", "json")
    (lines,) = below(DOCUMENT, "Export", "jsonl")
    Path("conversations.json").write_text(chat)
    Path("tides.json").write_text(messages)
    Path("backup.jsonl").write_text(lines)
    with zipfile.ZipFile("chatgpt-export.zip", "w") as archive:
        archive.writestr("conversations.json", chat)

    call_command("memory_import", "backup.jsonl", stdout=io.StringIO())
    assert [json.loads(line) for line in json_lines()] == [json.loads(line) for line in lines.splitlines()]

    commands = "".join("".join(below(DOCUMENT, heading, "bash")) for heading in ("Import", "Export", "Purge"))
    for command in commands.splitlines():
        python, manage, *arguments = shlex.split(command)
        assert (python, manage) == ("python", "manage.py")
        call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())
    assert MemoryItem.objects.filter(text_content="At 6:12.").count() == 2
    assert len(Path("everything.jsonl").read_text().splitlines()) == sum(
        all_records(MODELS[name]).count() for name in MODELS
    )
    assert list(tmp_path.glob("*.rejects.jsonl")) == []


def test_every_option_is_described() -> None:
    """Each option of the commands is in the document."""
    text = DOCUMENT.read_text()
    for name in ("memory_import", "memory_export", "memory_purge"):
        for option in options(load_command_class("memory", name)) - options(BaseCommand()):
            assert f"`{option}" in text or f" {option}" in text, option


def options(command: BaseCommand) -> set[str]:
    parser = command.create_parser("manage.py", "any")
    return {option for action in parser._actions for option in action.option_strings}

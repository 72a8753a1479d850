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

from .conversations import rejects_of, run_import
from .shapes import SHAPES

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


# The file that a person has after the steps of the table, by product: its name, and the case whose content it has. The
# name inside of a zip file follows the zip's.
FILES = {
    "ChatGPT": ("chatgpt-export.zip", "conversations.json", "chatgpt_branches.json"),
    "Claude": ("data-2026-01-02.zip", None, "claude.zip"),
    "Gemini": ("takeout.zip", "Takeout/My Activity/Gemini Apps/MyActivity.json", "gemini.json"),
    "Google AI Studio": ("A prompt", None, None),
    "LangChain": ("history.json", None, "langchain_blocks.json"),
    "OpenAI, Anthropic": ("requests.jsonl", None, "openai_finetuning.jsonl"),
    "ADK": ("session.json", None, "adk.json"),
    "Letta": ("agent.af", None, "letta.json"),
    "mem0": ("memories.json", None, "mem0.json"),
    "ShareGPT": ("data.json", None, "sharegpt.json"),
}
CASES = Path(__file__).parent / "cases"


def test_the_table_of_products_is_tested() -> None:
    """Each product of the table has a file."""
    table = DOCUMENT.read_text().split("| product | export | import |\n", 1)[1].split("\n\n", 1)[0]
    assert [line.split("|")[1].strip() for line in table.splitlines()[1:]] == list(FILES)


@pytest.mark.django_db(databases=["default", "memory"])
@pytest.mark.parametrize("product", FILES)
def test_the_export_of_a_product(product: str, tmp_path: Path) -> None:
    """The command of the page imports it: items are added, nothing is rejected, and a second run adds nothing."""
    name, member, case = FILES[product]
    content = (CASES / case).read_bytes() if case else json.dumps(SHAPES["ai studio: a prompt with thoughts"].lines[0])
    path = tmp_path / name
    if member:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, content)
            archive.writestr("chat.html", "<html></html>")
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, said = run_import(path)
    assert (code, rejects_of(path)) == (0, []), said
    assert "MemoryItem" in said
    assert "added" in said
    assert "added" not in run_import(path)[1]


def test_every_option_is_described() -> None:
    """Each option of the commands is in the document."""
    text = DOCUMENT.read_text()
    for name in ("memory_import", "memory_export", "memory_purge"):
        for option in options(load_command_class("memory", name)) - options(BaseCommand()):
            assert f"`{option}" in text or f" {option}" in text, option


def options(command: BaseCommand) -> set[str]:
    parser = command.create_parser("manage.py", "any")
    return {option for action in parser._actions for option in action.option_strings}

"""The way of a data-protection officer: the commands of the documentation, and a check on another machine."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from memory.lifecycle import receipts
from memory.models import AgentData, MemoryItem

pytestmark = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

DOCS = Path(__file__).resolve().parents[2] / "docs" / "lifecycle.md"


def documented() -> Iterator[list[str]]:
    """The arguments of the commands at the beginning of the page."""
    [block] = re.findall(r"```bash\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[:1]
    for line in block.strip().splitlines():
        python, manage, *arguments = shlex.split(line)
        assert (python, manage) == ("python", "manage.py")
        yield arguments


def run(arguments: list[str]) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


@contextmanager
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder, with an answer to the question."""
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("builtins.input", lambda question: "yes")
        yield


def test_export_erase_verify_and_check_elsewhere(
    settings: Any, make_item: Callable[..., MemoryItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The export has everything, the erasure leaves nothing, and the receipt is checked by the public key alone."""
    made = run(["memory_erase", "--new-key"])
    private, public = made[: made.index("-----BEGIN PUBLIC")], made[made.index("-----BEGIN PUBLIC") :]
    settings.MEMORY = {**settings.MEMORY, "RECEIPT_KEY": private, "VERSIONS": 3}
    office, elsewhere = tmp_path / "office", tmp_path / "elsewhere"
    office.mkdir()
    elsewhere.mkdir()
    (office / "public.pem").write_text(public)
    texts = {f"Ada said {number}" for number in range(3)}
    for text in texts:
        make_item(session_id="s", text_content=text)
    changed = make_item(session_id="s", text_content="Ada whispered")
    texts.add("Ada shouted")
    changed.text_content = "Ada shouted"
    changed.save()
    kept = make_item(user_id="bob")
    AgentData(agent_id="planner", data_type="plan", content={"user_id": "ada"}).save()

    export, page, cost, erase, verify = documented()
    with there(office, monkeypatch):
        run(export)
        exported = [json.loads(line) for line in Path("ada.jsonl").read_text(encoding="utf-8").splitlines()]
        assert {one["text_content"] for one in exported if "text_content" in one} == texts
        run(page)
        shown = Path("ada.html").read_text(encoding="utf-8")
        assert all(text in shown for text in (*texts, "Ada whispered", "agent planner"))
        assert "bob" not in shown
        assert "memory_items: 4 to erase" in run(cost)
        assert MemoryItem.objects.for_user("ada").count() == 4
        assert "memory_items: 4 erased" in run(erase)
        assert list(MemoryItem.all_objects.all()) == [kept]
        assert not AgentData.objects.exists()
        told = run(verify)
        assert "Signature valid." in told
        assert "No remains." in told
        AgentData(agent_id="planner", data_type="plan", content={"user_id": "ada"}).save()
        with pytest.raises(CommandError, match="1 remains"):
            run(verify)

    for file in (str(receipts.__file__), office / "receipt.json", office / "public.pem"):
        shutil.copy(file, elsewhere)
    check = [sys.executable, "-I", "receipts.py", "receipt.json", "public.pem"]
    done = subprocess.run(check, cwd=elsewhere, env={}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "7 records erased" in done.stdout  # four items, a version, their session, and the planner's plan
    assert "Requested by: dpo@example.org." in done.stdout
    receipt = (elsewhere / "receipt.json").read_text(encoding="utf-8")
    assert "Ada said" not in receipt
    (elsewhere / "receipt.json").write_text(receipt.replace(r"\"memory_items\":4", r"\"memory_items\":2"))
    assert (elsewhere / "receipt.json").read_text(encoding="utf-8") != receipt
    done = subprocess.run(check, cwd=elsewhere, env={}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1

"""docs/tutorial.md, followed step by step in an empty folder: each command, each file, each output that it shows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from memory.testing.emulator import free_port
from tests import live
from tests.docs.snippets import FENCE, ROOT
from tests.waiting import wait_until

from .wheels import build, run

TUTORIAL = ROOT / "docs/tutorial.md"
SERVER = "python manage.py runserver\n"
PORT = "localhost:8000"


@dataclass(frozen=True)
class Step:
    """A block of the page, and the paragraph before it."""

    before: str
    language: str
    text: str


def steps() -> Iterator[Step]:
    """The page's blocks, in their order."""
    text, end = TUTORIAL.read_text(), 0
    for match in FENCE.finditer(text):
        before = text[end : match.start()].strip().rsplit("\n\n", 1)[-1]
        yield Step(before, match[2], match[3])
        end = match.end()


@dataclass
class Reader:
    """Does what a step says. `said` is what the last block of commands printed."""

    folder: Path
    checkout: Path
    port: int = field(default_factory=free_port)
    said: str = ""
    served: int = 0

    def follow(self, step: Step) -> None:
        """A command, a file, or an output to compare."""
        match step.language:
            case "bash":
                self.type(step.text)
            case "python":
                self.write(step)
            case "text":
                assert self.said == step.text

    def shell(self, command: str) -> str:
        """Run in a terminal where the environment is active. pip installs the wheel alone: the tests' packages do."""
        active = ". env/bin/activate\n" if (self.folder / "env").exists() else ""
        path = f"{live.executables()}:/usr/bin:/bin"
        return run(active + command, self.folder, PATH=path, PIP_NO_DEPS="1", PIP_NO_INDEX="1")

    def type(self, text: str) -> None:
        """Type a block. A server runs while the next block is typed, if that needs it."""
        text = text.replace("/path/to/orchestra-memory", str(self.checkout)).replace(PORT, f"localhost:{self.port}")
        if "curl" in text:
            with self.serving():
                printed = self.shell(text)
            texts = [found["text_content"] for found in json.loads(printed)["results"]]
            assert "My favourite drink is green tea." in texts[:3]
        elif SERVER in text:
            self.shell(text.replace(SERVER, ""))
            with self.serving():
                assert requests.get(f"http://localhost:{self.port}/admin/", timeout=30).status_code == 200
        else:
            self.said = self.shell(text)
        for packages in (self.folder / "env").glob("lib/python*/site-packages"):
            (packages / "tests.pth").write_text(sysconfig.get_path("purelib"))

    @contextmanager
    def serving(self) -> Iterator[None]:
        """The server of the page, on a free port."""
        command = f". env/bin/activate && exec {SERVER.strip()} {self.port}"
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env={"PATH": f"{live.executables()}:/usr/bin:/bin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until(lambda: live.listens(self.port), "runserver listens", live.START_SECONDS)
            self.served += 1
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()

    def write(self, step: Step) -> None:
        """A file that the paragraph before names: a new one, or the end of an existing one."""
        (name,) = re.findall(r"(?:[Cc]reate|[Aa]dd to the end of)\s+`([\w./]+)`", step.before)
        file = self.folder / name
        assert file.exists() == ("end of" in step.before)
        with file.open("a") as opened:
            opened.write(f"\n{step.text}" if file.exists() else step.text)


def test_the_tutorial_can_be_followed(tmp_path: Path) -> None:
    """In order, in an empty folder, by somebody who has the wheel."""
    (checkout := tmp_path / "checkout").mkdir()
    (folder := tmp_path / "project").mkdir()
    build(checkout)
    reader = Reader(folder, checkout)
    for step in steps():
        reader.follow(step)
    assert reader.served == 2
    assert {file.name for file in folder.iterdir()} >= {"manage.py", "agent.py", "facts.py", "tests.py", "db.sqlite3"}
    version = reader.shell("python -c 'import memory; print(memory.__file__)'")
    assert version.startswith(str(folder))

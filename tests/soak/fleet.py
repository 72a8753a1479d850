"""Processes that repeat an action for a time, through a failing network, and are killed now and then.

Each writes a journal, a line of JSON for each event, so that what it began is known when it was killed. A process that
was killed is replaced by another with a number of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django

from memory.testing import emulator
from tests.faults.proxy import Proxy, Randomly

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 10
"""Seconds for one call, with its retries."""

START_SECONDS = 120
"""How long the processes may take to start."""

LOCK_SECONDS = 60
"""How long the server keeps the locks of a transaction that its client does not end."""


@dataclass
class Outcome:
    """The result, and all violations."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    last_kill: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def report(self) -> str:
        """For people."""
        lines = [
            f"{dict(self.counts)} in {self.seconds:.0f} s; faults {dict(self.faults)}; {self.kills} processes killed"
        ]
        return "\n".join([*lines, *(f"WRONG: {text}" for text in self.wrong[:20])])


@dataclass(frozen=True)
class Plan:
    """The duration, the processes and the faults; `kill_every` 0 kills nobody. All times in seconds."""

    seconds: float = 60
    processes: int = 8
    rate: float = 0.1
    kill_every: float = 5
    seed: int = 1


class Fleet:
    """The parent's side. `module` is run with `--worker`, and what else `serve` gives it."""

    def __init__(self, module: str, plan: Plan, options: Mapping[str, Any] | None = None) -> None:
        self.module, self.plan, self.options = module, plan, dict(options or {})
        self.is_over = False
        self.random = random.Random(plan.seed)  # noqa: S311
        self.folder = Path(tempfile.mkdtemp(prefix="soak-"))
        self.project = f"soak-{uuid.uuid4().hex[:10]}"
        self.address = emulator.emulator(f"soak-{uuid.uuid4().hex[:8]}")
        self.outcome = Outcome()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._lives = 0

    def run(self) -> Iterator[None]:
        """Starts all and kills some; gives way some times a second, and ends when every process has, after the plan's
        time or when `is_over` is set.

        The time runs from when all are at work, however long a busy machine takes to start them.
        """
        with Proxy(self.address, Randomly(self.plan.rate, self.plan.seed)) as proxy:
            try:
                for _ in range(self.plan.processes):
                    self._start(proxy.address)
                self._await_all()
                started = time.monotonic()
                kill = started + self.plan.kill_every
                while time.monotonic() < started + self.plan.seconds and not self.is_over:
                    time.sleep(0.25)
                    if self.plan.kill_every and time.monotonic() >= kill:
                        kill += self.plan.kill_every
                        self._replace(proxy.address)
                    yield
                self._join()
            finally:
                for process in self._running.values():
                    process.kill()
                    process.wait()
        self.outcome.faults = proxy.counts
        self.outcome.seconds = time.monotonic() - started

    def journals(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Each process' number and events."""
        for life in range(1, self._lives + 1):
            path = self._file(life, "journal")
            lines = path.read_text().split("\n") if path.exists() else []
            yield life, [json.loads(line) for line in lines[:-1]]  # the last is empty, or was cut off by a kill

    def _await_all(self) -> None:
        latest = time.monotonic() + START_SECONDS
        while not all(self._file(life, "journal").exists() for life in self._running):
            if time.monotonic() > latest:
                raise TimeoutError(f"the processes did not start within {START_SECONDS} s; see {self.folder}")
            time.sleep(0.1)

    def _start(self, address: str) -> None:
        self._lives += 1
        options = self.options | {
            "worker": self._lives,
            "address": address,
            "project": self.project,
            "over": self.folder / "over",
            "seed": self.plan.seed,
            "journal": self._file(self._lives, "journal"),
        }
        command = [sys.executable, "-m", self.module, *(f"--{name}={value}" for name, value in options.items())]
        with self._file(self._lives, "output").open("wb") as file:
            self._running[self._lives] = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)

    def _replace(self, address: str) -> None:
        life = self.random.choice(list(self._running))
        process = self._running.pop(life)
        if process.poll() is not None:
            self._failed(life)
        process.kill()
        process.wait()
        self.outcome.kills += 1
        self.outcome.last_kill = time.monotonic()
        self._start(address)

    def _join(self) -> None:
        (self.folder / "over").touch()
        for life, process in self._running.items():
            if process.wait(120):
                self._failed(life)

    def _failed(self, life: int) -> None:
        self.outcome.wrong.append(f"process {life} ended: {self._file(life, 'output').read_text()[-1500:]}")

    def _file(self, life: int, kind: str) -> Path:
        return self.folder / f"{kind}-{life}"


class Journal:
    """A process' side: an event is in the file when the call returns."""

    def __init__(self, path: str, over: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._over = Path(over)

    @property
    def is_over(self) -> bool:
        """Whether the time is."""
        return self._over.exists()

    def note(self, **event: Any) -> None:
        """One line."""
        os.write(self._file, json.dumps(event).encode() + b"\n")


Work = Callable[[int, random.Random, Journal], None]
"""What a process does: its number, its chance, and where it notes what it does, until that is over."""


def arguments(description: str | None) -> argparse.Namespace:
    """The arguments of a soak's command; the parent passes the last ones to its processes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=Plan.seconds)
    parser.add_argument("--processes", type=int, default=Plan.processes)
    parser.add_argument("--rate", type=float, default=Plan.rate, help="the share of calls that fail")
    parser.add_argument("--kill-every", type=float, default=Plan.kill_every, help="seconds; 0: nobody is killed")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    for name, kind in {"worker": int, "address": str, "project": str, "over": str, "journal": str}.items():
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    return parser.parse_args()


def main(description: str | None, run: Callable[[Plan], Outcome], work: Work) -> int:
    """Be the parent, or one of its processes; 1 where anything was wrong."""
    given = arguments(description)
    if given.worker is not None:
        configure(given.address, given.project)
        work(given.worker, random.Random(f"{given.seed}-{given.worker}"), Journal(given.journal, given.over))  # noqa: S311
        return 0
    outcome = run(Plan(given.seconds, given.processes, given.rate, given.kill_every, given.seed))
    print(outcome.report())  # noqa: T201
    return bool(outcome.wrong)


def configure(address: str, project: str) -> None:
    """Django with the soaks' models, on the emulator behind `address`."""
    from django.conf import settings

    database: Mapping[str, Any] = {
        "ENGINE": "memory.backends.firestore",
        "NAME": "(default)",
        "PROJECT": project,
        "HOST": address,
        "OPTIONS": {"timeout": TIMEOUT},
    }
    settings.configure(INSTALLED_APPS=["tests.soak"], USE_TZ=True, DATABASES={"default": database})
    django.setup()

"""Processes insert rows with the same unique values while calls fail and processes are killed.

    python -m tests.soak.uniqueness --rows 2000 --keys 500 --processes 8 --rate 0.15

What must hold in the end: one row for each key; every insert that was acknowledged is there and none that was refused
is; no marker without a row, and no row without its markers. The emulator is the gcloud SDK's, or
FIRESTORE_EMULATOR_HOST.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django

from memory.testing import emulator
from tests.faults.proxy import Proxy, Randomly

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 10


@dataclass
class Outcome:
    """The result, and all violations."""

    rows: int = 0
    reported: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    report: Any = None
    wrong: list[str] = field(default_factory=list)


class Soak:
    """The parent: starts and kills processes, and compares the outcomes that they noted with the stored rows."""

    def __init__(self, rows: int, keys: int, processes: int, rate: float, kills: int, seed: int) -> None:
        self.rows, self.keys, self.processes, self.kills, self.seed = rows, keys, processes, kills, seed
        self.random = random.Random(seed)  # noqa: S311
        self.folder = Path(tempfile.mkdtemp(prefix="soak-"))
        self.project = f"soak-{uuid.uuid4().hex[:10]}"
        self.address = emulator.emulator(f"soak-{uuid.uuid4().hex[:8]}")
        self.proxy = Proxy(self.address, Randomly(rate, seed))
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Run the soak."""
        with self.proxy:
            try:
                for number in range(self.processes):
                    self._start(number)
                self._disturb()
                for number, process in self.running.items():
                    if process.wait(600):
                        self.outcome.wrong.append(
                            f"process {number} failed: {self._output(number).read_text()[-1500:]}"
                        )
            finally:
                for process in self.running.values():
                    process.kill()
                    process.wait()
        self.outcome.faults = self.proxy.counts
        self._compare()
        return self.outcome

    def _start(self, number: int) -> None:
        options = {
            "worker": number,
            "rows": self.rows,
            "keys": self.keys,
            "processes": self.processes,
            "seed": self.seed,
            "address": self.proxy.address,
            "project": self.project,
            "ledger": self._ledger(number),
        }
        command = [
            sys.executable,
            "-m",
            "tests.soak.uniqueness",
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        with self._output(number).open("ab") as file:
            self.running[number] = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)

    def _disturb(self) -> None:
        """Kill a process now and then, while any works, and start it again."""
        while self.outcome.kills < self.kills:
            time.sleep(self.random.uniform(0.5, 3))
            at_work = [number for number, process in self.running.items() if process.poll() is None]
            if not at_work:
                break
            number = self.random.choice(at_work)
            self.running[number].kill()
            self.running[number].wait()
            self.outcome.kills += 1
            self._start(number)

    def _ledger(self, number: int) -> Path:
        return self.folder / f"ledger-{number}"

    def _output(self, number: int) -> Path:
        return self.folder / f"output-{number}"

    def _compare(self) -> None:
        configure(self.address, self.project)
        from django.db import connection

        from memory.backends.firestore.constraints.audit import Audit
        from tests.engine.app.models import Seat

        time.sleep(2)  # writes of killed processes may still arrive
        stored = dict(Seat.objects.values_list("pk", "code"))
        self.outcome.rows = len(stored)
        codes = Counter(stored.values())
        self.outcome.wrong += [f"{code} is there {count} times" for code, count in codes.items() if count > 1]
        self.outcome.wrong += [f"{code} is not there" for code in map(code_of, range(self.keys)) if code not in codes]
        for number in range(self.processes):
            for verb, id in read_ledger(self._ledger(number)):
                self.outcome.reported[verb] += 1
                if (verb == "made") is not (id in stored) and verb in ("made", "refused"):
                    self.outcome.wrong.append(f"{id} was {verb}, and is {'' if id in stored else 'not '}there")
        with Audit(connection, Seat, bar=_silent) as audit:
            audit.read()
            self.outcome.report = audit.compare(repair=False)
        if not self.outcome.report.is_clean:
            self.outcome.wrong.append(f"markers and rows differ: {self.outcome.report}")


def _silent(**options: Any) -> Any:
    from tqdm import tqdm

    return tqdm(**{**options, "disable": True})


def configure(address: str, project: str) -> None:
    """Django with the engine's test models, on the emulator behind `address`."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.engine.settings"
    from django.conf import settings

    settings.DATABASES["default"] |= {"HOST": address, "PROJECT": project, "OPTIONS": {"timeout": TIMEOUT}}
    django.setup()


def code_of(key: int) -> str:
    """A key as it is stored."""
    return f"code-{key}"


def read_ledger(ledger: Path) -> list[tuple[str, str]]:
    """The last outcome that a process noted for each row."""
    lines = (line.split() for line in ledger.read_text().splitlines()) if ledger.exists() else iter(())
    last = {id: verb for verb, id in lines}
    return [(verb, id) for id, verb in last.items()]


class Worker:
    """A process: inserts its share of the rows, each by another way, and moves other unique values about."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.random = random.Random(f"{options.seed}-{options.worker}-{os.getpid()}")  # noqa: S311
        self.done = {id: verb for verb, id in read_ledger(options.ledger)}
        self.ledger = options.ledger.open("a", buffering=1)

    def run(self) -> None:
        """All rows of this process that nothing is known of yet."""
        for row in range(self.options.worker, self.options.rows, self.options.processes):
            id = f"row-{row:06}"
            if self.done.get(id) in ("made", "refused"):
                continue
            fresh = id not in self.done
            self._note("begun", id)
            self._insert(row, id, code_of(row % self.options.keys), fresh)
            self._churn()

    def _note(self, verb: str, id: str) -> None:
        self.ledger.write(f"{verb} {id}\n")

    def _insert(self, row: int, id: str, code: str, fresh: bool) -> None:
        """Repeat until the outcome is known. `fresh`: no earlier life has tried."""
        from django.db import IntegrityError, OperationalError

        ways = (self.create, self.get_or_create, self.ignore, self.in_transaction)
        while True:
            try:
                made = ways[row // self.options.processes % len(ways)](id, code)
            except IntegrityError as error:
                if self._exists(id) and fresh:
                    raise AssertionError(f"{id} was refused and is there: {error}") from error
                made = self._exists(id)
            except OperationalError:
                fresh = False  # it may have been applied
                continue
            self._note("made" if made else "refused", id)
            return

    def create(self, id: str, code: str) -> bool:
        """One row, or IntegrityError."""
        _models().create(id=id, code=code, **self._values(id))
        return True

    def get_or_create(self, id: str, code: str) -> bool:
        """One row, or the one that has the code."""
        found, _ = _models().get_or_create(code=code, defaults={"id": id, **self._values(id)})
        return bool(found.pk == id)

    def ignore(self, id: str, code: str) -> bool:
        """One row, or nothing."""
        from tests.engine.app.models import Seat

        _models().bulk_create([Seat(id=id, code=code, **self._values(id))], ignore_conflicts=True)
        return self._exists(id)

    def in_transaction(self, id: str, code: str) -> bool:
        """A row together with a change of another one."""
        from memory.backends.firestore.transaction import run_in_transaction

        def work() -> None:
            self.create(id, code)
            other = f"row-{self.random.randrange(self.options.rows):06}"
            _models().filter(pk=other).update(email=f"mail-{self.random.randrange(10**9)}")

        run_in_transaction(work, attempts=10)
        return True

    def _values(self, id: str) -> dict[str, Any]:
        number = int(id[4:])
        return {"row": 1, "number": number, "slot": number, "email": id, "active": True, "name": id}

    def _exists(self, id: str) -> bool:
        from django.db import OperationalError

        while True:
            try:
                return bool(_models().filter(pk=id).exists())
            except OperationalError:
                continue

    def _churn(self) -> None:
        """Change another row's unique values, or exchange those of two; it may be refused."""
        from django.db import IntegrityError, OperationalError

        numbers = [self.random.randrange(self.options.rows) for _ in range(3)]
        ids = [f"row-{number:06}" for number in numbers]
        try:
            match self.random.randrange(3):
                case 0:
                    _models().filter(pk=ids[0]).update(number=numbers[1], email=ids[2])
                case 1:
                    _models().filter(pk=ids[0]).update(name=ids[1].upper(), active=self.random.random() < 0.5)
                case _:
                    two = list(_models().filter(pk__in=ids[:2]))
                    if len(two) == 2:
                        two[0].slot, two[1].slot = two[1].slot, two[0].slot
                        _models().bulk_update(two, ["slot"])
        except (IntegrityError, OperationalError):
            return


def _models() -> Any:
    from tests.engine.app.models import Seat

    return Seat.objects


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what happened; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--keys", type=int, default=500)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.15, help="share of calls that fail")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    for name in ("address", "project"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--ledger", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker is not None:
        configure(options.address, options.project)
        Worker(options).run()
        return 0
    started = time.monotonic()
    soak = Soak(options.rows, options.keys, options.processes, options.rate, options.kills, options.seed)
    outcome = soak.run()
    lines = [
        f"rows      {outcome.rows} of {options.keys} keys",
        f"reported  {dict(outcome.reported)}",
        f"faults    {dict(outcome.faults)}",
        f"kills     {outcome.kills}",
        f"markers   {outcome.report}",
        f"took      {time.monotonic() - started:.0f} s",
        f"wrong     {len(outcome.wrong)}",
        *outcome.wrong[:20],
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

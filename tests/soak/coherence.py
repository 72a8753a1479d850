"""Processes read and write conversations on every path while they are killed and Redis is killed, paused and cut off.

    python -m tests.soak.coherence --seconds 60

Each reader checks that it sees no less than was acknowledged before its read began. Only changes that a partition
hid from Redis may be late, for `CACHE_TTL` at most. At the end the cache equals the database, which is a file of
SQLite, Firestore where `FIRESTORE_EMULATOR_HOST` is set, or what `--memory-database-url` names.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memory.testing.redis import RedisServer
from tests.faults.tcp import Proxy

from .ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
PER_PROCESS = 20
CACHE_TTL = 5
SUPERUSER = """
from django.contrib.auth import get_user_model
get_user_model().objects.create_superuser("soak-admin", password="soak")
"""

PREPARATIONS = (["migrate", "-v0"], ["migrate", "-v0", "--database", "memory"], ["shell", "-v0", "-c", SUPERUSER])
FAULTS = (
    *("kill a process", "kill a process", "kill behind a partition"),
    *("restart", "crash", "pause", "flush"),
    *("cut", "blackhole"),
)


@dataclass
class Outcome:
    """The results of all processes."""

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)  # writes by path
    faults: Counter[str] = field(default_factory=Counter)
    longest_behind_ms: int = 0
    compared: int = 0


class Soak:
    """The parent: starts the processes, disturbs them and Redis, and collects their results."""

    def __init__(self, seconds: float, processes: int, conversations: int, seed: int, database: str | None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="soak-"))
        self.seconds, self.processes, self.conversations, self.seed = seconds, processes, conversations, seed
        self.random = random.Random(seed)  # noqa: S311
        self.ledger = Ledger(self.folder / "ledger", processes * PER_PROCESS, create=True)
        # Its snapshots may be a second old after a restart.
        self.redis = RedisServer(save="1 1").start()
        self.proxy = Proxy(self.redis.port)
        self.environment = {
            **os.environ,
            "APP_ENV": "test",
            "DATABASE_URL": f"sqlite:///{self.folder}/default.sqlite3",
            "MEMORY_DATABASE_URL": database or self._own_database(),
            "GCP_PROJECT_ID": f"soak-{os.getpid()}",
            "CACHE_TTL": str(CACHE_TTL),
            "THROTTLE_USER": "1000000/min",
            "LOG_LEVEL": "ERROR",
        }
        self.judge: subprocess.Popen[bytes] | None = None
        self.running: dict[int, tuple[subprocess.Popen[bytes], Path]] = {}
        self.lives = 0
        self.outcome = Outcome()

    def _own_database(self) -> str:
        # Settings take Firestore where they find an emulator and no URL.
        return "" if os.environ.get("FIRESTORE_EMULATOR_HOST") else f"sqlite:///{self.folder}/memory.sqlite3"

    def run(self) -> Outcome:
        """Run the soak."""
        try:
            for arguments in PREPARATIONS:
                subprocess.run(
                    [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self._environment(0), check=True
                )
            end = time.monotonic() + self.seconds
            self.judge = self._start_judge()
            for number in range(self.processes):
                self._start(number, end)
            while time.monotonic() < end - 4:
                self._disturb(self.random.choice(FAULTS), end)
                time.sleep(self.random.uniform(0.2, 1.2))
            self.redis.resume()
            self.proxy.heal()
            for number in list(self.running):
                self._gather(number, wait=True)
            self._compare()
        finally:
            for process in [*(process for process, _ in self.running.values()), self.judge]:
                if process is not None:
                    process.kill()
                    process.wait()
            self.proxy.close()
            self.redis.close()
        return self.outcome

    def _start_judge(self) -> subprocess.Popen[bytes]:
        # Beforehand: what is held must not end while a process starts.
        command = [sys.executable, "-m", "tests.soak.worker", "--check", f"--conversations={self.conversations}"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen(command, cwd=ROOT, env=self._environment(0), **pipes)

    def _start(self, number: int, end: float) -> None:
        self.lives += 1
        output = self.folder / f"worker-{number}-{self.lives}"
        options = {
            "number": number,
            "life": self.lives,
            "processes": self.processes,
            "per-process": PER_PROCESS,
            "conversations": self.conversations,
            "seed": self.seed,
            "seconds": max(1.0, end - time.monotonic()),
            "ledger": self.folder / "ledger",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, "-m", "tests.soak.worker", *arguments]
        with output.open("wb") as file:
            process = subprocess.Popen(command, cwd=ROOT, env=self._environment(number), stdout=file, stderr=file)
        self.running[number] = (process, output)

    def _environment(self, number: int) -> dict[str, str]:
        port = self.proxy.port if self._is_behind_the_proxy(number) else self.redis.port
        return {**self.environment, "REDIS_URL": f"redis://127.0.0.1:{port}/0"}

    def _is_behind_the_proxy(self, number: int) -> bool:
        """A quarter of the processes, at least one."""
        return number % 4 == min(3, self.processes - 1)

    def _disturb(self, name: str, end: float) -> None:
        self.outcome.faults[name] += 1
        if name == "kill a process":
            self._kill(self.random.choice(list(self.running)), end)
            return
        self.ledger.note_fault()
        if name == "kill behind a partition":
            self.proxy.cut()
            self._pause(1.0, 2.0)
            number = self.random.choice([each for each in self.running if self._is_behind_the_proxy(each)])
            self._kill(number, end)
            self.proxy.heal()
        elif name in ("cut", "blackhole"):
            getattr(self.proxy, name)()
            self._pause()
            self.proxy.heal()
        else:
            self._disturb_redis(name)
        self.ledger.note_fault()

    def _disturb_redis(self, name: str) -> None:
        if name == "restart":
            self.redis.restart()
        elif name == "crash":
            self.redis.kill()
            self._pause(0, 1)
            self.redis.start()
        elif name == "pause":
            self.redis.pause()
            self._pause()
            self.redis.resume()
        else:
            self.redis.client(socket_timeout=5).flushall()

    def _pause(self, least: float = 0.05, most: float = 1.5) -> None:
        time.sleep(self.random.uniform(least, most))

    def _kill(self, number: int, end: float) -> None:
        process, _ = self.running[number]
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._gather(number, wait=False)
        self._start(number, end)

    def _gather(self, number: int, wait: bool) -> None:
        process, output = self.running.pop(number)
        if wait:
            process.wait(60)
        text = output.read_text(errors="replace").strip()
        last = text.splitlines()[-1] if text else ""
        if last.startswith("{"):
            summary: dict[str, Any] = json.loads(last)
            self.outcome.wrong += summary["wrong"]
            self.outcome.counts.update(summary["counts"])
            self.outcome.ways.update(summary["ways"])
            self.outcome.longest_behind_ms = max(self.outcome.longest_behind_ms, summary["longest_behind_ms"])
        elif wait or text:
            self.outcome.wrong.append(f"process {number} failed: {text[-2000:]}")

    def _compare(self) -> None:
        assert self.judge is not None, "the judge starts before what it compares"
        output, _ = self.judge.communicate(timeout=60)
        summary = json.loads(output.splitlines()[-1])
        self.outcome.compared = summary["compared"]
        self.outcome.wrong += [f"at the end, {name} is not as in the database" for name in summary["wrong"]]


def main() -> int:
    """Print what happened; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--conversations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--memory-database-url")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10**6)  # noqa: S311
    soak = Soak(options.seconds, options.processes, options.conversations, seed, options.memory_database_url)
    outcome = soak.run()
    sys.stdout.write(f"seed {seed}\n{report(outcome)}\n")
    return bool(outcome.wrong)


def report(outcome: Outcome) -> str:
    """The outcome, for people."""

    def listed(counts: Counter[str]) -> str:
        return ", ".join(f"{name} {count}" for name, count in counts.most_common())

    return "\n".join(
        [
            f"{outcome.counts['reads']} reads, {outcome.counts['writes']} writes: {listed(outcome.ways)}",
            f"faults: {listed(outcome.faults)}",
            f"behind while Redis was hidden from the writer: {outcome.counts['behind']} items read, "
            f"{outcome.longest_behind_ms / 1000:.1f} s at most (CACHE_TTL is {CACHE_TTL} s)",
            f"{outcome.compared} conversations held at the end, compared with the database",
            *(f"WRONG: {line}" for line in outcome.wrong[:20]),
            f"{len(outcome.wrong)} wrong",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

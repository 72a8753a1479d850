"""The runner: concurrency, time limit, shared results, and failure classes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import freezegun
import pytest

from memory.backends import clock
from memory.health import DEGRADED, OK, UNAVAILABLE, Component, Finding, Report, Runner, UnhealthyError, failure_class

BUDGET = 0.3
SLACK = 20.0  # seconds that a busy machine may add; a gate opens later


@dataclass(frozen=True)
class Backend:
    """A check of a fake backend that calls a function of the test."""

    name: str
    behave: Callable[[], None] = field(compare=False)
    runs_in_caller: ClassVar[bool] = False

    @property
    def key(self) -> str:
        return self.name

    def engine(self) -> str:
        return self.name

    def run(self) -> None:
        self.behave()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """An event that hanging backends wait for. It is set at the end of the test."""
    opened = threading.Event()
    yield opened
    opened.set()
    for thread in health_threads():
        thread.join(5)


def health_threads() -> list[threading.Thread]:
    """Threads that currently run checks."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("health-Backend")]


def test_a_budget_is_of_real_time(gate: threading.Event) -> None:
    """Also where a test has frozen the clock."""
    with freezegun.freeze_time("2015-06-01"):
        began = time.clock_gettime(time.CLOCK_MONOTONIC)
        findings = Runner().run([Backend("hangs", lambda: gate.wait(30) and None)], budget=BUDGET)
        took = time.clock_gettime(time.CLOCK_MONOTONIC) - began
    assert [finding.failure for finding in findings.values()] == ["timeout"]
    assert BUDGET <= took < 10


def test_checks_run_concurrently() -> None:
    """Sequential checks would exceed the budget."""
    checks = [Backend(str(number), lambda: time.sleep(0.5)) for number in range(6)]
    findings = Runner().run(checks, budget=2.5)
    assert [finding.failure for finding in findings.values()] == [""] * 6


def test_hanging_backend_is_a_timeout(gate: threading.Event) -> None:
    """The results are returned within the budget; other checks are not affected."""
    hanging, well = Backend("hanging", lambda: _wait(gate)), Backend("well", lambda: None)
    begun = time.monotonic()
    findings = Runner().run([hanging, well], BUDGET)
    assert time.monotonic() - begun < BUDGET + SLACK
    assert findings == {hanging: Finding("hanging", "timeout"), well: Finding("well")}


class Clock:
    """A clock of the runner that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def standing_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(clock, "monotonic", made)
    return made


def test_many_probes_of_a_hanging_backend_use_one_thread(gate: threading.Event, standing_clock: Clock) -> None:
    """Concurrent probes share a run; probes after its budget return at once."""
    runner, hanging = Runner(), Backend("hanging", lambda: _wait(gate))
    answers: list[Finding] = []
    probes = [
        threading.Thread(target=lambda: answers.append(runner.run([hanging], BUDGET)[hanging])) for _ in range(50)
    ]
    for probe in probes:
        probe.start()
    for probe in probes:
        probe.join()
    assert answers == [Finding("hanging", "timeout")] * 50
    assert len(health_threads()) == 1
    standing_clock.now += 25
    begun = time.monotonic()
    assert runner.run([hanging], 24.0)[hanging].failure == "timeout"
    assert time.monotonic() - begun < SLACK


def test_many_probes_run_a_check_once_per_second(gate: threading.Event) -> None:
    """200 probes in 2 s run the check at most three times; shared results have the latency."""
    calls: list[float] = []

    def ask() -> None:
        calls.append(time.monotonic())
        time.sleep(0.05)

    runner, backend = Runner(), Backend("backend", ask)
    findings: list[Finding] = []

    def probe() -> None:
        for _ in range(20):
            findings.append(runner.run([backend], BUDGET)[backend])
            time.sleep(0.095)

    begun = time.monotonic()
    probes = [threading.Thread(target=probe) for _ in range(10)]
    for each in probes:
        each.start()
    for each in probes:
        each.join()
    assert findings == [Finding("backend")] * 200
    assert all(finding.seconds and finding.seconds >= 0.05 for finding in findings)
    assert 1 <= len(calls) <= 1 + int(time.monotonic() - begun)
    assert all(later - earlier >= Runner.SHARED_SECONDS for earlier, later in pairwise(calls))


def test_results_are_cached_for_one_second(standing_clock: Clock) -> None:
    """The second counts from the start of the run, whatever its duration."""
    state = [""]

    def ask() -> None:
        standing_clock.now += 0.4
        if state[0]:
            raise UnhealthyError(state[0])

    runner, backend = Runner(), Backend("backend", ask)
    assert runner.run([backend], SLACK)[backend].failure == ""
    state[0] = "gone"
    standing_clock.now += 0.59
    assert runner.run([backend], SLACK)[backend].failure == ""
    standing_clock.now += 0.02
    assert runner.run([backend], SLACK)[backend].failure == "gone"


def test_checks_with_equal_keys_share_a_run() -> None:
    """The check runs once for both."""

    @dataclass(frozen=True)
    class Twin(Backend):
        role: str = ""

    calls: list[int] = []
    one, other = (Twin("backend", lambda: calls.append(1), role) for role in ("one", "other"))
    assert set(Runner().run([one, other], BUDGET)) == {one, other}
    assert calls == [1]


def test_clear_runs_checks_again() -> None:
    """Changed settings may select other backends."""
    calls: list[int] = []
    runner, backend = Runner(), Backend("backend", lambda: calls.append(1))
    runner.run([backend], BUDGET)
    runner.clear()
    runner.run([backend], BUDGET)
    assert calls == [1, 1]


def test_recovery_is_noticed(gate: threading.Event, standing_clock: Clock) -> None:
    """A probe runs the check again after the hanging run has ended and its second has passed."""
    runner, backend = Runner(), Backend("backend", lambda: _wait(gate))
    assert runner.run([backend], BUDGET / 10)[backend].failure == "timeout"
    gate.set()
    for thread in health_threads():
        thread.join()
    standing_clock.now += Runner.SHARED_SECONDS
    assert runner.run([backend], SLACK)[backend].failure == ""


def test_hanging_runs_are_replaced_up_to_a_limit(gate: threading.Event) -> None:
    """A hanging run does not hide a recovery, and the number of hanging runs is limited."""

    class ShortTimeout(Runner):
        SHARED_SECONDS = 0.0
        ABANDONED_AFTER_SECONDS = 0.0

    hangs = [True]
    backend = Backend("backend", lambda: _wait(gate) if hangs[0] else None)
    runner = ShortTimeout()
    for _ in range(Runner.MAX_RUNS - 1):
        assert runner.run([backend], 0.02)[backend].failure == "timeout"
    hangs[0] = False
    assert runner.run([backend], 10 * BUDGET)[backend].failure == ""
    hangs[0] = True
    for _ in range(10):
        assert runner.run([backend], 0.02)[backend].failure == "timeout"
    assert len(health_threads()) == Runner.MAX_RUNS


def _wait(gate: threading.Event) -> None:
    assert gate.wait(60)


class OperationalError(Exception):
    """The name that database drivers use."""


class DeadlineExceeded(Exception):
    """The name that Google's client uses."""


def caused(error: Exception, cause: BaseException) -> Exception:
    """Set the cause like `raise error from cause`."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TimeoutError("10.0.0.7 timed out"), "timeout"),
        (caused(OperationalError("s3cret"), DeadlineExceeded("projects/secret")), "timeout"),
        (caused(OperationalError("s3cret"), ConnectionRefusedError("10.0.0.7")), "connection refused"),
        (ConnectionResetError("10.0.0.7"), "connection failed"),
        (PermissionError("/etc/key.json"), "permission denied"),
        (UnhealthyError("migrations not applied"), "migrations not applied"),
        (ValueError("password hunter2"), "error"),
    ],
)
def test_failure_class(error: Exception, failure: str) -> None:
    """The class is derived from the cause of a wrapped error, and has no text of the error."""
    assert failure_class(error) == failure


def test_error_text_is_neither_returned_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the exception's class."""

    def fail() -> None:
        raise ValueError("redis://:hunter2@10.0.0.7")

    backend = Backend("backend", fail)
    assert Runner().run([backend], BUDGET) == {backend: Finding("backend", "error")}
    assert "ValueError" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("database", "cache", "status"),
    [("", "", OK), ("", "timeout", DEGRADED), ("timeout", "", UNAVAILABLE), ("error", "timeout", UNAVAILABLE)],
)
def test_status_is_the_worst_of_all_components(database: str, cache: str, status: str) -> None:
    """A failed cache is `degraded`, a failed database `unavailable`."""
    check = Backend("any", lambda: None)
    report = Report(
        {
            Component("storage", check, failed=UNAVAILABLE): Finding("Firestore", database),
            Component("cache", check, failed=DEGRADED): Finding("Redis", cache),
        }
    )
    assert report.status == status
    assert report.components == {"storage": not database, "cache": not cache}


def test_details_are_empty_for_healthy_expected_engines() -> None:
    """Only other engines and failures are listed."""
    component = Component("storage_redis", Backend("any", lambda: None), failed=DEGRADED, expected="Redis")
    assert Report({component: Finding("Redis")}).details == {}
    assert Report({component: Finding("local memory")}).details == {"storage_redis": {"engine": "local memory"}}
    assert Report({component: Finding("Redis", "timeout")}).details == {
        "storage_redis": {"engine": "Redis", "failure": "timeout"}
    }

"""The running of checks: side by side, on time, once at a time, and silent about what an error's text says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import pytest

from memory.health import DEGRADED, OK, UNAVAILABLE, Component, Finding, Report, Runner, UnhealthyError, failure_class

BUDGET = 0.3
SLACK = 1.0  # seconds that a busy machine may add


@dataclass(frozen=True)
class Backend:
    """A check of a backend that does what a test tells it."""

    name: str
    behave: Callable[[], None] = field(compare=False)
    in_place: ClassVar[bool] = False

    @property
    def question(self) -> str:
        return self.name

    def engine(self) -> str:
        return self.name

    def run(self) -> None:
        self.behave()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hanging backends wait for; opened when the test ends, so that no thread outlives it."""
    opened = threading.Event()
    yield opened
    opened.set()
    for thread in health_threads():
        thread.join(5)


def health_threads() -> list[threading.Thread]:
    """Threads that run checks now."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("health-Backend")]


def test_checks_run_side_by_side() -> None:
    """One after the other they would not be done within the budget."""
    checks = [Backend(str(number), lambda: time.sleep(0.5)) for number in range(6)]
    findings = Runner().run(checks, budget=2.5)
    assert [finding.failure for finding in findings.values()] == [""] * 6


def test_a_backend_that_hangs_is_a_timeout_and_holds_nobody_up(gate: threading.Event) -> None:
    """The answer comes within the budget, tells a timeout, and the other findings stand."""
    hanging, well = Backend("hanging", lambda: _wait(gate)), Backend("well", lambda: None)
    begun = time.monotonic()
    findings = Runner().run([hanging, well], BUDGET)
    assert time.monotonic() - begun < BUDGET + SLACK
    assert findings == {hanging: Finding("hanging", "timeout"), well: Finding("well")}


def test_a_storm_of_probes_on_a_hung_backend_costs_one_thread(gate: threading.Event) -> None:
    """Probes that come while a check runs share its run; those that come after its budget answer at once."""
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
    begun = time.monotonic()
    assert runner.run([hanging], BUDGET)[hanging].failure == "timeout"
    assert time.monotonic() - begun < BUDGET


def test_a_storm_of_probes_asks_once_a_second(gate: threading.Event) -> None:
    """Two hundred probes in two seconds cost three questions at most, and what was found is told with its latency."""
    asked: list[float] = []

    def ask() -> None:
        asked.append(time.monotonic())
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
    assert 1 <= len(asked) <= 1 + int(time.monotonic() - begun)
    assert all(later - earlier >= Runner.SHARED_SECONDS for earlier, later in pairwise(asked))


def test_what_was_found_is_told_for_a_second_and_no_longer() -> None:
    """Counted from the beginning of the run: what changed a second ago is told, however long the answer took."""
    state = [""]

    def ask() -> None:
        failed = state[0]
        time.sleep(0.4)
        if failed:
            raise UnhealthyError(failed)

    runner, backend = Runner(), Backend("backend", ask)
    begun = time.monotonic()
    assert runner.run([backend], BUDGET * 4)[backend].failure == ""
    state[0] = "gone"
    assert runner.run([backend], BUDGET * 4)[backend].failure == ""
    time.sleep(max(0.0, begun + Runner.SHARED_SECONDS + 0.05 - time.monotonic()))
    assert runner.run([backend], BUDGET * 4)[backend].failure == "gone"


def test_checks_that_ask_the_same_share_a_run() -> None:
    """Whoever of them asks."""

    @dataclass(frozen=True)
    class Twin(Backend):
        role: str = ""

    asked: list[int] = []
    one, other = (Twin("backend", lambda: asked.append(1), role) for role in ("one", "other"))
    assert set(Runner().run([one, other], BUDGET)) == {one, other}
    assert asked == [1]


def test_forgotten_findings_are_looked_for_again() -> None:
    """Settings that change lead to other backends."""
    asked: list[int] = []
    runner, backend = Runner(), Backend("backend", lambda: asked.append(1))
    runner.run([backend], BUDGET)
    runner.forget()
    runner.run([backend], BUDGET)
    assert asked == [1, 1]


def test_a_backend_that_comes_back_is_noticed(gate: threading.Event) -> None:
    """When the run that hung ends, and a second is over since it began, the next probe asks anew."""
    runner, backend = Runner(), Backend("backend", lambda: _wait(gate))
    begun = time.monotonic()
    assert runner.run([backend], BUDGET / 10)[backend].failure == "timeout"
    gate.set()
    time.sleep(max(0.0, begun + Runner.SHARED_SECONDS - time.monotonic()))
    assert runner.run([backend], 10 * BUDGET)[backend].failure == ""


def test_a_run_that_never_ends_is_replaced_a_few_times_at_most(gate: threading.Event) -> None:
    """An old connection that never ends does not hide that new ones work; nor do runs pile up where all hang."""

    class Impatient(Runner):
        SHARED_SECONDS = 0.0
        ABANDONED_AFTER_SECONDS = 0.0

    hangs = [True]
    backend = Backend("backend", lambda: _wait(gate) if hangs[0] else None)
    runner = Impatient()
    for _ in range(Runner.MOST_FLIGHTS - 1):
        assert runner.run([backend], 0.02)[backend].failure == "timeout"
    hangs[0] = False
    assert runner.run([backend], 10 * BUDGET)[backend].failure == ""
    hangs[0] = True
    for _ in range(10):
        assert runner.run([backend], 0.02)[backend].failure == "timeout"
    assert len(health_threads()) == Runner.MOST_FLIGHTS


def _wait(gate: threading.Event) -> None:
    assert gate.wait(60)


class OperationalError(Exception):
    """As drivers call it."""


class DeadlineExceeded(Exception):  # noqa: N818  (Google's name)
    """As Google's client calls it."""


def caused(error: Exception, cause: BaseException) -> Exception:
    """An error as `raise error from cause` leaves it."""
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
def test_a_failure_is_told_by_its_class(error: Exception, failure: str) -> None:
    """By what happened underneath where the driver wraps it, and never by a text that may hold hosts or secrets."""
    assert failure_class(error) == failure


def test_an_errors_text_is_neither_answered_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the class of the error, for whoever looks into it."""

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
def test_status_is_the_worst_that_a_component_makes_of_it(database: str, cache: str, status: str) -> None:
    """Without its cache the service is slower; without its database it is no service."""
    check = Backend("any", lambda: None)
    report = Report(
        {
            Component("storage", check, failed=UNAVAILABLE): Finding("Firestore", database),
            Component("cache", check, failed=DEGRADED): Finding("Redis", cache),
        }
    )
    assert report.status == status
    assert report.components == {"storage": not database, "cache": not cache}


def test_details_are_empty_when_all_is_as_its_name_says_and_well() -> None:
    """As in the example of the specification; another engine, or a failure, is told."""
    component = Component("storage_redis", Backend("any", lambda: None), failed=DEGRADED, expected="Redis")
    assert Report({component: Finding("Redis")}).details == {}
    assert Report({component: Finding("local memory")}).details == {"storage_redis": {"engine": "local memory"}}
    assert Report({component: Finding("Redis", "timeout")}).details == {
        "storage_redis": {"engine": "Redis", "failure": "timeout"}
    }

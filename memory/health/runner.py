"""Runs checks concurrently with a time limit, and caches their results for 1 s.

Requests during a check wait for its run instead of starting another, so a backend that hangs blocks only a few threads.
A result is cached for 1 s from the start of its run, so many probes cause one query per second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import TypeVar

from django.core.cache import caches
from django.db import connections

from memory.backends import clock

from .checks import TIMEOUT, Check, Finding, failure_class

ResultT = TypeVar("ResultT")

logger = logging.getLogger(__package__)


@dataclass(frozen=True)
class Run:
    """A run of a check. `started` is in seconds of the monotonic clock."""

    started: float
    result: Future[Finding] = field(default_factory=Future)

    @property
    def age(self) -> float:
        """Seconds since the start."""
        return clock.monotonic() - self.started


class Runner:
    """Runs each check at most once at a time, and caches results for `SHARED_SECONDS`."""

    SHARED_SECONDS = 1.0
    # After this time another run starts in parallel with one that hangs, so that a backend's recovery is noticed even
    # if an old connection hangs forever. MAX_RUNS limits the number of these.
    ABANDONED_AFTER_SECONDS = 30.0
    MAX_RUNS = 4

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[Hashable, list[Run]] = {}  # by key: older runs that hang, and the newest

    def run(self, checks: Iterable[Check], budget: float) -> dict[Check, Finding]:
        """The result of each check, after at most `budget` seconds.

        The results of checks that run in the calling thread (`Check.runs_in_caller`) are not cached.
        """
        deadline = clock.monotonic() + budget
        unique = list(dict.fromkeys(checks))
        runs = {check: self._join(check) for check in unique if not check.runs_in_caller}
        findings = {check: run_check(check) for check in unique if check.runs_in_caller}
        for check, run in runs.items():
            remaining = min(deadline, run.started + budget) - clock.monotonic()
            done, _ = wait([run.result], timeout=max(remaining, 0))
            findings[check] = run.result.result() if done else Finding(check.engine(), TIMEOUT)
        return {check: findings[check] for check in unique}

    def clear(self) -> None:
        """Clear cached results, since settings have changed."""
        with self._lock:
            self._runs = {}

    def _join(self, check: Check) -> Run:
        """The newest run of the check if it is current, or a new one."""
        with self._lock:
            known = self._runs.get(check.key, [])
            hanging = [run for run in known if not run.result.done()]
            if known and self._is_current(known[-1], len(hanging)):
                return known[-1]
            run = Run(clock.monotonic())
            self._runs[check.key] = [*hanging, run]
            _start(check, run)
            return run

    def _is_current(self, run: Run, hanging: int) -> bool:
        if run.result.done():
            return run.age < self.SHARED_SECONDS
        return run.age <= self.ABANDONED_AFTER_SECONDS or hanging >= self.MAX_RUNS


def _start(check: Check, run: Run) -> None:
    def execute() -> None:
        try:
            run.result.set_result(run_check(check))
        finally:
            # Connections and caches are thread-local, and this thread ends.
            connections.close_all()
            caches.close_all()

    # A daemon thread, unlike a pool's, does not block the exit of the process if it hangs.
    threading.Thread(target=execute, name=f"health-{type(check).__name__}", daemon=True).start()


def within(seconds: float, ask: Callable[[], ResultT], default: ResultT) -> ResultT:
    """The result of `ask()`, which runs in a thread of its own; `default` if it takes longer."""
    result: Future[ResultT] = Future()

    def execute() -> None:
        try:
            result.set_result(ask())
        except BaseException as error:  # noqa: BLE001  (raised again in the calling thread)
            result.set_exception(error)
        finally:
            connections.close_all()
            caches.close_all()

    threading.Thread(target=execute, name="health-within", daemon=True).start()
    done, _ = wait([result], timeout=max(seconds, 0))
    return result.result() if done else default


def run_check(check: Check) -> Finding:
    """Run a check and return its result with the duration."""
    started, failure = clock.monotonic(), ""
    try:
        check.run()
    except Exception as error:  # noqa: BLE001  (any exception of a driver is a failure)
        failure = failure_class(error)
        # Without the error's text, which may contain hosts and credentials.
        logger.warning("Health: %s: %s (%s)", check.engine(), failure, type(error).__name__)
    return Finding(check.engine(), failure, clock.monotonic() - started)

"""Runs checks side by side, within a budget, and shares what they find.

Requests that come while a check runs wait for that run instead of starting another, so a backend that hangs costs a
handful of threads, however many probes come. What a run found is told for a second from its beginning, so a storm of
probes asks each question once a second, and nobody is told what was longer ago.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable, Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from django.core.cache import caches
from django.db import connections

from .checks import TIMEOUT, Check, Finding, failure_class

logger = logging.getLogger(__package__)


@dataclass(frozen=True)
class Flight:
    """A run of a check that has begun. `started` in seconds of the monotonic clock."""

    result: Future[Finding] = field(default_factory=Future)
    started: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started


class Runner:
    """Runs checks, each question once at a time and once in `SHARED_SECONDS`."""

    SHARED_SECONDS = 1.0
    # A run that hangs for so long is left to itself and another is tried, so that a backend which comes back is
    # noticed though an old connection to it never ends; at most so many at once.
    ABANDONED_AFTER_SECONDS = 30.0
    MOST_FLIGHTS = 4

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, list[Flight]] = {}  # by question; the newest, and older ones that hang

    def run(self, checks: Iterable[Check], budget: float) -> dict[Check, Finding]:
        """The finding of each check, after `budget` seconds at the latest.

        A check that runs in place (`Check.in_place`) runs anew each time: what it asks is the thread's own.
        """
        deadline = time.monotonic() + budget
        wanted = list(dict.fromkeys(checks))
        flights = {check: self._join(check) for check in wanted if not check.in_place}
        findings = {check: look(check) for check in wanted if check.in_place}
        for check, flight in flights.items():
            patience = min(deadline, flight.started + budget) - time.monotonic()
            done, _ = wait([flight.result], timeout=max(patience, 0))
            findings[check] = flight.result.result() if done else Finding(check.engine(), TIMEOUT)
        return {check: findings[check] for check in wanted}

    def forget(self) -> None:
        """Ask anew from now on: the settings have changed."""
        with self._lock:
            self._flights = {}

    def _join(self, check: Check) -> Flight:
        """The run that tells, or will tell, this check's finding: the newest one, or a new one."""
        with self._lock:
            known = self._flights.get(check.question, [])
            hanging = [flight for flight in known if not flight.result.done()]
            if known and self._tells(known[-1], len(hanging)):
                return known[-1]
            flight = Flight()
            self._flights[check.question] = [*hanging, flight]
            _start(check, flight)
            return flight

    def _tells(self, flight: Flight, hanging: int) -> bool:
        if flight.result.done():
            return flight.age < self.SHARED_SECONDS
        return flight.age <= self.ABANDONED_AFTER_SECONDS or hanging >= self.MOST_FLIGHTS


def _start(check: Check, flight: Flight) -> None:
    def fly() -> None:
        try:
            flight.result.set_result(look(check))
        finally:
            # Connections and caches belong to their thread, and this one ends.
            connections.close_all()
            caches.close_all()

    # A daemon, unlike a pool's threads: one that hangs does not keep the process from ending.
    threading.Thread(target=fly, name=f"health-{type(check).__name__}", daemon=True).start()


def look(check: Check) -> Finding:
    """Run a check, and tell what it found and how long that took."""
    begun, failure = time.monotonic(), ""
    try:
        check.run()
    except Exception as error:  # noqa: BLE001  (whatever a backend's driver raises is the finding)
        failure = failure_class(error)
        # Without its text: drivers put hosts and credentials there.
        logger.warning("Health: %s: %s (%s)", check.engine(), failure, type(error).__name__)
    return Finding(check.engine(), failure, time.monotonic() - begun)

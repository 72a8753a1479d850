"""A circuit breaker: it stops calls to a service that fails, and resumes them by itself when the service recovers.

closed --a call fails or is slow--> open --a probe succeeds and stale keys are dropped--> closed

While the circuit is open no calls are made, so nobody waits; a thread probes the service. Keys whose change failed are
remembered and dropped before the circuit closes. They are lost if the process ends; the keys' TTL limits the effect.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import weakref
from collections.abc import Callable, Collection
from typing import TypeVar

from memory.backends import clock

KEYS_AT_ONCE = 500
"""Keys of Redis in one round trip."""

_SPECIAL = re.compile(r"[\\*?\[\]^-]")

T = TypeVar("T")

logger = logging.getLogger(__name__)

SLOW_SECONDS = 0.25
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0
# A circuit that opens within this time after it closed continues with growing pauses.
STABLE_SECONDS = 10.0
MOST_REMEMBERED = 100_000


def literal(text: str) -> str:
    """The glob of Redis that matches this text alone."""
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", text)


class Unavailable(Exception):
    """The call was not made or failed: the circuit is open."""


class Breaker:
    """Guards the calls to one service, for all threads of a process.

    `probe` raises one of `failures` while the service is down. `drop` deletes the given keys. `condense` replaces more
    than `MOST_REMEMBERED` keys by fewer ones that stand for them.
    """

    def __init__(
        self,
        name: str,
        probe: Callable[[], object],
        drop: Callable[[Collection[str]], object],
        failures: tuple[type[Exception], ...],
        condense: Callable[[Collection[str]], set[str]] = set,
    ) -> None:
        self.name = name
        self._probe = probe
        self._drop = drop
        self._failures = failures
        self._condense = condense
        self._condense_above = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._closed_at = 0.0
        self._open = False
        self._remembered: set[str] = set()
        self._prober: threading.Thread
        self._reset_threads()
        _breakers.add(self)

    @property
    def is_open(self) -> bool:
        """Whether calls raise `Unavailable` at once."""
        return self._open

    def call(self, operation: Callable[[], T], keys: Collection[str] = (), *, timed: bool = True) -> T:
        """The result of `operation`. If it fails, raises `Unavailable` and remembers `keys`.

        `timed=False`: it has many commands, such as a scan of all keys, and may take its time.
        """
        self._refuse_if_open(keys)
        begun = clock.monotonic()
        try:
            result = operation()
        except self._failures as error:
            self._trip(type(error).__name__, keys)
            raise Unavailable(f"{self.name}: {type(error).__name__}") from error
        if timed and clock.monotonic() - begun > SLOW_SECONDS:
            self._trip(f"a call took more than {SLOW_SECONDS} s", ())
        return result

    def forget_later(self, keys: Collection[str]) -> None:
        """Drop the keys before the circuit closes; opens the circuit."""
        self._trip("a change failed", keys)

    def stop(self) -> None:
        """End the probing; the state of the circuit does not change."""
        self._stopped.set()

    def _refuse_if_open(self, keys: Collection[str]) -> None:
        if not self._open:
            return
        with self._lock:
            if not self._open:
                return
            self._remember(keys)
            self._ensure_probing()
        raise Unavailable(f"{self.name}: the circuit is open")

    def _trip(self, reason: str, keys: Collection[str]) -> None:
        with self._lock:
            self._remember(keys)
            opened, self._open = not self._open, True
            if opened:
                stable = clock.monotonic() - self._closed_at > STABLE_SECONDS
                self._pause = FIRST_PAUSE_SECONDS if stable else min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            self._ensure_probing()
        if opened:
            logger.warning("%s is not used until it recovers: %s.", self.name, reason)

    def _remember(self, keys: Collection[str]) -> None:
        self._remembered.update(keys)
        if len(self._remembered) > max(MOST_REMEMBERED, self._condense_above):
            self._remembered = self._condense(self._remembered)
            self._condense_above = 2 * len(self._remembered)  # what cannot be condensed is not tried again at once

    def _ensure_probing(self) -> None:
        if not self._prober.is_alive() and not self._stopped.is_set():
            self._prober = threading.Thread(target=self._recover, name=f"probe of {self.name}", daemon=True)
            self._prober.start()

    def _recover(self) -> None:
        while not self._stopped.wait(self._pause):
            try:
                self._probe()
                if self._drop_remembered():
                    logger.warning("%s is used again.", self.name)
                    return
            except self._failures:
                self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)

    def _drop_remembered(self) -> bool:
        """Drop the remembered keys, and those added meanwhile. Returns whether the circuit closed."""
        while not self._stopped.is_set():
            with self._lock:
                batch, self._remembered = self._remembered, set()
                if not batch:
                    self._open, self._closed_at = False, clock.monotonic()
                    return True
            try:
                self._drop(batch)
            except self._failures:
                with self._lock:
                    self._remember(batch)
                raise
        return False

    def _reset_threads(self) -> None:
        # A fork copies neither threads nor the locks that they held.
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._prober = threading.Thread()


_breakers: weakref.WeakSet[Breaker] = weakref.WeakSet()


def _after_fork() -> None:
    for breaker in list(_breakers):
        breaker._reset_threads()


os.register_at_fork(after_in_child=_after_fork)


def stop_all() -> None:
    """End all probing in this process, for tests whose servers are gone."""
    for breaker in list(_breakers):
        breaker.stop()

"""Deadlines and pauses are about real time, also where a test has frozen the clock."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import freezegun
import pytest
import time_machine
from django.db import OperationalError, transaction

from memory.backends import clock
from memory.backends.firestore.rpc import channel
from memory.backends.firestore.rpc.executor import Executor
from memory.backends.firestore.values.auto_ids import AUTO_IDS
from tests.engine.app.models import Note

PAST = dt.datetime(2015, 6, 1, tzinfo=dt.UTC)
FUTURE = dt.datetime(2080, 6, 1, tzinfo=dt.UTC)

Freeze = Callable[[], AbstractContextManager[Any]]
TOOLS: dict[str, Freeze] = {
    "freezegun, past": lambda: freezegun.freeze_time(PAST),
    "freezegun, future": lambda: freezegun.freeze_time(FUTURE),
    "freezegun, ticking": lambda: freezegun.freeze_time(PAST, tick=True),
    "time-machine, past": lambda: time_machine.travel(PAST, tick=False),
    "time-machine, future": lambda: time_machine.travel(FUTURE, tick=True),
    "mock": lambda: mock.patch("time.time", return_value=PAST.timestamp()),
}


@pytest.fixture(params=TOOLS.values(), ids=TOOLS)
def frozen(request: pytest.FixtureRequest) -> Freeze:
    """One way to freeze the clock."""
    made: Freeze = request.param
    return made


@pytest.mark.django_db(transaction=True)
def test_reads_writes_and_transactions_work(frozen: Freeze) -> None:
    """In the past, every deadline would have passed."""
    with frozen():
        Note.objects.create(id="a", reads=1)
        with transaction.atomic():
            note = Note.objects.select_for_update().get(id="a")
            note.reads += 1
            note.save()
        assert list(Note.objects.filter(owner="ann").values_list("reads", flat=True)) == [2]


def test_an_unreachable_server_times_out(frozen: Freeze) -> None:
    """After the real timeout: neither at once nor never."""
    target = channel.target({"HOST": "localhost:1", "PROJECT": "p"})
    unreachable = Executor(target, timeout=0.5, wrap_call=lambda description, send: send(), log=lambda rpc: None)
    began = time.clock_gettime(time.CLOCK_MONOTONIC)
    with frozen(), pytest.raises(OperationalError):
        unreachable.collections()
    assert time.clock_gettime(time.CLOCK_MONOTONIC) - began < 10


def test_the_clock_is_real(frozen: Freeze) -> None:
    """And the difference to the frozen one is known."""
    real, began = time.time(), clock.monotonic()
    assert clock.shift() == 0
    with frozen():
        assert abs(time.time() + clock.shift() - real) < 10
        time.sleep(0.01)
        assert 0.01 <= clock.monotonic() - began < 10


def test_ids_by_time_follow_the_real_clock(frozen: Freeze) -> None:
    """So that processes whose clocks are frozen at the same time create different ids."""
    before = AUTO_IDS["time"]()
    with frozen():
        assert before < AUTO_IDS["time"]() < before + 60_000_000

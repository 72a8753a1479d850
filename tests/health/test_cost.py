"""The cost of many probes in Firestore reads and Redis commands."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memory.testing.redis import RedisServer
from tests import live
from tests.faults.meter import Bill, Meter
from tests.waiting import wait_until

PROBES, SECONDS = 200, 2.0


@pytest.mark.redis
@pytest.mark.firestore_emulator
def test_many_probes_cost_one_read_per_second(
    tmp_path: Path, firestore_emulator: str, firestore_project: str, redis_server: RedisServer
) -> None:
    """200 probes in 2 s by 20 clients cost at most three Firestore reads and three Redis writes."""
    live.make_databases(tmp_path)
    bill = Bill()
    with (
        Meter(firestore_emulator, bill) as meter,
        live.service(
            tmp_path,
            APP_ENV="staging",
            MEMORY_DATABASE_URL="",
            GCP_PROJECT_ID=firestore_project,
            FIRESTORE_EMULATOR_HOST=meter.address,
            REDIS_URL=redis_server.url,
            WEB_THREADS="32",
        ) as service,
        ThreadPoolExecutor(20) as pool,
    ):
        # The first query of an emulator may take longer than the time limit of health.
        wait_until(lambda: service.request("/api/health").json()["status"] == "ok", "the service is healthy", 30)
        time.sleep(1)
        bill.clear()
        redis_server.client().config_resetstat()
        begun = time.monotonic()

        def probe(number: int) -> int:
            time.sleep(max(0.0, begun + number * SECONDS / PROBES - time.monotonic()))
            return service.request("/api/health").status_code

        assert set(pool.map(probe, range(PROBES))) == {200}
        seconds = time.monotonic() - begun
    allowed = 1 + int(seconds)
    assert seconds >= SECONDS * 0.99
    assert 1 <= sum(bill.calls.values()) <= allowed
    assert bill.written == []
    commands = redis_server.client().info("commandstats")
    assert 1 <= commands["cmdstat_set"]["calls"] <= allowed
    assert commands["cmdstat_get"]["calls"] <= allowed

"""The short version of the soak of the service; the long one is `python -m tests.soak.service`."""

import pytest

from .service import Soak

pytestmark = [pytest.mark.redis, pytest.mark.long]


def test_nothing_is_lost_or_doubled_while_everything_fails() -> None:
    """Latencies are not asserted here, since a busy machine adds to them."""
    outcome = Soak(seconds=40, clients=4, seed=20, every=4).run()
    assert [problem for problem in outcome.problems if not problem.startswith("live took")] == []
    assert outcome.items > 50
    assert sum(outcome.faults.values()) >= 3
    assert len(outcome.live) > 20

"""The short version of the soak of contention; the long one is `python -m tests.soak.contention`."""

import pytest

from .contention import run

pytestmark = [pytest.mark.embedded, pytest.mark.long]


def test_requests_for_the_same_records_do_not_fail() -> None:
    """Eight clients at once; nothing is lost."""
    outcome = run(rounds=2, clients=8)
    assert outcome.problems == []
    assert sum(sum(counted.values()) for counted in outcome.statuses.values()) == 2 * (8 + 2 + 8)

"""The short version of the soak; the long one is `python -m tests.soak.coherence`."""

import pytest

from .coherence import Soak

pytestmark = [pytest.mark.redis]


def test_no_reader_is_behind_while_everything_breaks() -> None:
    """No read tells less than was acknowledged before it, and in the end the cache equals the database."""
    outcome = Soak(seconds=20, processes=4, conversations=8, seed=20, database=None).run()
    assert not outcome.wrong
    assert outcome.counts["reads"] > 50
    assert outcome.counts["writes"] > 20
    assert outcome.compared

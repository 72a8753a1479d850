"""The short version of the soak; the long one is `python -m tests.soak.coherence`."""

import pytest

from .coherence import Soak

pytestmark = [pytest.mark.redis]


def test_no_reader_is_behind_while_everything_breaks() -> None:
    """Every read includes the writes acknowledged before it, and in the end the cache equals the database."""
    outcome = Soak(seconds=20, processes=4, conversations=8, seed=20, database=None).run()
    assert not outcome.wrong
    assert outcome.counts["reads"] > 50
    assert outcome.counts["writes"] > 20
    assert min(outcome.ways.values()) > 0, "every path is written on"
    assert outcome.compared


@pytest.mark.firestore_emulator
def test_no_reader_is_behind_on_firestore(firestore_emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on Firestore, where a commit may wait for others' locks."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_emulator)
    outcome = Soak(seconds=12, processes=3, conversations=6, seed=20, database=None).run()
    assert not outcome.wrong
    assert outcome.counts["reads"] > 50
    assert outcome.counts["writes"] > 20
    assert outcome.compared

"""What a worker loads before it accepts requests."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from orchestra.warm import warm_up


class Loaded:
    """A reranker that counts how often it was made."""

    made: ClassVar[int] = 0

    def __init__(self) -> None:
        Loaded.made += 1

    def name(self) -> str:
        return "loaded"

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """No order."""
        return [0.0] * len(texts)


def test_a_worker_loads_the_reranker(settings: Any) -> None:
    """Once: the first search does not wait for its model."""
    settings.MEMORY = {**settings.MEMORY, "RERANKER": f"{__name__}.Loaded"}
    warm_up()
    warm_up()
    assert Loaded.made == 1


def test_a_worker_starts_without_a_reranker_that_cannot_be_loaded(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged."""
    settings.MEMORY = {**settings.MEMORY, "RERANKER": "no.such.Reranker"}
    warm_up()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "The reranker cannot be used."
    ]

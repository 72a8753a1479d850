"""Rerankers: their order, the deadline, and the fallback to the search's own order."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import pytest

from memory.models import MemoryItem
from memory.search import reranking
from memory.search.rerankers.cross_encoder import CrossEncoderReranker
from memory.search.reranking import MOST_AT_ONCE, MOST_CHARACTERS, MOST_RERANKED, RerankerError, make_reranker, reranked

TEXTS = ["long text", "mid", "a"]


class Shortest:
    """Short texts are the best."""

    seen: list[str] = []

    def name(self) -> str:
        return "shortest"

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """Their negative lengths."""
        Shortest.seen = list(texts)
        return [-len(text) for text in texts]


class Likely(Shortest):
    """Texts with "4" answer with certainty, others hardly."""

    probabilities = True

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """1 or 0.01."""
        return [1.0 if "4" in text else 0.01 for text in texts]


class NoProbabilities(Likely):
    """Returns numbers that are none."""

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """1.5."""
        return [1.5] * len(texts)


class Failing(Shortest):
    """Raises an error."""

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """Fails."""
        raise KeyError("secret")


class TooFew(Shortest):
    """Returns too few numbers."""

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """One number."""
        return [1.0]


class NotANumber(Shortest):
    """Returns NaN."""

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """NaN."""
        return [float("nan")] * len(texts)


class Words(Shortest):
    """Returns words."""

    def score(self, question: str, texts: Sequence[str]) -> Any:
        """No numbers."""
        return ["good"] * len(texts)


class Late(Shortest):
    """Returns when `go` is set."""

    go = threading.Event()

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """Waits."""
        Late.go.wait(30)
        return super().score(question, texts)


class Unloadable:
    """Cannot be made."""

    def __init__(self) -> None:
        raise OSError("no such model")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    reranking._log_once.cache_clear()
    yield
    Late.go.set()


def use(settings: Any, name: str | None, **more: Any) -> None:
    path = None if name is None else f"{__name__}.{name}"
    settings.MEMORY = {**settings.MEMORY, "RERANKER": path, **more}


def order(texts: Sequence[str]) -> list[int]:
    return [place for place, _ in reranked("q", texts)]


def test_a_reranker_orders_the_first_results(settings: Any) -> None:
    """It sees at most 50 texts, cut to a length; later results keep their places."""
    use(settings, "Shortest")
    assert reranked("q", TEXTS) == [(2, None), (1, None), (0, None)]
    assert order(["x" * (100 - number) for number in range(60)]) == [*range(49, -1, -1), *range(50, 60)]
    assert len(Shortest.seen) == MOST_RERANKED
    reranked("q", ["y" * 100_000, "z"])
    assert len(Shortest.seen[0]) == MOST_CHARACTERS


def test_without_a_reranker_the_order_stays(settings: Any) -> None:
    """Equal scores keep their order, too."""
    use(settings, None)
    assert order(TEXTS) == [0, 1, 2]
    use(settings, "Shortest")
    assert order(["a", "b", "c"]) == [0, 1, 2]
    Shortest.seen = []
    assert order(["a"]) == [0]
    assert Shortest.seen == []


FAILING = ("Failing", "TooFew", "NotANumber", "NoProbabilities", "Words", "Unloadable", "Missing", "TEXTS")


@pytest.mark.parametrize("name", FAILING)
def test_a_failing_reranker_changes_nothing_and_is_logged_once(
    settings: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Whatever it raises or returns; neither its message nor a text is logged."""
    use(settings, name)
    for _ in range(3):
        assert reranked("what?", TEXTS) == [(0, None), (1, None), (2, None)]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "long text" not in caplog.text
    assert "secret" not in caplog.text


def test_a_late_reranker_changes_nothing(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The search ends at the deadline; calls that still run are bounded, and others do not wait behind them."""
    use(settings, "Late", RERANKER_TIMEOUT=0.05)
    Late.go.clear()
    began = time.monotonic()
    for _ in range(MOST_AT_ONCE + 3):
        assert order(TEXTS) == [0, 1, 2]
    assert time.monotonic() - began < 10
    assert "did not return scores within 0.05 s" in caplog.text
    assert f"All {MOST_AT_ONCE} calls" in caplog.text
    Late.go.set()
    deadline = time.monotonic() + 20
    use(settings, "Shortest", RERANKER_TIMEOUT=20.0)
    while order(TEXTS) != [2, 1, 0]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def saved(*texts: str) -> None:
    for number, text in enumerate(texts):
        MemoryItem.objects.create(
            user_id="ada", session_id="s", item_type="message", text_content=text, id=f"i{number}"
        )


@pytest.mark.django_db(databases=["default", "memory"])
def test_probabilities_of_a_reranker_are_scores_which_min_score_cuts(settings: Any) -> None:
    """Also what the search itself has a low score for is found, and one result is judged, too."""
    saved("The parcel has left Bergen.", "Parcels are at the desk.", "The number is 4711.")
    use(settings, "Likely", RERANKER_TIMEOUT=20.0)
    found = MemoryItem.objects.search("Where is the parcel?", user_id="ada", min_score=0.9)
    assert [(item.pk, item.score) for item in found] == [("i2", 1.0)]
    every = MemoryItem.objects.search("Where is the parcel?", user_id="ada")
    assert [item.score for item in every] == [1.0, 0.01, 0.01]
    assert not MemoryItem.objects.filter(pk="i0").search("Where is the parcel?", user_id="ada", min_score=0.5)


@pytest.mark.django_db(databases=["default", "memory"])
def test_min_score_cuts_the_own_scores_if_a_reranker_fails(settings: Any) -> None:
    """And the order is the search's own."""
    saved("The parcel has left Bergen.", "Parcels are at the desk.", "The number is 4711.")
    own = MemoryItem.objects.search("Where is the parcel?", user_id="ada")
    use(settings, "NoProbabilities")
    found = MemoryItem.objects.search("Where is the parcel?", user_id="ada", min_score=own[0].score)
    assert [(item.pk, item.score) for item in found] == [(own[0].pk, own[0].score)]


def test_make_reranker_names_the_problem() -> None:
    """Of the path, the class or its making."""
    for path, problem in (
        (5, "must be a dotted path"),
        ("no.such.Reranker", "cannot be loaded"),
        (f"{__name__}.Unloadable", "no such model"),
        ("builtins.dict", "lacks `name` or `score`"),
    ):
        with pytest.raises(RerankerError, match=problem):
            make_reranker(path)


class Scores(list[float]):
    """Like an array."""

    def tolist(self) -> list[float]:
        return list(self)


def test_cross_encoder_scores_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the question and each text; nothing is downloaded."""
    made: list[Any] = []

    class CrossEncoder:
        def __init__(self, model: str, **options: Any) -> None:
            made.append((model, options))
            if model == "absent":
                raise OSError("not in the cache")

        def predict(self, pairs: Sequence[tuple[str, str]], **options: Any) -> Scores:
            return Scores(float(len(question) + len(text)) for question, text in pairs)

    module = ModuleType("sentence_transformers")
    module.CrossEncoder = CrossEncoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    reranker = CrossEncoderReranker("some-model")
    assert made.pop() == ("some-model", {"local_files_only": True})
    assert reranker.name() == "some-model"
    assert not reranker.probabilities
    assert CrossEncoderReranker("some-model", probabilities=True).probabilities
    assert reranker.score("ab", ["c", "def"]) == [3.0, 5.0]
    with pytest.raises(RerankerError, match="download it first"):
        CrossEncoderReranker("absent")


def test_cross_encoder_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(RerankerError, match=r"orchestra-memory\[sentence-transformers\]"):
        CrossEncoderReranker()

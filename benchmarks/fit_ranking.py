"""Fits the weights of the search's ranking on the tuning halves of the labelled memories, and measures them.

    python -m benchmarks.fit_ranking              leave each kind out in turn, and print recall@10
    python -m benchmarks.fit_ranking --write      and write memory/search/weights.py
    python -m benchmarks.fit_ranking --heldout    measure the written weights on the held-out halves
    python -m benchmarks.fit_ranking --every 20   with one of 20 questions: whether it runs, in a minute or two

The fit is a conditional logit (McFadden 1974): each turn of the evidence against all other candidates. Every kind has
about the same weight, whatever the number of its questions. A further kind are words of the memories themselves, as
they are typed into a search box (`tests/search/data/keywords.py`). Weights for the shapes of memories and questions are
penalised more, so that a shape only counts where the data are clear about it. A kind is left out with all that was
written with it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import django
import numpy as np
from numpy.typing import NDArray

from memory.embedding import Embedder
from memory.search.asking import asked
from memory.search.confidence import SIGNALS, common, signals
from memory.search.embedders.multilingual import MultilingualEmbedder
from memory.search.evaluation import in_memory
from memory.search.features import FEATURES, features
from memory.search.labelled import Conversation, read_conversations
from memory.search.postings import LONG, SHORT, Postings
from memory.search.relevance import SHAPES, shapes
from memory.search.view import View
from memory.search.weights import CONFIDENCE, NOTHING_BELOW, WEIGHTS
from tests.search.data.keywords import KIND, MOST_WORDS, keyword_labels

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "search" / "data"
WRITTEN = ROOT / "memory" / "search" / "weights.py"
KINDS = ("arabic", "assistant", "chinese", "facts", "german", "japanese", "mixed", "spanish", "support", "tools")
FILES = {
    "tuning": ("friends.json", "tuning.json", *(f"kinds/{kind}_tuning.json" for kind in KINDS)),
    "heldout": ("friends_heldout.json", "heldout.json", *(f"kinds/{kind}_heldout.json" for kind in KINDS)),
}
TOGETHER = {"oblique": "plain"}  # kinds whose questions are about the same conversations
PENALTY = 2.0
PENALTIES = {"every": 1.0, "equals": 4.0, "unspaced": 10.0, "brief": 2.0}
BALANCE = 0.7  # 1: every kind has the same weight; 0: every question
CUT = 10
ROUNDS = 60
WEIGHT = 1_000.0  # of all questions together
HARDEST = 160  # candidates beside the evidence that a question is fitted with
STRANGERS = 2  # questions of each file that are asked of all conversations of the others
SHARE_OF_STRANGERS = 0.25
NONSENSE = ("zzz qqq", "asdf jkl", "xqwv brrt plok", "lorem ipsum dolor", "ßßß ŋŋŋ")
SHOWN = (0.03, 0.05, 0.1, 0.2, 0.3)  # least scores
KEPT = 0.965  # share of the found evidence at or above the default `min_score`
DIGITS = 3

HEAD = '''"""The weights of the features: written by `python -m benchmarks.fit_ranking --write`."""

WEIGHTS: dict[str, dict[str, float]] = {'''
WORDS_ONLY = """}

BY_WORDS: dict[str, dict[str, float]] = {"""
MIDDLE = '''}
"""Those if a question or the memory has no vectors."""

CONFIDENCE: dict[str, float] = {'''
TAIL = '''}}

NOTHING_BELOW = {least}
"""The documented default of `min_score`."""
'''

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A question, its candidates' features and shapes, and which of them are evidence.

    `group` is the kind of the memory; all that was written with it is left out together.
    """

    kind: str
    group: str
    question: str
    places: NDArray[Any]
    evidence: frozenset[int]
    values: Floats
    shapes: Floats
    bm25: tuple[frozenset[int], ...]
    common: Floats
    asked_of_others: bool = False

    def found(self, places: Iterable[int]) -> float:
        """The share of the evidence among these places."""
        return len(self.evidence.intersection(places)) / len(self.evidence)

    @property
    def columns(self) -> NDArray[np.float32]:
        """The features once for every shape."""
        return np.concatenate([self.values * share for share in self.shapes], axis=1).astype(np.float32)


def measured(half: str, by_words: bool = False, every: int = 1) -> list[Measured]:
    """One of `every` questions of a half, and some that are asked of memories of other kinds.

    `by_words`: without vectors.
    """
    embedder = None if by_words else MultilingualEmbedder()
    files = {file: read_conversations((DATA / file).read_text("utf-8")) for file in FILES[half]}
    some = {file: _some_questions(conversations) for file, conversations in files.items()}
    return [
        one
        for file, conversations in files.items()
        for one in _of_file(
            conversations, [text for other, texts in some.items() if other != file for text in texts], embedder, every
        )
    ]


def _some_questions(conversations: Sequence[Conversation]) -> list[str]:
    """Questions that most other memories cannot answer."""
    texts = [label.question for one in conversations for label in one.labels]
    return texts[:: max(1, len(texts) // STRANGERS)][:STRANGERS]


def _of_file(
    conversations: Sequence[Conversation], strangers: Sequence[str], embedder: Embedder | None, every: int
) -> list[Measured]:
    """One of `every` questions of a file, and `strangers` and nonsense asked of each of its conversations."""
    found = []
    for conversation, corpus in in_memory(conversations, embedder):
        group = TOGETHER.get(conversation.labels[0].kind, conversation.labels[0].kind)
        places = {identity: place for place, identity in enumerate(corpus.ids)}
        for label in (*conversation.labels[::every], *keyword_labels(conversation, corpus)[::every]):
            view = View(asked(label.question, embedder, asker=label.asker), corpus)
            found.append(_measured(label.kind, group, view, frozenset(places[one] for one in label.evidence)))
        for text in (*strangers, *NONSENSE)[::every]:
            view = View(asked(text, embedder), corpus)
            found.append(replace(_measured(group, group, view, frozenset()), asked_of_others=True))
    return found


def _measured(kind: str, group: str, view: View, evidence: frozenset[int]) -> Measured:
    made = features(view)
    words = Postings(view.corpus, view.terms)
    bm25 = tuple(_first_ten(words.scores(how)) for how in (SHORT, LONG))
    values = made.values.astype(np.float32)
    of = (kind, group, view.question.text, view.places, evidence)
    return Measured(*of, values, shapes(view), bm25, common(view, made))


def _first_ten(scores: Floats) -> frozenset[int]:
    order = np.argsort(-scores, kind="stable")[:10]
    return frozenset(order[scores[order] > 0].tolist())


class Fit:
    """The loss of weights on some questions, and its minimum.

    The weights of all shapes but `brief` are fitted on questions of people, and then, with these, the weights of
    `brief` on words as typed into a search box.
    """

    def __init__(self, questions: Sequence[Measured]) -> None:
        found = [one for one in questions if np.isin(one.places, list(one.evidence)).any()]
        count = len(FEATURES) * SHAPES.index("brief")
        self.asked = _Part([one for one in found if one.kind != KIND], slice(count))
        self.typed = _Part([one for one in found if one.kind == KIND], slice(count, None))

    def minimum(self, without: str | None = None, start: Floats | None = None) -> Floats:
        """The best weights, fitted without a group."""
        weights = self.asked.minimum(np.zeros(len(SHAPES) * len(FEATURES)), without, start)
        kinds = len(set(self.asked.kinds))
        return self.typed.minimum(weights, without, start, WEIGHT / kinds)


class _Part:
    """Some questions, and the columns whose weights are fitted on them."""

    def __init__(self, questions: Sequence[Measured], columns: slice) -> None:
        chosen = [_hardest(one) for one in questions]
        self.columns = columns
        self.rows = np.concatenate([one.columns[some] for one, some in zip(questions, chosen, strict=True)])
        self.lengths = np.array([len(some) for some in chosen])
        self.evidence = np.concatenate(
            [np.isin(one.places[some], list(one.evidence)) for one, some in zip(questions, chosen, strict=True)]
        )
        self.kinds = [one.kind for one in questions]
        self.groups = np.array([one.group for one in questions])
        self.balanced = np.array([one.group if one.kind == KIND else one.kind for one in questions])
        spread = np.sqrt((self.rows[:, columns].astype(np.float64) ** 2).mean(axis=0))
        penalties = np.repeat([PENALTIES[shape] for shape in SHAPES], len(FEATURES))[columns] ** 0.5
        self.scale = (1 / (np.maximum(spread, 1e-3) * penalties)).astype(np.float32)

    def minimum(self, weights: Floats, without: str | None, start: Floats | None, total: float = WEIGHT) -> Floats:
        """The weights with the best ones in the columns, fitted without a group; `total` of all questions together."""
        used = self.groups != without
        kinds, counts = np.unique(self.balanced[used], return_counts=True)
        share = dict(zip(kinds.tolist(), (counts**-BALANCE).tolist(), strict=True))
        weight = np.array([share[kind] for kind in self.balanced[used].tolist()])
        some = np.repeat(used, self.lengths)
        given = (self.rows[some] @ weights.astype(np.float32)).astype(np.float64)
        rows = self.rows[some][:, self.columns] * self.scale
        loss = _loss(rows, self.evidence[some], self.lengths[used], weight * total / weight.sum(), given)
        at = np.zeros(rows.shape[1]) if start is None else start[self.columns] / self.scale
        found = weights.copy()
        found[self.columns] = minimised(loss, at) * self.scale
        return found


def _hardest(one: Measured) -> NDArray[Any]:
    """The evidence and the other candidates that simple features find most."""
    columns = [FEATURES.index(name) for name in ("m:short", "m:gain", "z:centred", "z:related")]
    order = np.argsort(-one.values[:, columns].sum(axis=1), kind="stable")
    return np.union1d(order[:HARDEST], np.flatnonzero(np.isin(one.places, list(one.evidence))))


def _loss(
    rows: NDArray[np.float32], evidence: NDArray[np.bool_], lengths: NDArray[Any], weight: Floats, given: Floats
) -> Callable[[Floats], tuple[float, Floats]]:
    """The penalised negative log-likelihood of weights, and its gradient. `given` are added to the scores."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    of = np.repeat(np.arange(len(lengths)), lengths)
    each = (weight / np.add.reduceat(evidence.astype(np.float64), starts))[of]

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = (rows @ weights.astype(np.float32)).astype(np.float64) + given
        high = np.exp(scores - np.maximum.reduceat(scores, starts)[of])
        others = np.add.reduceat(np.where(evidence, 0.0, high), starts)[of]
        share = np.where(evidence, high / np.maximum(high + others, 1e-300), 1.0)
        pull = np.add.reduceat(np.where(evidence, each / np.maximum(high + others, 1e-300), 0.0), starts)[of]
        slope = np.where(evidence, (share - 1) * each, high * pull)
        value = -(np.log(np.maximum(share, 1e-300)) * each).sum() + PENALTY / 2 * weights @ weights
        return float(value), (rows.T @ slope.astype(np.float32)).astype(np.float64) + PENALTY * weights

    return loss


def minimised(loss: Callable[[Floats], tuple[float, Floats]], start: Floats, memory: int = 10) -> Floats:
    """The minimum of a smooth convex function by L-BFGS (Nocedal & Wright 2006, algorithm 7.5)."""
    at, (value, slope) = start, loss(start)
    steps: list[tuple[Floats, Floats]] = []
    for _ in range(ROUNDS):
        direction, held = -slope, []
        for step, change in reversed(steps):
            factor = step @ direction / (step @ change)
            held.append(factor)
            direction = direction - factor * change
        if steps:
            step, change = steps[-1]
            direction = direction * (step @ change / (change @ change))
        for (step, change), factor in zip(steps, reversed(held), strict=True):
            direction = direction + step * (factor - change @ direction / (step @ change))
        length = 1.0 if steps else min(1.0, 1 / np.abs(slope).sum())
        while True:
            new = at + length * direction
            new_value, new_slope = loss(new)
            if new_value <= value + 1e-4 * length * (slope @ direction) or length < 1e-10:
                break
            length /= 2
        if value - new_value < 1e-7 * abs(value):
            return new
        if (new - at) @ (new_slope - slope) > 0:
            steps = [*steps, (new - at, new_slope - slope)][-memory:]
        at, value, slope = new, new_value, new_slope
    return at


def ranked(one: Measured, weights: Floats) -> tuple[NDArray[Any], Floats]:
    """The first candidates, best first, and their signals."""
    scores = one.columns @ weights
    order = np.argsort(-scores, kind="stable")[:CUT]
    return order, signals(one.common, scores.astype(np.float64))[order]


def recall(one: Measured, weights: Floats) -> float:
    """The share of a question's evidence among the first candidates."""
    return one.found(one.places[ranked(one, weights)[0]].tolist())


@dataclass(frozen=True)
class Results:
    """The first results of many questions: their signals, whether they are evidence, and their questions."""

    signals: Floats
    evidence: NDArray[np.bool_]
    of: NDArray[Any]
    kinds: NDArray[Any]
    asked_of_others: NDArray[np.bool_]
    answerable: NDArray[np.bool_]

    @classmethod
    def of_questions(cls, questions: Sequence[Measured], weights: Floats) -> Results:
        found = [(number, one, *ranked(one, weights)) for number, one in enumerate(questions)]
        return cls(
            np.concatenate([some for *_, some in found]),
            np.concatenate([np.isin(one.places[order], list(one.evidence)) for _, one, order, _ in found]),
            np.concatenate([np.full(len(order), number) for number, _, order, _ in found]),
            np.concatenate([np.full(len(order), one.kind) for _, one, order, _ in found]),
            np.concatenate([np.full(len(order), one.asked_of_others) for _, one, order, _ in found]),
            np.concatenate([np.full(len(order), bool(one.evidence)) for _, one, order, _ in found]),
        )

    def calibrated(self) -> Floats:
        """The weights of the signals: a logistic regression in which every kind has the same weight."""
        weight = np.zeros(len(self.of))
        for kind in np.unique(self.kinds):
            ours, others = (self.kinds == kind) & ~self.asked_of_others, (self.kinds == kind) & self.asked_of_others
            weight[ours] = (1 - SHARE_OF_STRANGERS) / max(1, ours.sum())
            weight[others] = SHARE_OF_STRANGERS / max(1, others.sum())
        weight *= 1_000 / weight.sum()
        spread = np.maximum(self.signals.std(axis=0), 1e-3)
        spread[-1] = 1.0  # the constant
        rows, penalty = self.signals / spread, np.where(np.arange(len(SIGNALS)) == len(SIGNALS) - 1, 0.0, 1.0)

        def loss(weights: Floats) -> tuple[float, Floats]:
            sums = rows @ weights
            value = (weight * (np.logaddexp(0, sums) - self.evidence * sums)).sum() + (penalty * weights**2).sum() / 2
            slope = weight * (1 / (1 + np.exp(-sums)) - self.evidence)
            return float(value), rows.T @ slope + penalty * weights

        return minimised(loss, np.zeros(len(SIGNALS))) / spread

    def measures(self, weights: Floats, least: float | None = None) -> dict[str, float]:
        """How well scores are calibrated, and what a least score refuses and loses (default: one that keeps `KEPT`)."""
        scores = 1 / (1 + np.exp(-(self.signals @ weights)))
        ours = ~self.asked_of_others
        least = float(np.quantile(scores[self.evidence & ours], 1 - KEPT)) if least is None else least
        tenth = np.minimum((scores * 10).astype(int), 9)
        gaps = [
            abs(scores[some].mean() - self.evidence[some].mean()) * some.sum()
            for some in (ours & (tenth == one) for one in range(10))
            if some.any()
        ]
        best = np.zeros(self.of.max() + 1)
        np.maximum.at(best, self.of, scores)
        first = np.unique(self.of, return_index=True)[1]
        kept = ours & (scores >= least)
        none = ours[first] & ~self.answerable[first]
        return {
            "least": least,
            "calibration error": float(sum(gaps) / ours.sum()),
            "evidence lost": _mean(scores[self.evidence & ours] < least),
            "precision": _mean(self.evidence[kept]),
            "refused": _mean(best[none] < least),
            "others refused": _mean(best[self.asked_of_others[first]] < least),
        }


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def by_kind(questions: Sequence[Measured], value: Callable[[Measured], float]) -> dict[str, float]:
    """The mean of a value over the answerable questions of each kind, in percent."""
    found: dict[str, list[float]] = {}
    for one in questions:
        if one.evidence:
            found.setdefault(one.kind, []).append(value(one))
    return {kind: 100 * float(np.mean(values)) for kind, values in sorted(found.items())}


def table_of(weights: Floats) -> dict[str, dict[str, float]]:
    """The weights by feature and shape, without zeros."""
    rounded = weights.reshape(len(SHAPES), len(FEATURES)).round(DIGITS)
    return {
        name: {shape: float(rounded[row, column]) for row, shape in enumerate(SHAPES) if rounded[row, column]}
        for column, name in enumerate(FEATURES)
    }


def stored() -> Floats:
    """The weights in memory/search/weights.py."""
    return np.array([WEIGHTS.get(name, {}).get(shape, 0.0) for shape in SHAPES for name in FEATURES])


def shown(columns: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table of kinds, the worst of the last column first."""
    last = list(columns)[-1]
    print(f"{'kind':10}", *(f"{name:>12}" for name in columns))
    for kind in sorted(columns[last], key=lambda kind: columns[last][kind]):
        print(f"{kind:10}", *(f"{values[kind]:12.1f}" for values in columns.values()))
    print(f"{'mean':10}", *(f"{np.mean(list(values.values())):12.1f}" for values in columns.values()))


def plain(questions: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Recall@10 of exhaustive BM25 in both settings, and the share of the evidence among the candidates."""
    return {
        f"BM25 {SHORT[0]}/{SHORT[1]}": by_kind(questions, lambda one: one.found(one.bm25[0])),
        f"BM25 {LONG[0]}/{LONG[1]}": by_kind(questions, lambda one: one.found(one.bm25[1])),
        "candidates": by_kind(questions, lambda one: one.found(one.places.tolist())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--heldout", action="store_true")
    parser.add_argument("--every", type=int, default=1, help="of how many questions one is used; writes nothing")
    options = parser.parse_args()
    if options.write and options.every > 1:
        parser.error("--write needs all questions.")
    os.environ.update(APP_ENV="test", DJANGO_SETTINGS_MODULE="settings")
    django.setup()
    if options.heldout:
        questions = measured("heldout", every=options.every)
        shown({**plain(questions), "ranking": by_kind(questions, lambda one: recall(one, stored()))})
        _show_keywords(questions, lambda one: stored())
        confident = np.array([CONFIDENCE.get(name, 0.0) for name in SIGNALS])
        _show_scores(questions, stored(), confident, NOTHING_BELOW)
        return
    questions = measured("tuning", every=options.every)
    fit = Fit(questions)
    every = fit.minimum()
    left_out: dict[str, Floats] = {}
    unseen: list[dict[str, float]] = []
    for group in sorted({one.group for one in questions}):
        left_out[group] = weights = fit.minimum(without=group, start=every)
        some = [one for one in questions if one.group == group]
        rest = Results.of_questions([one for one in questions if one.group != group], weights)
        confident = rest.calibrated()
        unseen.append(Results.of_questions(some, weights).measures(confident, rest.measures(confident)["least"]))
    fitted = by_kind(questions, lambda one: recall(one, every))
    shown(
        {
            **plain(questions),
            "fitted": fitted,
            "left out": by_kind(questions, lambda one: recall(one, left_out[one.group])),
        }
    )
    _show_keywords(questions, lambda one: left_out[one.group])
    print("left out:", {name: round(float(np.nanmean([one[name] for one in unseen])), 3) for name in unseen[0]})
    results = Results.of_questions(questions, every)
    confident = results.calibrated()
    least = float(f"{results.measures(confident)['least']:.2g}")
    _show_scores(questions, every, confident, least)
    if options.write:
        by_words = Fit(measured("tuning", by_words=True)).minimum()
        rows, words_only = (
            [f'    "{name}": {json.dumps(row)},' for name, row in table_of(some).items() if row]
            for some in (every, by_words)
        )
        scores = (f'    "{name}": {value:.4g},' for name, value in zip(SIGNALS, confident.tolist(), strict=True))
        WRITTEN.write_text("\n".join((HEAD, *rows, WORDS_ONLY, *words_only, MIDDLE, *scores, TAIL.format(least=least))))


def _show_keywords(questions: Sequence[Measured], weights: Callable[[Measured], Floats]) -> None:
    """By the number of words: the share of the turns with all words among as many first results."""
    for count in range(1, MOST_WORDS + 1):
        some = [one for one in questions if one.kind == KIND and len(one.question.split()) == count]
        first = [one.found(one.places[ranked(one, weights(one))[0][: len(one.evidence)]].tolist()) for one in some]
        print(f"{KIND}, words: {count}, exact turns first: {100 * float(np.mean(first)):.1f}")


def _show_scores(questions: Sequence[Measured], weights: Floats, confident: Floats, least: float) -> None:
    for kind in ("", *sorted({one.kind for one in questions})):
        some = [one for one in questions if kind in ("", one.kind)]
        measures = Results.of_questions(some, weights).measures(confident, least)
        print(f"{kind or 'all':10}", {name: round(value, 3) for name, value in measures.items()})
    for other in (least, *SHOWN):
        measures = Results.of_questions(questions, weights).measures(confident, other)
        print({name: round(value, 3) for name, value in measures.items()})
    _show_refusals(questions, weights, confident, (least, *SHOWN))


def _show_refusals(questions: Sequence[Measured], weights: Floats, confident: Floats, least: Sequence[float]) -> None:
    """By kind and least score: the share of the evidence that is lost, and of unanswerable questions refused."""
    print(f"{'kind':10}", *(f"{one:>12}" for one in least))
    for kind in sorted({one.kind for one in questions if not one.evidence and not one.asked_of_others}):
        results = Results.of_questions([one for one in questions if one.kind == kind], weights)
        found = [results.measures(confident, one) for one in least]
        print(f"{kind:10}", *(f"{one['evidence lost']:6.2f}{one['refused']:6.2f}" for one in found))


if __name__ == "__main__":
    main()

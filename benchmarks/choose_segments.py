"""What it costs to read some segments of a large memory: `python -m benchmarks.choose_segments`.

All conversations of the tuning halves are one user's memory, in the order of time, in segments of a size. For each
share of the memory that is read: recall@10 of some questions, with the segments that `choosing` names, and with
the newest ones alone.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias
from unittest import mock

import django
import numpy as np
from numpy.typing import NDArray

from benchmarks.fit_ranking import DATA, FILES
from memory.search.asking import Asked, asked
from memory.search.corpus import Corpus
from memory.search.embedders.multilingual import MultilingualEmbedder
from memory.search.evaluation import in_memory
from memory.search.labelled import Conversation, read_conversations
from memory.search.relevance import rank
from memory.search.segments import MOST_BYTES, Segment
from memory.search.summaries import Summaries

CUT = 10
SHARES = (0.5, 0.25, 0.1)
MODEL = "model"

Label: TypeAlias = tuple[Asked, frozenset[str]]


def conversations() -> Iterator[Conversation]:
    """Those of the tuning halves, whose ids and sessions begin with their place."""
    texts = [(DATA / file).read_text("utf-8") for file in FILES["tuning"]]
    for place, one in enumerate(one for text in texts for one in read_conversations(text)):
        yield replace(
            one,
            passages=tuple(
                replace(turn, id=f"{place}/{turn.id}", session=f"{place}/{turn.session}") for turn in one.passages
            ),
            labels=tuple(
                replace(label, evidence=frozenset(f"{place}/{name}" for name in label.evidence)) for label in one.labels
            ),
        )


def segments_of(corpus: Corpus, size: int) -> dict[str, Segment]:
    """The corpus in segments, oldest first."""
    order = np.argsort(corpus.time, kind="stable")
    parts = np.array_split(order, max(1, round(len(order) / size)))
    written = np.ones(len(corpus), np.int64)
    return {f"s{place}": Segment(corpus, written).take(some) for place, some in enumerate(parts)}


def recall(question: Asked, evidence: frozenset[str], corpus: Corpus, allowed: NDArray[np.bool_] | None) -> float:
    """The share of the evidence among the first ten of the entries that are read; the others count for rarities."""
    found = {corpus.ids[one.place] for one in rank(question, corpus, allowed, CUT)}
    return len(evidence & found) / len(evidence)


def measured(segments: Mapping[str, Segment], questions: Sequence[Label]) -> Iterator[dict[str, Any]]:
    """For each share of the memory the mean recall."""
    # These need the settings.
    from memory.search import choosing
    from memory.search.directory import Directory, Listed
    from memory.search.known_filters import EVERYTHING

    names = np.array(list(segments))
    of = np.repeat(np.arange(len(names)), [len(one) for one in segments.values()])
    listed = tuple(Listed(name, len(one), MOST_BYTES // 2, "", MODEL) for name, one in segments.items())
    directory, summaries = Directory(1, listed, 1, 1, 0), Summaries.of(segments, MODEL)
    whole = Corpus.concat([one.corpus for one in segments.values()])

    def mean(read: Sequence[NDArray[np.bool_] | None]) -> float:
        found = [recall(*one, whole, allowed) for one, allowed in zip(questions, read, strict=True)]
        return round(100 * float(np.mean(found)), 1)

    size = {"segments": len(names), "bytes of a summary": summaries.nbytes // len(summaries)}
    yield {**size, "items": len(whole), "questions": len(questions), "whole": mean([None] * len(questions))}
    for share in SHARES:
        with mock.patch.object(choosing, "MOST_ITEMS", round(share * len(whole))):
            chosen = [choosing.chosen(directory, summaries, [one], EVERYTHING, MODEL) for one, _ in questions]
        read = [np.isin(names, list(some))[of] for some in chosen]
        newest = [of >= len(names) - len(some) for some in chosen]
        yield {"share": share, "chosen": mean(read), "newest": mean(newest)}


def main() -> None:
    """Print JSON lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[300, 900], help="items of a segment")
    parser.add_argument("--every", type=int, default=8, help="of how many questions one is asked")
    options = parser.parse_args()
    os.environ.update(APP_ENV="test", DJANGO_SETTINGS_MODULE="settings")
    django.setup()
    embedder = MultilingualEmbedder()
    memories = in_memory(conversations(), embedder)
    corpus = Corpus.concat([corpus for _, corpus in memories])
    labels = [label for one, _ in memories for label in one.labels if label.evidence][:: options.every]
    questions = [(asked(one.question, embedder, asker=one.asker), one.evidence) for one in labels]
    for size in options.sizes:
        for line in measured(segments_of(corpus, size), questions):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

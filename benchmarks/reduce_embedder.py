"""Writes memory/search/embedders/multilingual.npz: what the default embedder adds to the weights of its package.

    python -m benchmarks.reduce_embedder

- `reduction`: the 256 directions in which the model's vectors of 512 dimensions differ most. They keep 93 % of the
  squared length.
- `estimate`, `words`: the least squares of these vectors, and of their first 64 dimensions for single words, given the
  mean of a text's token vectors, 1, and the inverse of the number of tokens.

Computed from the texts and questions of the tuning halves of the labelled memories, and from the model's vocabulary in
all of its languages: single pieces, and random sequences of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fit_ranking import DATA, FILES
from memory.embedding import normalized
from memory.search.embedders import multilingual
from memory.search.embedders.multilingual import DIMENSION, REDUCED, WORD_DIMENSION, WORDPIECE
from memory.search.entries import read_text

PIECES, SEQUENCES, LONGEST = 30_000, 6_000, 8
SHARE_OF_PIECES = 0.3  # of a piece beside a text
PENALTY = 1e-4
SEED = 0

Floats = NDArray[np.float64]


def texts_of_tuning() -> Iterator[str]:
    """The texts, their pieces, and the questions of the tuning halves."""
    for file in FILES["tuning"]:
        for conversation in json.loads((DATA / file).read_text("utf-8"))["conversations"]:
            yield from (question["question"] for question in conversation["questions"])
            for turn in conversation["turns"]:
                yield from read_text(turn["text"]).texts


def texts_of_vocabulary() -> Iterator[str]:
    """Random pieces of the vocabulary, and sequences of them."""
    random = np.random.default_rng(SEED)
    pieces = [piece.replace(WORDPIECE, " ") for piece in multilingual.vocabulary()]
    yield from (pieces[place] for place in random.permutation(len(pieces))[:PIECES].tolist())
    for length in random.integers(2, LONGEST + 1, SEQUENCES).tolist():
        yield " ".join(pieces[place] for place in random.integers(3, len(pieces), length).tolist())


def fitted(rows: Floats, targets: Floats, weight: Floats) -> Floats:
    """The matrix that takes rows to targets: weighted least squares with a small penalty."""
    weighted = rows * weight[:, None]
    squares = rows.T @ weighted
    penalty = PENALTY * np.trace(squares) / len(squares) * np.eye(len(squares))
    found: Floats = np.linalg.solve(squares + penalty, weighted.T @ targets)
    return found


def main() -> None:
    said = [text for text in texts_of_tuning() if text.strip()]
    made = [text for text in texts_of_vocabulary() if text.strip()]
    vectors = np.concatenate([multilingual.whole(some) for some in (said, made)]).astype(np.float64)
    rows = multilingual.token_means([*said, *made]).astype(np.float64)
    weight = np.concatenate([np.ones(len(said)), np.full(len(made), SHARE_OF_PIECES)])
    _, directions = np.linalg.eigh(vectors.T @ (vectors * weight[:, None]))
    reduction = directions[:, ::-1][:, :DIMENSION]
    short = vectors @ reduction
    of_words = np.arange(len(weight)) >= len(said)
    matrices: dict[str, Any] = {
        "reduction": reduction,
        "estimate": fitted(rows, short, weight),
        "words": fitted(rows[of_words], short[of_words], weight[of_words])[:, :WORD_DIMENSION],
    }
    np.savez_compressed(REDUCED, **{name: matrix.astype(np.float16) for name, matrix in matrices.items()})
    print("kept:", round(float((short[~of_words] ** 2).sum(axis=1).mean()), 3))
    for name, some in (("estimate", ~of_words), ("words", of_words)):
        width = matrices[name].shape[1]
        cosines = (normalized(rows[some] @ matrices[name]) * normalized(short[some][:, :width])).sum(axis=1)
        print(f"{name}: mean cosine", round(float(cosines.mean()), 3))
    print(Path(REDUCED).stat().st_size, "bytes")


if __name__ == "__main__":
    main()

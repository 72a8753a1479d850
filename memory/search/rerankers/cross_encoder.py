"""A cross-encoder of sentence-transformers. Needs the optional package of that name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..reranking import RerankerError

BATCH = 32


class CrossEncoderReranker:
    """`model` is a folder, or the name of a model in the local cache: nothing is downloaded.

    `options` are those of `CrossEncoder`. With `probabilities`, its numbers are the scores of results, so the model, or
    the option `activation_fn`, must return numbers from 0 to 1. Raises `RerankerError` if the package or the model is
    missing.
    """

    def __init__(
        self, model: str = "cross-encoder/ms-marco-MiniLM-L-6-v2", *, probabilities: bool = False, **options: Any
    ) -> None:
        self._name = model
        self.probabilities = probabilities
        try:
            from sentence_transformers import CrossEncoder
        except ImportError as error:
            raise RerankerError(
                "CrossEncoderReranker needs sentence-transformers: "
                'pip install "orchestra-memory[sentence-transformers]".'
            ) from error
        try:
            self._model = CrossEncoder(model, **{"local_files_only": True, **options})
        except (OSError, ValueError) as error:
            raise RerankerError(f"The model {model!r} is not in the local cache: download it first.") from error

    def name(self) -> str:
        """The name of the model."""
        return self._name

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """The model's scores."""
        pairs = [(question, text) for text in texts]
        found: Sequence[float] = self._model.predict(pairs, batch_size=BATCH, show_progress_bar=False).tolist()
        return found

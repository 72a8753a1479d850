"""Gemini embeddings by the Gemini API or Vertex AI. Needs the optional package google-genai."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from memory.embedding import EmbedderError, Vectors, normalized

# Texts in one request: https://ai.google.dev/api/embeddings#method:-models.batchembedcontents
BATCH = 100
# Vertex AI accepts 20,000 tokens a request (a token has at least one character), and one text for Gemini models:
# https://cloud.google.com/vertex-ai/generative-ai/docs/embeddings/get-text-embeddings#api_limits
VERTEX_CHARACTERS = 20_000
ONE_AT_A_TIME = ("gemini", "maas")
ATTEMPTS = 4
TRANSIENT = [408, 429, 500, 502, 503, 504]


class GoogleEmbedder:
    """`client_options` are google-genai's (`api_key=`, or `vertexai=True, project=, location=`).

    `timeout` is the deadline of one attempt, in seconds. Transient errors are retried with backoff, up to four attempts
    in all. The service truncates texts that are too long for the model. Raises `EmbedderError`.
    """

    version = "1"
    remote = True

    def __init__(
        self, model: str = "gemini-embedding-001", dimension: int = 768, timeout: float = 10.0, **client_options: Any
    ) -> None:
        self.name, self.dimension = model, dimension
        self._genai = _package()
        retry = self._genai.types.HttpRetryOptions(attempts=ATTEMPTS, initial_delay=0.2, http_status_codes=TRANSIENT)
        given = client_options.pop("http_options", {})
        http = {"timeout": int(timeout * 1_000), "retry_options": retry, **given}
        try:
            self._client = self._genai.Client(http_options=http, **client_options)
        except ValueError as error:
            raise EmbedderError(f"google-genai has no credentials or project: {error}") from error

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, dimension); a request has as many texts as the service accepts."""
        rows = [self._embed(batch, "RETRIEVAL_DOCUMENT") for batch in self._batches(texts)]
        return np.concatenate([np.zeros((0, self.dimension), np.float32), *rows])

    def embed_query(self, text: str) -> Vectors:
        """A vector of shape (dimension,)."""
        vector: Vectors = self._embed([text], "RETRIEVAL_QUERY")[0]
        return vector

    def _batches(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        vertex = bool(self._client.vertexai)
        most = 1 if vertex and any(kind in self.name for kind in ONE_AT_A_TIME) else BATCH
        start = characters = 0
        for place, text in enumerate(texts):
            characters += len(text)
            if place - start == most or (vertex and place > start and characters > VERTEX_CHARACTERS):
                yield texts[start:place]
                start, characters = place, len(text)
        if texts:
            yield texts[start:]

    def _embed(self, texts: Sequence[str], task: str) -> Vectors:
        import httpx2  # comes with google-genai

        # The service rejects empty texts; their vectors are zeros.
        said = [place for place, text in enumerate(texts) if text.strip()]
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        if not said:
            return vectors
        types = self._genai.types
        config = types.EmbedContentConfig(task_type=task, output_dimensionality=self.dimension)
        # One content per text: some models return one vector for all parts of a content.
        contents = [types.Content(parts=[types.Part(text=texts[place])]) for place in said]
        try:
            answer = self._client.models.embed_content(model=self.name, contents=contents, config=config)
        except (self._genai.errors.APIError, httpx2.HTTPError) as error:
            raise EmbedderError(f"{self.name} failed ({type(error).__name__}): try again later.") from error
        rows = [embedding.values for embedding in answer.embeddings or []]
        if len(rows) != len(said) or any(len(row or ()) != self.dimension for row in rows):
            raise EmbedderError(
                f"{self.name} returned {len(rows)} vectors for {len(said)} texts, or a wrong dimension."
            )
        vectors[said] = rows
        return normalized(vectors)


def _package() -> Any:
    try:
        from google import genai
    except ImportError as error:
        raise EmbedderError('GoogleEmbedder needs google-genai: pip install "orchestra-memory[google]".') from error
    return genai

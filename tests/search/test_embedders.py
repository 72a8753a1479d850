"""Each embedder keeps the contract; the remote one against a server that speaks Gemini's REST."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest

from memory.search.embedders import Embedder, EmbedderError
from memory.search.embedders.google import BATCH, GoogleEmbedder
from memory.search.embedders.sentence_transformers import SentenceTransformersEmbedder
from memory.search.embedders.static import StaticEmbedder
from memory.testing.embedders import DeterministicEmbedder


class Gemini(BaseHTTPRequestHandler):
    """Answers a batch with vectors that tell the text's length; first with the statuses in `failures`."""

    failures: list[int] = []
    requests: list[Any] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.failures.pop(0) if self.failures else 200
        if status == 200:
            self.requests.append(body)
            texts = [one["content"]["parts"][0]["text"] for one in body["requests"]]
            answer: Any = {"embeddings": [{"values": [len(text), 1.0, 0.0]} for text in texts]}
        else:
            answer = {"error": {"code": status, "message": "no", "status": "UNAVAILABLE"}}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def gemini() -> Iterator[GoogleEmbedder]:
    Gemini.failures, Gemini.requests = [], []
    with HTTPServer(("127.0.0.1", 0), Gemini) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        options = {"base_url": f"http://127.0.0.1:{server.server_port}"}
        yield GoogleEmbedder(dimension=3, api_key="a-key", http_options=options)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("embedder", [StaticEmbedder(), DeterministicEmbedder()], ids=lambda one: one.name)
def test_the_contract(embedder: Embedder) -> None:
    """Shapes, lengths of 1, zeros for nothing, the same in any batch, and nothing that makes it fail."""
    assert isinstance(embedder, Embedder)
    texts = ["She painted a sunset.", "", "🎉", "a\x00b", "\ud800 word", "word " * 10_000]
    vectors = embedder.embed_documents(texts)
    assert (vectors.shape, vectors.dtype) == ((len(texts), embedder.dimension), np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    assert np.all(np.isclose(lengths, 1, atol=1e-5) | (lengths == 0))
    assert lengths[1] == 0
    np.testing.assert_allclose(embedder.embed_query(texts[0]), vectors[0], atol=1e-5)
    assert embedder.embed_documents([]).shape == (0, embedder.dimension)
    near, far = embedder.embed_documents(["A painted sunset", "The tax office is closed"]) @ vectors[0]
    assert near > far


def test_the_static_model_leaves_logging_alone() -> None:
    """Its package configures the root logger on import; a project's own configuration stands."""
    before = (list(logging.root.handlers), logging.root.level)
    StaticEmbedder().embed_query("hello")
    assert (list(logging.root.handlers), logging.root.level) == before


def test_gemini_in_batches(gemini: GoogleEmbedder) -> None:
    """A request for each hundred, told what the texts are for; an empty text is not sent and has zeros."""
    vectors = gemini.embed_documents(["x"] * BATCH + [" ", "xyz"])
    assert [len(body["requests"]) for body in Gemini.requests] == [BATCH, 1]
    assert not vectors[BATCH].any()
    np.testing.assert_allclose(vectors[-1], np.array([3, 1, 0]) / np.sqrt(10), rtol=1e-5)
    gemini.embed_query("what?")
    tasks = [body["requests"][0]["taskType"] for body in Gemini.requests]
    assert tasks == ["RETRIEVAL_DOCUMENT", "RETRIEVAL_DOCUMENT", "RETRIEVAL_QUERY"]


def test_gemini_that_stumbles_and_falls(gemini: GoogleEmbedder) -> None:
    """What passes is tried again; what stays, or cannot pass, is one clear error."""
    Gemini.failures = [503]
    assert gemini.embed_query("what?").any()
    Gemini.failures = [400]
    with pytest.raises(EmbedderError, match="gave no vectors"):
        gemini.embed_query("what?")


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        ("google.genai", lambda: GoogleEmbedder(api_key="a-key"), "google"),
        ("sentence_transformers", SentenceTransformersEmbedder, "sentence-transformers"),
    ],
)
def test_a_missing_package_is_one_sentence(module: str, make: Any, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    if module == "google.genai":
        import google

        monkeypatch.delattr(google, "genai", raising=False)
    with pytest.raises(EmbedderError, match=rf"orchestra-memory\[{extra}\]"):
        make()

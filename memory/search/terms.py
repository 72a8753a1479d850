"""Terms of texts: words, casefolded and stemmed; pairs of characters for scripts without spaces.

    terms("She's painting sunsets", "english")  ->  ["she", "paint", "sunset"]
    terms("He bought it", "english")            ->  ["he", "buy", "it"]
    terms("東京タワー", "english")               ->  ["東京", "京タ", "タワ", "ワー"]

No I/O. The same function makes the terms that are stored and those of a question, so it has a `VERSION`.
"""

import re
import threading
import unicodedata
from functools import lru_cache
from itertools import pairwise

import Stemmer

from . import cistem
from .base_forms import BASE_FORMS

VERSION = 5
# A longer run of letters is not a word (a key, a hash); it is truncated, so its beginning is still found.
MAX_TERM_CHARACTERS = 40
# Values of `array_contains_any`: https://firebase.google.com/docs/firestore/query-data/queries#limits_on_or_queries
MAX_QUERY_TERMS = 30

# Han, kana, Hangul syllables, Thai, Lao, Myanmar, Khmer: no spaces between words, or words that are phrases.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
# `\w` does not include the combining marks of letters (Hindi vowels, Thai tones).
_MARKS = "".join(chr(code) for code in range(0x300, 0x3100) if unicodedata.category(chr(code)).startswith("M"))
_RUN = re.compile(
    rf"(?P<unspaced>[{_UNSPACED}]+)|(?P<word>(?:(?![{_UNSPACED}_])[\w{_MARKS}])+(?:'(?:(?![{_UNSPACED}_])\w)+)?)"
)
_ASCII_RUN = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)?")  # what `_RUN` finds in lower-case ASCII
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_CLUSTER = re.compile(rf".[{_MARKS}]*", re.DOTALL)
_CLITIC = re.compile(r"'(?:s|ll|re|ve|d|m)$")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc", "'"))

_OTHER_DIGIT = re.compile(r"[^\D0-9]")

# Flags are pairs; modifiers of skin, variation selectors and joiners are left out.
_EMOJI = re.compile("[\U0001f1e6-\U0001f1ff]{2}|[\u2600-\u27bf\u2b50\u2b55\U0001f300-\U0001f3fa\U0001f400-\U0001faff]")
# Digits in groups: a telephone number, and a number with separators of thousands.
_GROUPED = re.compile(
    r"(?<![\w:])(?<!\d[ ().\-/])\(?[0-9][0-9 ().\-/]{5,22}[0-9](?!:|[ ().\-/]?\w)"
    r"|(?<![\w,.'])[0-9]{1,3}(?:[,.'\u202f][0-9]{3})+(?!\w)"
)
_MAY_BE_GROUPED = re.compile(r"[0-9]\W+[0-9]")  # faster to look for
_MOST_GROUPED = 15  # digits

_stemmers = threading.local()

LANGUAGES: frozenset[str] = frozenset(Stemmer.algorithms())

# Stop words of queries. Other languages rely on document frequencies alone.
STOP_WORDS: dict[str, frozenset[str]] = {
    "english": frozenset(
        """a about after again all also am an and any anything are aren't as at be because been before being both but by
        can can't could couldn't did didn't do does doesn't doing don't down during each ever for from get go had
        happen has have having he her here hers him his how i if in into is isn't it its just kind let many me more
        most much my no nor not now of off on once only or other our out over own she should so some something sort
        still such than that the their them then there these they thing this those through to too under until up us
        very was wasn't we were what when where which while who whom whose why will with won't would you your
        yours""".split()  # noqa: SIM905
    )
}


def words(text: str) -> list[str]:
    """The casefolded words of a text; a run of a script without spaces is one entry."""
    if text.isascii():
        return _ASCII_RUN.findall(text.lower())
    folded = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    return [match.group() for match in _RUN.finditer(with_ascii_digits(folded))]


def with_ascii_digits(text: str) -> str:
    """The text with the decimal digits of all scripts as 0 to 9: Arabic-Indic ones, those of Devanagari, full-width."""
    return text if text.isascii() else _OTHER_DIGIT.sub(lambda found: str(unicodedata.decimal(found[0])), text)


def terms(text: str, language: str = "english") -> list[str]:
    """The terms of a text, in order, with repetitions. `language` is one of `LANGUAGES`."""
    found: list[str] = []
    for word in words(text):
        found += _terms_of(word, language) if len(word) <= MAX_TERM_CHARACTERS else _new_terms_of(word, language)
    return found


def _new_terms_of(word: str, language: str) -> tuple[str, ...]:
    if _is_unspaced(word):
        return tuple(_pairs(word))
    if "'" in word:
        word = _CLITIC.sub("", word)
    word = word[:MAX_TERM_CHARACTERS]
    return (_stem(word, language) if language in LANGUAGES else word,)


# Most words of a text are frequent ones.
_terms_of = lru_cache(maxsize=5_000)(_new_terms_of)


def index_terms(text: str, language: str = "english") -> list[str]:
    """The terms of a text in the index: `terms`, and each Chinese character by itself. Any language may be named.

    Many Chinese words are one character, and pairs cross the borders of words. Emoji are terms, and so are numbers
    without what separates their digits: 447700900123 for "+44 7700 900123", 1250 for "1,250".
    """
    found: list[str] = []
    for word in words(text):
        known = len(word) <= MAX_TERM_CHARACTERS
        found += _terms_of(word, language) if known else _new_terms_of(word, language)
        if _is_unspaced(word):
            found += _HAN.findall(word) if len(word) > 1 else ()
    return [*found, *_grouped(text), *(() if text.isascii() else _EMOJI.findall(text))]


def _grouped(text: str) -> list[str]:
    """Numbers whose digits are in groups, without separators."""
    text = with_ascii_digits(text)
    if _MAY_BE_GROUPED.search(text) is None:
        return []
    runs = [match.group() for match in _GROUPED.finditer(text)]
    joined = ["".join(filter(str.isdigit, run)) for run in runs]
    return [number for number, run in zip(joined, runs, strict=True) if len(number) <= _MOST_GROUPED and number != run]


def query_terms(text: str, language: str = "english", most: int = MAX_QUERY_TERMS) -> list[str]:
    """The distinct terms of a query, in order, without stop words unless there are no others."""
    stops = stop_terms(language)
    every = list(dict.fromkeys(terms(text, language)))
    return ([term for term in every if term not in stops] or every)[:most]


@lru_cache(maxsize=len(LANGUAGES))
def stop_terms(language: str) -> frozenset[str]:
    """The stop words of a language, as terms; empty without a list."""
    return frozenset(term for word in STOP_WORDS.get(language, ()) for term in terms(word, language))


def _is_unspaced(word: str) -> bool:
    return not word.isascii() and _IS_UNSPACED.match(word) is not None


def _pairs(run: str) -> list[str]:
    clusters = _CLUSTER.findall(run)
    return [first + other for first, other in pairwise(clusters)] or clusters


def _stem(word: str, language: str) -> str:
    if language == "german":
        return cistem.stem(word)
    stemmer = getattr(_stemmers, language, None)
    if stemmer is None:  # stemmers are not thread-safe
        stemmer = Stemmer.Stemmer(language)
        setattr(_stemmers, language, stemmer)
    stemmed: str = stemmer.stemWord(BASE_FORMS.get(language, {}).get(word, word))
    return stemmed or word  # Porter's stem of "s" is empty

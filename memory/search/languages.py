"""The language of a text, found offline by `py3langid` (naive Bayes over bytes), and what questions say in it.

A script that only one language uses decides by itself. The model chooses among languages with a stemmer and some large
ones; a short text of Latin letters that it is not sure of is taken for English.
"""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Any

MOST_READ = 400
"""Characters of a text that are read: more do not change the answer."""

SURE = 0.5
ENGLISH = "english"

LANGUAGES = {
    "ar": "arabic",
    "bg": "bulgarian",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": ENGLISH,
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "he": "hebrew",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "ja": "japanese",
    "ko": "korean",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "th": "thai",
    "tr": "turkish",
    "uk": "ukrainian",
    "vi": "vietnamese",
    "zh": "chinese",
}
"""Names by ISO 639-1 codes. Those of `Stemmer.algorithms()` are stemmed."""

_SCRIPTS = (
    (re.compile("[\u3040-\u30ff]"), "japanese"),
    (re.compile("[\uac00-\ud7af\u1100-\u11ff]"), "korean"),
    (re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"), "chinese"),
    (re.compile("[\u0e00-\u0e7f]"), "thai"),
    (re.compile("[\u0590-\u05ff]"), "hebrew"),
    (re.compile("[\u0370-\u03ff]"), "greek"),
    (re.compile("[\u0530-\u058f]"), "armenian"),
    (re.compile("[\u0b80-\u0bff]"), "tamil"),
)
_LETTER = re.compile(r"[^\W\d_]")
_LEAST_SHARE = 0.3  # of a script's letters
_lock = threading.Lock()


def detected(text: str) -> str:
    """The language of a text, one of the values of `LANGUAGES`; "english" without letters."""
    read = text[:MOST_READ]
    letters = len(_LETTER.findall(read))
    if not letters:
        return ENGLISH
    for script, language in _SCRIPTS:
        if len(script.findall(read)) >= _LEAST_SHARE * letters:
            return language
    code, confidence = _identifier().classify(read)
    return LANGUAGES[code] if confidence >= SURE or not read.isascii() else ENGLISH


def _identifier() -> Any:
    with _lock:  # one thread loads the model, others wait
        return _loaded()


@cache
def _loaded() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # slow to import: a model of 4 MB

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(sorted(set(LANGUAGES) & set(identifier.labels)))
    return identifier

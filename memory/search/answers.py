"""The kind of answer that a question asks for, and whether a text has one: English, by patterns.

Matching the expected kind of answer is how question answering has long ranked passages (Li & Roth 2002 name the kinds;
these are the few that a pattern can find). Some questions ask for several things, which are far apart; and texts that
address the listener ("you") rarely answer a question. A language without patterns has no kinds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .passages import Question

_NUMBER = (
    r"\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    r"|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|half|dozen"
    r"|couple|once|twice|first|second|third"
)
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = "january|february|march|april|may|june|july|august|september|october|november|december"
_TIME = (
    rf"yesterday|today|tonight|tomorrow|last|next|ago|since|until|morning|evening|weekend|{_DAY}s?|{_MONTH}|christmas|easter"
    r"|halloween|thanksgiving|spring|summer|autumn|fall|winter|(?:day|week|month|year|hour)s?|\d+(?:st|nd|rd|th)?"
)


@dataclass(frozen=True)
class Kind:
    """One kind of answer: the questions that ask for it, and the texts that have it."""

    asks: re.Pattern[str]
    has: re.Pattern[str]


def _kind(asks: str, has: str, flags: int = re.IGNORECASE) -> Kind:
    return Kind(re.compile(asks, re.IGNORECASE), re.compile(has, flags))


# A name is a capitalised word of at least two letters that does not begin a sentence.
_NAME = r"(?<=[^.!?…\s\"“]\s)[\"“(]?[^\W\d_a-zß-öø-ÿ][^\W\d_]+"

KINDS: dict[str, tuple[Kind, ...]] = {
    "english": (
        _kind(r"\bwhen\b|\b(?:what|which) (?:year|month|week|day|date|time)\b|\bhow long ago\b", rf"\b(?:{_TIME})\b"),
        _kind(
            r"\bhow (?:many|much|old|long|often|far|big|large|heavy|tall|high|strong)\b"
            r"|\b(?:what|which) (?:score|mark|grade|price|number|percentage|size|age)\b",
            rf"\b(?:{_NUMBER})\b",
        ),
        _kind(r"\bwho(?:se|m)?\b|\bnames?\b|\bcalled\b|\bwhere\b", _NAME, flags=0),
    )
}

# "Which hobbies has she ...", "What cakes does he ...", "What has she baked ...", "... both ..."
_PLURAL = r"(?!was\b|is\b|has\b|does\b|his\b|this\b)[\w-]+[^su\W]s"
_AUXILIARY = r"(?:has|have|had|do|does|did|are|were|can|could|will|would)"
_DONE = r"(?:ed|done|made|given|taken|won|been|had|bought|seen|read|got|built|grown|written)"
SEVERAL: dict[str, re.Pattern[str]] = {
    "english": re.compile(
        rf"^(?:what|which)\b(?:\s+[\w'-]+){{0,4}}?\s+{_PLURAL}\s+{_AUXILIARY}\b"
        rf"|^(?:what|which)\b.*\b(?:has|have)\b.*{_DONE}\b|\bboth\b",
        re.IGNORECASE,
    )
}
MOST_READ = 300  # characters of a question: a pattern with two gaps takes quadratic time
OTHER: dict[str, re.Pattern[str]] = {
    "english": re.compile(r"\b(?:your(?:s|self|selves)?|you(?:'(?:re|ve|d|ll))?)\b", re.IGNORECASE)
}


def asked_for(question: Question) -> Kind | None:
    """The kind of answer that a question asks for: the first match in its language."""
    return next((kind for kind in KINDS.get(question.language, ()) if kind.asks.search(question.text)), None)


def has_answer(text: str, kind: Kind) -> bool:
    """Whether a text has an answer of this kind."""
    return kind.has.search(text) is not None


def asks_for_several(question: Question) -> bool:
    """Whether a question asks for several things, which may be far apart."""
    several = SEVERAL.get(question.language)
    return several is not None and several.search(question.text[:MOST_READ]) is not None


def addressed(text: str, language: str) -> int:
    """How often a text addresses the listener ("you")."""
    other = OTHER.get(language)
    return 0 if other is None else len(other.findall(text))

"""The kind of answer that a question asks for, and whether a text has one: English, by patterns.

Matching the expected kind of answer is how question answering has long ranked passages (Li & Roth 2002 name the kinds;
these are the few that a pattern can find). A language without patterns has no kinds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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

MOST_READ = 300
"""Characters of a question."""

"""The months and years that an English question names: passages of that time are more relevant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

_NAMES = "January February March April May June July August September October November December"
_MONTHS = {name: number for number, name in enumerate(_NAMES.split(), start=1)}
# Capitalised and not at the beginning: "May I", "march" and "august" are not months.
_DAY, _YEAR = r"\d{1,2}(?:st|nd|rd|th)?", r"(?:19|20)\d\d"
_MONTH_NAMED = re.compile(rf"(?<=\S )(?P<month>{'|'.join(_MONTHS)})\b(?:,? (?:{_DAY},? )?(?P<year>{_YEAR})\b)?")
_YEAR_NAMED = re.compile(rf"\b{_YEAR}\b")


@dataclass(frozen=True)
class Named:
    """A month, a year, or a month of a year."""

    month: int | None
    year: int | None

    def has(self, time: datetime) -> bool:
        """Whether a time is in it."""
        return self.month in (None, time.month) and self.year in (None, time.year)


def named(text: str, language: str) -> tuple[Named, ...]:
    """The months and years that a question names; empty unless the language is English."""
    if language != "english":
        return ()
    months = list(_MONTH_NAMED.finditer(text))
    found = [Named(_MONTHS[one["month"]], int(one["year"]) if one["year"] else None) for one in months]
    rest = _MONTH_NAMED.sub(" ", text)
    years = [int(year) for year in _YEAR_NAMED.findall(rest)]
    if len(found) == len(years) == 1 and found[0].year is None:  # "in 2024, at the end of June"
        return (Named(found[0].month, years[0]),)
    return (*found, *(Named(None, year) for year in years))

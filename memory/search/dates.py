"""The months and years that a question names: passages of that time are more relevant.

Names of months in Arabic, Dutch, English, French, German, Hindi, Italian, Portuguese and Spanish, numbers of months in
Chinese, Japanese and Korean, and dates such as 2024-03-05 and 5.3.2024. Digits of all scripts are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from .languages import ENGLISH
from .terms import with_ascii_digits

_ENGLISH = "January February March April May June July August September October November December"
# Spellings after "/". Of Romance languages and Dutch in lower case, as they are written: "Julio" and "Avril" are names.
_OTHERS = (
    "Januar/Jänner Februar März April Mai Juni Juli August September Oktober November Dezember",
    "januar/jänner februar märz april mai juni juli august september oktober november dezember",
    "januari februari maart april mei juni juli augustus september oktober november december",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "enero febrero marzo abril mayo junio julio agosto septiembre/setiembre octubre noviembre diciembre",
    "يناير فبراير مارس أبريل/ابريل/إبريل مايو يونيو/يونيه يوليو/يوليه أغسطس/اغسطس سبتمبر أكتوبر/اكتوبر نوفمبر ديسمبر",
    "كانون_الثاني شباط آذار/اذار نيسان أيار/ايار حزيران تموز شهر_آب أيلول/ايلول تشرين_الأول تشرين_الثاني كانون_الأول",
    "जनवरी फरवरी/फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर/सितम्बर अक्टूबर/अक्तूबर नवंबर/नवम्बर दिसंबर/दिसम्बर",
)
_CHINESE = {number: place for place, number in enumerate((*"一二三四五六七八九十", "十一", "十二"), start=1)}


def _numbered(names: str) -> dict[str, int]:
    """The month of each spelling."""
    spellings = enumerate(names.split(), start=1)
    return {name.replace("_", " "): number for number, several in spellings for name in several.split("/")}


_MONTHS = {spelling: number for names in (_ENGLISH, *_OTHERS) for spelling, number in _numbered(names).items()}
_DAY, _YEAR = r"\d{1,2}(?:st|nd|rd|th)?", r"(?:19|20)\d\d"
# Capitalised and not at the beginning: "May I", "march" and "august" are not months.
_IN_ENGLISH = re.compile(rf"(?<=\S )(?P<name>{'|'.join(_ENGLISH.split())})\b(?:,? (?:{_DAY},? )?(?P<year>{_YEAR})\b)?")
# Arabic prepositions are written with the word.
_IN_OTHERS = re.compile(
    rf"(?<!\w)[وبلف]?(?P<name>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})(?!\w)"
    rf"(?: (?:de |del |do )?(?P<year>{_YEAR})(?!\d))?"
)
_NUMBERED = re.compile(
    rf"(?:(?P<year>{_YEAR})[年년] ?)?(?<![十\d])(?P<number>1[0-2]|0?[1-9]|十[一二]?|[一二三四五六七八九])[月월]"
)
_WRITTEN = (
    re.compile(rf"(?<!\d)(?P<year>{_YEAR})-(?P<number>0[1-9]|1[0-2])(?!\d)"),
    re.compile(rf"(?<!\d)\d\d?\. ?(?P<number>1[0-2]|0?[1-9])\. ?(?P<year>{_YEAR})(?!\d)"),
)
_RANGE = re.compile(rf"\b({_YEAR})-(?={_YEAR}\b)")
_YEAR_NAMED = re.compile(rf"(?<![\w.,-]){_YEAR}(?:(?![\w-])|(?=[年년]))")


@dataclass(frozen=True)
class Named:
    """A month, a year, or a month of a year."""

    month: int | None
    year: int | None

    def has(self, time: datetime) -> bool:
        """Whether a time is in it."""
        return self.month in (None, time.month) and self.year in (None, time.year)


def named(text: str, language: str) -> tuple[Named, ...]:
    """The months and years that a question names."""
    rest = _RANGE.sub(r"\1 ", with_ascii_digits(text))
    found = []
    for pattern in (*_WRITTEN, _NUMBERED, _IN_ENGLISH if language == ENGLISH else _IN_OTHERS):
        found += [_named(match.groupdict()) for match in pattern.finditer(rest)]
        rest = pattern.sub(" ", rest)
    years = [int(year) for year in _YEAR_NAMED.findall(rest)]
    if len(found) == len(years) == 1 and found[0].year is None:  # "in 2024, at the end of June"
        return (Named(found[0].month, years[0]),)
    return (*found, *(Named(None, year) for year in years))


def _named(groups: dict[str, str | None]) -> Named:
    number, year = groups.get("number"), groups["year"]
    month = _MONTHS[groups["name"] or ""] if number is None else _CHINESE.get(number) or int(number)
    return Named(month, int(year) if year else None)

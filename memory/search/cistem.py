"""The CISTEM stemmer for German (Weissweiler & Fraser 2017, "Developing a Stemmer for German").

It conflates what Snowball's keeps apart: "kaufen", "kaufte" and "gekauft". Strong verbs have the stem of their
infinitive.
"""

from __future__ import annotations

import re
from functools import cache

_UMLAUTS = str.maketrans({"ä": "a", "ö": "o", "ü": "u", "ß": "ss"})
_TOGETHER = (("sch", "$"), ("ei", "%"), ("ie", "&"))
_TWICE = re.compile(r"(.)\1")
_PREFIX = re.compile(r"ge(?=.{4})")
_LONG_ENDINGS, _ENDINGS = ("em", "er", "nd"), ("t", "e", "s", "n")

_STRONG = """
beginnen begann begonnen, beißen biss gebissen, biegen bog gebogen, bieten bot geboten, binden band gebunden,
bitten bat gebeten, bleiben blieb geblieben, brechen brach gebrochen, brennen brannte gebrannt,
bringen brachte gebracht, denken dachte gedacht, empfehlen empfahl empfohlen, essen aß gegessen isst,
fahren fuhr gefahren, fallen fiel gefallen, fangen fing gefangen, finden fand gefunden, fliegen flog geflogen,
fließen floss geflossen, frieren fror gefroren, geben gab gegeben gibt, gehen ging gegangen, gelingen gelang gelungen,
gelten galt gegolten gilt, gewinnen gewann gewonnen, gießen goss gegossen, graben grub gegraben,
greifen griff gegriffen, halten hielt gehalten, hängen hing gehangen, heben hob gehoben,
heißen hieß geheißen, helfen half geholfen hilft,
kennen kannte gekannt, klingen klang geklungen, kommen kam gekommen, laden lud geladen, lassen ließ gelassen,
laufen lief gelaufen, leiden litt gelitten, leihen lieh geliehen, lesen las gelesen liest, liegen lag gelegen,
lügen log gelogen, meiden mied gemieden, messen maß gemessen misst, nehmen nahm genommen nimmt, nennen nannte genannt,
raten riet geraten, reißen riss gerissen, reiten ritt geritten, rennen rannte gerannt, riechen roch gerochen,
rufen rief gerufen, schaffen schuf geschaffen, scheinen schien geschienen, schieben schob geschoben,
schlafen schlief geschlafen, schlagen schlug geschlagen, schließen schloss geschlossen, schneiden schnitt geschnitten,
schreiben schrieb geschrieben, schreien schrie geschrien, schweigen schwieg geschwiegen, schwimmen schwamm geschwommen,
sehen sah gesehen sieht, senden sandte gesandt, singen sang gesungen, sinken sank gesunken, sitzen saß gesessen,
sprechen sprach gesprochen spricht, springen sprang gesprungen, stehen stand gestanden, stehlen stahl gestohlen stiehlt,
steigen stieg gestiegen, sterben starb gestorben stirbt, streichen strich gestrichen, streiten stritt gestritten,
tragen trug getragen, treffen traf getroffen trifft, treiben trieb getrieben, treten trat getreten tritt,
trinken trank getrunken, tun tat getan, verbieten verbot verboten, vergessen vergaß vergisst,
verlieren verlor verloren, verschwinden verschwand verschwunden, verstehen verstand verstanden, wachsen wuchs gewachsen,
waschen wusch gewaschen, werben warb geworben wirbt, werfen warf geworfen wirft, wiegen wog gewogen,
wissen wusste gewusst weiß, ziehen zog gezogen, zwingen zwang gezwungen
"""


def stem(word: str) -> str:
    """The stem of a casefolded word; the word if it is too short to have one."""
    found = _stripped(word)
    return _strong().get(found, found)


@cache
def _strong() -> dict[str, str]:
    groups = [group.split() for group in _STRONG.split(",")]
    return {_stripped(form): _stripped(base) for base, *forms in groups for form in forms}


def _stripped(word: str) -> str:
    found = _PREFIX.sub("", word.translate(_UMLAUTS), count=1) if word.startswith("ge") else word.translate(_UMLAUTS)
    for letters, sign in _TOGETHER:
        found = found.replace(letters, sign)
    found = _TWICE.sub(r"\1*", found)
    while len(found) > 3:
        if len(found) > 5 and found.endswith(_LONG_ENDINGS):
            found = found[:-2]
        elif found.endswith(_ENDINGS):
            found = found[:-1]
        else:
            break
    found = re.sub(r"(.)\*", r"\1\1", found)
    for letters, sign in _TOGETHER:
        found = found.replace(sign, letters)
    return found or word

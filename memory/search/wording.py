"""What the wording of a question or a text says, in several languages: who speaks, and what is asked for."""

from __future__ import annotations

import re

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0eff]{1,2}|[^\W_]+")
"""A word as it is counted: of a script without spaces two characters."""

QUESTION_MARKS = frozenset("?？؟")  # noqa: RUF001

MOST_ADDRESSED = 3
MOST_READ = 1_000  # characters of a question

FIRST = re.compile(
    r"\b(?:i|i'm|i've|i'd|i'll|my|me|mine|we|our|us|ours|ich|mein\w*|mir|mich|wir|unser\w*|uns|je|j'\w+|mon|ma|mes|nous"
    r"|notre|nos|yo|mi|mis|me|nuestr\w+|nosotros|io|mio|mia|noi|eu|meu|minha|main|mera|meri|mere|jag|min|mitt|ik|mijn"
    r"|я|мо[йяеи]|мне|меня|мы|наш\w*)\b"
    r"|[我咱俺]|私|僕|わたし|ぼく|うち|मैं|मेर[ाीे]|मुझ|हम|나는|내|제가|أنا|לי|אני",
    re.IGNORECASE,
)
"""The speaker: "I", "my", "we"."""

SECOND = re.compile(
    r"\b(?:you|your|yours|you're|you've|du|dein\w*|dir|dich|sie|ihr\w*|tu|vous|votre|vos|usted|tus?)\b"
    r"|[你您]|あなた|君|आप|तुम",
    re.IGNORECASE,
)
"""The listener: "you", "your"."""

AMOUNT = re.compile(
    r"\bhow (?:much|many|old|long|often|far|big|large|heavy|tall|high)\b"
    r"|\bwhat (?:price|number|score|date|time|size|year)"
    r"|\bwhen\b|\bwann\b|\bwie ?viele?\b|\bwie (?:lange?|oft|hoch|alt|groß|schwer|teuer)\b"
    r"|\bcuánd?t?[oa]s?\b|\bcombien\b|\bquand\b|\bquant[oaie]\b|\bquando\b|\bсколько\b|\bкогда\b"  # noqa: RUF001
    r"|几|多少|多久|多大|什么时候|哪天|何時|いつ|いくら|いくつ|何(?:人|個|回|年|月|日|円|時|歳|分|冊|枚|本|匹|キロ)|どのくらい|どれくらい"
    r"|कब|कितन|몇|언제|얼마|كم|متى|כמה|מתי",
    re.IGNORECASE,
)
"""Questions for a number, an amount or a time."""

NOW = re.compile(
    r"\b(?:now|current|currently|latest|newest|these days|finally|in the end|still|eventually|end up)\b"
    r"|\b(?:jetzt|nun|aktuell\w*|zurzeit|inzwischen|schließlich|am ende|ahora|actual\w*|al final|maintenant)\b"
    r"|现在|目前|最后|最新|如今|今の|現在|最終|結局|अब|지금|현재|الآن",
    re.IGNORECASE,
)
"""Questions for the newest state."""

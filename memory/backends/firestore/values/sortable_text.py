"""Encodings for types that Firestore lacks. They preserve order and equality.

`docs/firestore-values.md` documents these stored formats for other clients of the database: they must not change.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Final

INT64: Final = range(-(2**63), 2**63)
MICROSECOND: Final = dt.timedelta(microseconds=1)


def decimal_text(value: Decimal) -> str:
    """Text that sorts as the number does and is equal for equal numbers; exact for finite Decimals and infinities.

    The first character is the sign: `-`, `0` or `P`. For `P`, the decimal exponent follows (a letter for its sign and
    number of digits, then the digits) and then the significant digits without trailing zeros. For `-`, each of these
    characters is mirrored, and `~` terminates the text.
    """
    if value.is_nan():
        raise ValueError("a decimal NaN cannot be stored: it has no position in the sort order")
    if not value:
        return "0"
    magnitude = "Pz" if value.is_infinite() else f"P{_exponent_text(value.adjusted())}{_significant(value)}"
    return magnitude if value > 0 else "-" + magnitude[1:].translate(_MIRROR) + "~"


def text_decimal(text: str) -> Decimal:
    """The inverse of `decimal_text`. Raises `ValueError` for any other text."""
    if text == "0":
        return Decimal(0)
    if text[:1] == "-":
        return text_decimal("P" + text[1:-1].translate(_MIRROR)).copy_negate()  # `-x` rounds to the decimal context
    if text[:1] != "P":
        raise ValueError(f"{text[:40]!r} is not a stored decimal")
    if text == "Pz":
        return Decimal("Infinity")
    letter, rest = text[1], text[2:]
    positive = letter >= "a"
    length = ord(letter) - ord("a") if positive else ord("Z") - ord(letter)
    exponent = int(rest[:length]) if positive else -int(rest[:length].translate(_MIRROR))
    digits = tuple(int(digit) for digit in rest[length:])
    return Decimal((0, digits, exponent - len(digits) + 1))


def _exponent_text(exponent: int) -> str:
    digits = str(abs(exponent))
    if exponent >= 0:
        return chr(ord("a") + len(digits)) + digits
    return chr(ord("Z") - len(digits)) + digits.translate(_MIRROR)


def _significant(value: Decimal) -> str:
    return "".join(map(str, value.as_tuple().digits)).strip("0")


_DIGITS: Final = "0123456789"
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MIRROR: Final = str.maketrans(_DIGITS + _LETTERS, _DIGITS[::-1] + _LETTERS[::-1])


def time_text(value: dt.time) -> str:
    """`HH:MM:SS.ffffff`, always with microseconds. Raises `ValueError` for an aware time."""
    if value.tzinfo is not None:
        raise ValueError("an aware time cannot be stored: TimeField takes naive times")
    return value.isoformat("microseconds")


def duration_number(value: dt.timedelta) -> int:
    """The duration in microseconds. Raises `OverflowError` beyond 64 bits (292,000 years)."""
    return int64(value // MICROSECOND)


def int64(value: int) -> int:
    """The value itself. Raises `OverflowError` beyond 64 bits."""
    if value not in INT64:
        raise OverflowError(f"{value} does not fit in 64 bits")
    return value


def utc(value: dt.datetime) -> dt.datetime:
    """The datetime in UTC. A naive one is assumed to be UTC."""
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def integer_text(value: int) -> str:
    """19 digits; for a negative number n, `-` and the digits of 10**19 + n. Sorts as the numbers do."""
    return f"-{10**19 + int64(value):019d}" if value < 0 else f"{int64(value):019d}"


def text_integer(text: str) -> int:
    """The inverse of `integer_text`. Raises `ValueError` for any other text."""
    return int(text[1:]) - 10**19 if text.startswith("-") else int(text)

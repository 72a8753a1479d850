"""A copy of a value as JSON would give it back, without spelling it out where that changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

MAX_DEPTH: Final = 20
"""Maps and lists inside each other that are copied; deeper ones, and those that hold themselves, are left to `json`."""

IMMUTABLE: Final = frozenset({type(None), bool, int, float})


class NeedsJsonError(ValueError):
    """JSON would change the value, or refuse it."""


def json_copy(value: Any, encoder: type[json.JSONEncoder] | None) -> Any:
    """The value after a way through JSON: keys are text, tuples lists, and other types what the encoder makes of them.

    Raises what `json.dumps` raises.
    """
    if encoder is None:
        try:
            return _copy(value, MAX_DEPTH)
        except NeedsJsonError:
            pass
    return json.loads(json.dumps(value, cls=encoder))


def _copy(value: Any, depth: int) -> Any:
    copy = _COPIES.get(type(value))
    if copy is not None and depth:
        return copy(value, depth)
    if type(value) in IMMUTABLE:
        return value
    raise NeedsJsonError


def _copy_text(value: str, depth: int) -> str:
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON joins two lone surrogates to a character
        raise NeedsJsonError from None
    return value


def _copy_map(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    made = {}
    for key, member in value.items():
        if type(key) is not str:
            raise NeedsJsonError
        made[_copy_text(key, depth)] = _copy(member, depth - 1)
    return made


def _copy_list(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    return [_copy(member, depth - 1) for member in value]


_COPIES: Final[Mapping[type, Any]] = {str: _copy_text, dict: _copy_map, list: _copy_list, tuple: _copy_list}

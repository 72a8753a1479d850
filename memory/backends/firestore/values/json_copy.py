"""A deep copy equal to `json.loads(json.dumps(value))`, made without JSON text where that is equivalent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

MAX_DEPTH: Final = 20
"""Nesting depth up to which values are copied directly. Deeper and circular values are passed to `json`."""

IMMUTABLE: Final = frozenset({type(None), bool, int, float})


class NeedsJsonError(ValueError):
    """JSON would change or reject the value, so that a direct copy is not equivalent."""


def json_copy(value: Any, encoder: type[json.JSONEncoder] | None) -> Any:
    """A copy of the value as JSON round-trips it: keys are strings, tuples are lists, other types are encoded.

    Raises the errors of `json.dumps`.
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
    except UnicodeEncodeError:  # JSON combines a pair of surrogates into one character
        raise NeedsJsonError from None
    return value


def _copy_map(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    made = {}
    for key, member in value.items():
        if type(key) is not str:
            raise NeedsJsonError
        kind = type(member)  # the most usual members need no call
        is_copy = kind in IMMUTABLE or (kind is str and member.isascii())
        made[key if key.isascii() else _copy_text(key, depth)] = member if is_copy else _copy(member, depth - 1)
    return made


def _copy_list(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    return [_copy(member, depth - 1) for member in value]


_COPIES: Final[Mapping[type, Any]] = {str: _copy_text, dict: _copy_map, list: _copy_list, tuple: _copy_list}

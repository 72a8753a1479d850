"""`DATABASES[alias]["OPTIONS"]`: the valid options, in one table.

Unknown names are errors, like invalid values, so that a misspelled option is not ignored.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from .values.auto_ids import CHOICES


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its default, and a description and a check of valid values."""

    default: Any
    requirement: str
    is_valid: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


OPTIONS: Final[Mapping[str, Option]] = {
    "timeout": Option(
        10.0,  # seconds for one call, with all its retries
        "a number of seconds, above 0",
        lambda value: _is_number(value) and 0 < value < math.inf,
    ),
    "mirror_limit": Option(
        5000,  # documents that one query can load into the mirror
        "a whole number of documents, 0 or more",
        lambda value: _is_number(value) and isinstance(value, int) and value >= 0,
    ),
    "mirror_bytes": Option(
        64 * 1024 * 1024,  # bytes of the rows that one query can load into the mirror
        "a whole number of bytes, above 0",
        lambda value: _is_number(value) and isinstance(value, int) and value > 0,
    ),
    "require_indexes": Option(
        False,  # True: firestore.indexes.json in the current directory; or the path of the file
        "True, False or the path of a manifest of indexes",
        lambda value: isinstance(value, bool | str | os.PathLike) and value != "",
    ),
    "auto_ids": Option(
        "random",  # how ids of AutoFields are generated: values/auto_ids.py
        f"one of {sorted(CHOICES)}",
        lambda value: isinstance(value, str) and value in CHOICES,
    ),
}

CREDENTIALS: Final = frozenset({"credentials_json", "credentials_path"})
"""Secrets, which `channel.target` reads. No message contains them."""


def option(alias: str, settings_dict: Mapping[str, Any], name: str) -> Any:
    """One of OPTIONS, or its default. Raises `ImproperlyConfigured`."""
    known = OPTIONS[name]
    value = _given(alias, settings_dict).get(name, known.default)
    if not known.is_valid(value):
        raise ImproperlyConfigured(
            f"DATABASES[{alias!r}]['OPTIONS'][{name!r}] is {value!r}: it must be {known.requirement}."
        )
    return value


def validate(alias: str, settings_dict: Mapping[str, Any]) -> None:
    """Raises `ImproperlyConfigured` for an unknown option or an invalid value."""
    unknown = sorted(map(str, _given(alias, settings_dict).keys() - OPTIONS.keys() - CREDENTIALS))
    if unknown:
        raise ImproperlyConfigured(
            f"DATABASES[{alias!r}]['OPTIONS'] contains unknown options: {', '.join(unknown)}. "
            f"Valid options are {', '.join(sorted(OPTIONS.keys() | CREDENTIALS))}."
        )
    for name in OPTIONS:
        option(alias, settings_dict, name)


def _given(alias: str, settings_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    options = settings_dict.get("OPTIONS") or {}
    if not isinstance(options, Mapping):
        raise ImproperlyConfigured(f"DATABASES[{alias!r}]['OPTIONS'] must be a dict, not a {type(options).__name__}.")
    return options

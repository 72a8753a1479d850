"""The text of an item, by which search finds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langgraph.store.base import get_text_at_path

WHOLE = "$"


def text_of(value: Mapping[str, Any], fields: Sequence[str]) -> str | None:
    """The text at these JSON paths, one line each; None without any. `$` is the whole value."""
    parts = [part for path in fields for part in _at(value, path)]
    return "\n".join(dict.fromkeys(part for part in parts if part.strip())) or None


def _at(value: Mapping[str, Any], path: str) -> list[str]:
    if path == WHOLE:
        return _whole(value)
    found: list[str] = get_text_at_path(value, path)
    return found


def _whole(value: Mapping[str, Any]) -> list[str]:
    """A line for each member, with its name; the text alone of a value with one member."""
    lines = list(_lines(value, ""))
    return (
        [text for _, text in lines]
        if len(lines) == 1
        else [f"{name}: {text}" if name else text for name, text in lines]
    )


def _lines(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _lines(member, str(key))
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _lines(member, name)
    elif value is not None:
        yield name, str(value)

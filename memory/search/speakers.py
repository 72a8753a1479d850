"""The default of `MEMORY["SPEAKER"]`: the speaker of an item."""

from __future__ import annotations

from memory.models import MemoryItem

NAMES = ("speaker", "name")


def speaker_of(item: MemoryItem) -> str:
    """`metadata["speaker"]`, or `metadata["name"]`, or the role, or an empty string."""
    given = (item.metadata.get(name) for name in NAMES)
    return next((name for name in given if isinstance(name, str) and name), item.role)

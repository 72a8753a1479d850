"""Who says an item: `MEMORY["SPEAKER"]`."""

from __future__ import annotations

from memory.models import MemoryItem

NAMES = ("speaker", "name")


def speaker_of(item: MemoryItem) -> str:
    """`metadata["speaker"]`, or `metadata["name"]`, or the role; empty where there is none of them."""
    given = (item.metadata.get(name) for name in NAMES)
    return next((name for name in given if isinstance(name, str) and name), item.role)

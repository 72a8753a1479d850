"""Which fields, and keys of metadata, are encrypted: `MEMORY["ENCRYPT"]`."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from django.core.exceptions import FieldError

from ..conf import memory_settings

NOTHING: Final[frozenset[str]] = frozenset()


def protected() -> frozenset[str]:
    """The names of `MEMORY["ENCRYPT"]`."""
    names = memory_settings.encrypt
    return _protected(tuple(names)) if names else NOTHING


@lru_cache(maxsize=8)
def _protected(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(names)


def protected_keys() -> frozenset[str]:
    """The keys of metadata that are encrypted."""
    return _keys(tuple(memory_settings.encrypt))


@lru_cache(maxsize=8)
def _keys(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.partition(".")[2] for name in names if name.startswith("metadata."))


def reads_sealed() -> bool:
    """Whether values may be sealed: something is encrypted, or was, and its keys are still configured."""
    return bool(memory_settings.encrypt or memory_settings.encryption_keys)


def refuse_lookup(name: str) -> None:
    """Raise `FieldError` if a column, or a key of one, is encrypted."""
    if name in protected():
        raise FieldError(f"{name} is encrypted (MEMORY['ENCRYPT']): it can only be read, and compared by isnull.")

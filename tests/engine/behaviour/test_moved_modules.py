"""Renamed modules can be imported by their old names for one release."""

from __future__ import annotations

import importlib
import sys

import pytest

MOVED = {
    "memory.backends.firestore.advice": ("memory.backends.firestore.warnings", ("MirrorWarning", "watch")),
    "memory.backends.firestore.together": ("memory.backends.firestore.batch_fetch", ("Counted", "fetch")),
}


@pytest.mark.parametrize("old", MOVED)
def test_old_name_warns_and_gives_the_same_objects(old: str) -> None:
    """The old module issues a `DeprecationWarning` with the new name, and has the same objects."""
    new, names = MOVED[old]
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=new.replace(".", r"\.")):
        shim = importlib.import_module(old)
    for name in names:
        assert getattr(shim, name) is getattr(importlib.import_module(new), name)

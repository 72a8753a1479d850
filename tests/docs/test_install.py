"""docs/install.md: the steps for encrypted values. tests/deploy/test_installed_elsewhere.py follows the others."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from memory.encryption import is_encrypted
from memory.models import MemoryItem

from .snippets import ROOT, below

INSTALL = ROOT / "docs/install.md"


@pytest.mark.django_db(databases=["default", "memory"])
def test_a_value_is_encrypted_and_rotated(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By keys that the page's command makes, and its settings; the value is readable after the old key is gone."""
    (make_key,) = below(INSTALL, "Encrypted values", "bash")
    configure, store, rotate, _ = below(INSTALL, "Encrypted values", "python")
    old, new = (_said(make_key) for _ in range(2))
    names: dict[str, Any] = {}

    def use(keys: str) -> None:
        monkeypatch.setenv("ENCRYPTION_KEYS", keys)
        exec(configure, names)  # noqa: S102 - the page's own snippet
        settings.MEMORY = {**settings.MEMORY, **names["MEMORY"]}

    use(old)
    exec(store, names)  # noqa: S102 - the page's own snippet
    assert names["passport"] == "C01X00T47"
    use(f"{new},{old}")
    exec(rotate, names)  # noqa: S102 - the page's own snippet
    use(new)
    stored = MemoryItem.objects.get(pk=names["item"].pk).metadata["passport"]
    assert is_encrypted(stored)
    assert names["decrypt"](stored) == "C01X00T47"


def _said(command: str) -> str:
    command = command.replace("python ", f"{sys.executable} ", 1)
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout.strip()

"""Adapters without their frameworks, and without Django's settings."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import memory.adapters
from tests.adapters import ADAPTERS

HELPERS = {"chat", "extras", "owned", "paths", "subtrees"}


def test_every_adapter_is_tested() -> None:
    """A module of `memory.adapters` is a helper of others, or in the list by which the tests know the adapters."""
    assert {module.name for module in pkgutil.iter_modules(memory.adapters.__path__)} == {*ADAPTERS, *HELPERS}


def run(code: str) -> str:
    """The last line of what a process prints, which has no settings."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(("adapter", "framework"), ADAPTERS.items())
def test_the_error_names_the_extra(adapter: str, framework: str) -> None:
    """Importing an adapter without its framework says what to install."""
    code = f"""
import sys
sys.modules[{framework!r}] = None
try:
    import memory.adapters.{adapter}
except ImportError as error:
    print(error)
"""
    assert f'pip install "orchestra-memory[{adapter.replace("_", "-")}]"' in run(code)


@pytest.mark.parametrize(("adapter", "framework"), ADAPTERS.items())
def test_importing_needs_no_settings(adapter: str, framework: str) -> None:
    """Django's settings are read at the first use."""
    pytest.importorskip(framework)
    code = f"""
import memory.adapters.{adapter}
from django.conf import settings
print(settings.configured)
"""
    assert run(code) == "False"

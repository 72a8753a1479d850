"""django-oauth-toolkit: registers the fixtures of its tests, once pytest-django has set up Django."""

from __future__ import annotations

from importlib import import_module

import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Models cannot be imported before."""
    config.pluginmanager.register(import_module("tests.fixtures"), "oauth-toolkit")

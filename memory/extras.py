"""The extras of the package, and the error for a part of the app whose extra is not installed.

    pip install "orchestra-memory[redis]"

Without extras the package has the models, the admin, import and export, on any database of Django.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

from django.core.exceptions import ImproperlyConfigured

SEARCH: Final = ("numpy", "Stemmer", "py3langid", "safetensors", "tokenizers", "wordllama")
MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "api": ("rest_framework", "django_filters", "drf_spectacular", *SEARCH),
    "encryption": ("cryptography",),
    "firestore": ("google.cloud.firestore_v1", "grpc", "numpy"),
    "redis": ("redis", "django_redis"),
    "search": SEARCH,
}
"""The modules that each extra installs. The API has a search, so it includes that extra."""


class MissingExtra(ImproperlyConfigured):
    """A part of the app needs an extra that is not installed; the message names it."""

    def __init__(self, part: str, extra: str) -> None:
        super().__init__(f'{part} needs an extra: pip install "orchestra-memory[{extra}]".')


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed."""
    return [module for module in MODULES[extra] if not _is_installed(module)]


def require(part: str, extra: str) -> None:
    """Raise `MissingExtra` if an extra is not installed. `part` is what needs it, and begins the message."""
    if missing(extra):
        raise MissingExtra(part, extra)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package
        return False

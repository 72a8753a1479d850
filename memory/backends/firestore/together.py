"""Deprecated: renamed to `memory.backends.firestore.batch_fetch` in 0.2; this name is removed in 0.3."""

import warnings

from .batch_fetch import Counted, fetch

__all__ = ["Counted", "fetch"]

warnings.warn(
    "memory.backends.firestore.together is renamed to memory.backends.firestore.batch_fetch; the old name is removed "
    "in 0.3.",
    DeprecationWarning,
    stacklevel=2,
)

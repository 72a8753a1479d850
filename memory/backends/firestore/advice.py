"""Deprecated: renamed to `memory.backends.firestore.warnings` in 0.2; this name is removed in 0.3."""

import warnings

from .warnings import MirrorWarning, watch

__all__ = ["MirrorWarning", "watch"]

warnings.warn(
    "memory.backends.firestore.advice is renamed to memory.backends.firestore.warnings; the old name is "
    "removed in 0.3.",
    DeprecationWarning,
    stacklevel=2,
)

"""Composite indexes."""
from __future__ import annotations
def needed(read, aggregated=()):
    return None

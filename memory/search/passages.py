"""A labelled turn, from which `memory_evaluate` makes entries or items."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Passage:
    """A turn of a labelled conversation. Its role may be empty."""

    id: str
    session: str
    speaker: str
    time: datetime
    text: str
    role: str = ""

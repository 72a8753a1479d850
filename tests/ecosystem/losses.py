"""Why tests of other packages do not pass on Firestore."""

from __future__ import annotations

import re
from typing import Final

RAW_SQL: Final = "raw SQL"

PATTERNS: Final = {
    RAW_SQL: r"Firestore does not support SQL",
}


def reason(package: str, test: str, outcome: str, output: str) -> str:
    """The reason of a loss; empty if it is unknown."""
    return next((why for why, pattern in PATTERNS.items() if re.search(pattern, output)), "")

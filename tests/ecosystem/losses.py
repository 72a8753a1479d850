"""Why tests of other packages do not pass on Firestore."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

RAW_SQL: Final = "raw SQL"

PATTERNS: Final = {RAW_SQL: r"Firestore does not support SQL"}
"""By what the test prints."""

TESTS: Final[Mapping[str, Mapping[str, str]]] = {
    "django-axes": {
        "several logins have to happen within a cool-off time of 1 or 2 s, which they exceed on a busy machine": (
            r"AxesDatabaseHandlerTestCase::test_handler$|test_login_during_lockout_does_reset_cool_off_time$"
        ),
    },
}
"""By package, and by the test's id."""


def reason(package: str, test: str, output: str) -> str:
    """The reason of a loss; empty if it is unknown."""
    found = (why for why, pattern in PATTERNS.items() if re.search(pattern, output))
    named = (why for why, pattern in TESTS.get(package, {}).items() if re.search(pattern, test))
    return next(found, "") or next(named, "")

"""Why tests of other packages do not pass on Firestore."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

RAW_SQL: Final = "raw SQL"

PATTERNS: Final = {RAW_SQL: r"Firestore (does not support|has no) SQL"}
"""By what the test prints."""

TESTS: Final[Mapping[str, Mapping[str, str]]] = {
    "django-axes": {
        "several logins have to happen within a cool-off time of 1 or 2 s, which they exceed on a busy machine": (
            r"AxesDatabaseHandlerTestCase::test_handler$|test_login_during_lockout_does_reset_cool_off_time$"
        ),
    },
    "django-guardian": {
        "up to 100 queries have to end within 0.1 to 0.5 s, and each is a call to a server": (
            r"IndexVsNoIndexPerformanceTestCase::test_\w+_timing$"
        ),
    },
    "django-reversion": {
        "the time of a revision has to be within 1 s of the clock after it is read, which a busy machine exceeds": (
            r"AdminUpdateViewTest.testUpdateView$|testAddMetaMultDb$|testCreateRevisionIgnoreDuplicates$"
            r"|testDeleteRevisionsKeep$|RevisionMiddlewareTest.testCreateRevision$"
        ),
    },
    "django-tasks-db": {
        "reads the query plans of PostgreSQL, MySQL and SQLite, and fails on other databases": (
            r"test_index_scan_for_ready$"
        ),
    },
}
"""By package, and by the test's id."""


def reason(package: str, test: str, outcome: str, output: str) -> str:
    """The reason of a loss; empty if it is unknown."""
    if outcome == "skipped":
        return f"skips itself: {skip_reason(output)}"
    found = (why for why, pattern in PATTERNS.items() if re.search(pattern, output))
    named = (why for why, pattern in TESTS.get(package, {}).items() if re.search(pattern, test))
    return next(found, "") or next(named, "")


def skip_reason(output: str) -> str:
    """What a skipped test says: unittest's text, or the last item of pytest's tuple."""
    match = re.search(r"""['"](?:Skipped: )?([^'"]+)['"]\)$""", output)
    return match[1] if match else output

"""Django's own test runner, which also records the outcome of each test."""

from __future__ import annotations

import json
import os
import unittest
from pathlib import Path
from typing import Any

from django.test.runner import DiscoverRunner

from memory.backends.firestore.django_tests import EXPECTED_FAILURES

REASONS = {test: reason for reason, tests in EXPECTED_FAILURES.items() for test in tests}
CRASHES = (AttributeError, IndexError, KeyError, StopIteration)
"""Faults of code, which no fact about Firestore explains."""


class Recorder(unittest.TextTestResult):
    """Remembers the outcome of every test by its id: passed, skipped, failed, with the last line of the
    reason."""

    outcomes: dict[str, tuple[str, str]] = {}

    def _note(self, test: unittest.TestCase, outcome: str, reason: str = "") -> None:
        known = self.outcomes.get(test.id())
        if known is None or known[0] == "passed":
            self.outcomes[test.id()] = (outcome, reason)

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        super().addSuccess(test)
        self._note(test, "passed")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        if isinstance(err[1], CRASHES):
            self._note(test, "crashed", _reason(err))
        else:
            self._note(test, "failed", REASONS.get(test.id(), _reason(err)))

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._note(test, "unexpected success", "remove it from the expected failures")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._note(test, "failed", _reason(err))

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._note(test, "failed", _reason(err))

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed", _reason(err))


def _reason(err: Any) -> str:
    kind, value, _ = err
    return f"{kind.__name__}: {str(value).strip()}".splitlines()[0][:200]


class Runner(DiscoverRunner):
    """Writes the outcomes to the file that FIDELITY_REPORT names."""

    def get_resultclass(self) -> type[unittest.TextTestResult]:
        return Recorder

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> int:
        Path(os.environ["FIDELITY_REPORT"]).write_text(json.dumps(Recorder.outcomes, indent=0), encoding="utf-8")
        return int(super().suite_result(suite, result, **kwargs))

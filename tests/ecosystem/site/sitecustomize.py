"""Runs another package's tests unmodified: records outcomes, and replaces DATABASES if ECOSYSTEM_HOST is set.

Python imports this module at its start, because its directory is on PYTHONPATH. Variables of the environment:

    ECOSYSTEM_REPORT   the file for outcomes: a line of JSON for each test, [id, outcome, reason]
    ECOSYSTEM_HOST     the emulator's address
    ECOSYSTEM_PROJECT  the project at the emulator

Nothing but `settings.DATABASES` is replaced. Aliases, and the options of Django's that do not concern the server, stay.
"""

from __future__ import annotations

import json
import os
import unittest
from typing import Any, Final

KEPT: Final = ("ATOMIC_REQUESTS", "AUTOCOMMIT", "CONN_MAX_AGE", "TIME_ZONE")
KEPT_OF_TEST: Final = ("MIRROR", "DEPENDENCIES", "MIGRATE")

# Processes that tests start must not write to the report.
REPORT: Final = os.environ.pop("ECOSYSTEM_REPORT", None)


def on_firestore(databases: dict[str, Any]) -> dict[str, Any]:
    """The same aliases, with the engine."""
    return {alias: _entry(alias, given) for alias, given in databases.items()}


def _entry(alias: str, given: dict[str, Any]) -> dict[str, Any]:
    if not given:
        return given
    test = {name: value for name, value in (given.get("TEST") or {}).items() if name in KEPT_OF_TEST}
    return {
        **{name: given[name] for name in KEPT if name in given},
        "ENGINE": "memory.backends.firestore",
        "NAME": "(default)" if alias == "default" else f"db-{alias}".lower().replace("_", "-"),
        "PROJECT": os.environ["ECOSYSTEM_PROJECT"],
        "HOST": os.environ["ECOSYSTEM_HOST"],
        "TEST": test,
    }


def replace_databases() -> None:
    """Replace DATABASES in settings from a module, and in those from `settings.configure()`."""
    from django import conf

    init, configure = conf.Settings.__init__, conf.LazySettings.configure

    def init_with_databases(self: Any, module: str) -> None:
        init(self, module)
        self.DATABASES = on_firestore(self.DATABASES)

    def configure_with_databases(self: Any, default: Any = conf.global_settings, **options: Any) -> None:
        if "DATABASES" in options:
            options["DATABASES"] = on_firestore(options["DATABASES"])
        configure(self, default, **options)

    conf.Settings.__init__ = init_with_databases  # type: ignore[method-assign]
    conf.LazySettings.configure = configure_with_databases  # type: ignore[method-assign]


class Outcomes:
    """The worst outcome of each test, written when the test ends."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - until the process ends
        self._known: dict[str, tuple[str, str]] = {}

    def note(self, test: str, outcome: str, reason: str = "") -> None:
        """A failure of a part of a test is the test's."""
        if self._known.get(test, ("passed", ""))[0] == "passed":
            self._known[test] = (outcome, reason)

    def end(self, test: str) -> None:
        """Write the outcome."""
        outcome, reason = self._known.pop(test, ("missing", ""))
        self._file.write(json.dumps([test, outcome, reason]) + "\n")


def record_unittest(outcomes: Outcomes) -> None:
    """Record what unittest's text runner, and so Django's, runs in this process or in its workers."""

    class Recorder(unittest.TextTestResult):
        def addSuccess(self, test: Any) -> None:  # noqa: N802 - unittest's names
            super().addSuccess(test)
            outcomes.note(test.id(), "passed")

        def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
            super().addFailure(test, err)
            self._failed(test, self.failures[-1][1])

        def addError(self, test: Any, err: Any) -> None:  # noqa: N802
            super().addError(test, err)
            self._failed(test, self.errors[-1][1])

        def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
            super().addSubTest(test, subtest, err)
            if err is not None:
                outcomes.note(test.id(), "failed", self._exc_info_to_string(err, test))  # type: ignore[attr-defined]

        def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
            super().addSkip(test, reason)
            outcomes.note(test.id(), "skipped", reason)

        def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
            super().addExpectedFailure(test, err)
            outcomes.note(test.id(), "expected failure")

        def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
            super().addUnexpectedSuccess(test)
            outcomes.note(test.id(), "unexpected success")

        def stopTest(self, test: Any) -> None:  # noqa: N802
            super().stopTest(test)
            outcomes.end(test.id())

        def _failed(self, test: Any, reason: str) -> None:
            outcomes.note(test.id(), "failed", reason)
            if not isinstance(test, unittest.TestCase):  # setUpClass and setUpModule: no test was started
                outcomes.end(test.id())

    unittest.TextTestRunner.resultclass = Recorder


class PytestRecorder:
    """A plugin of pytest: the same lines, with pytest's ids."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A phase of a test."""
        if report.failed:
            self._outcomes.note(report.nodeid, "failed", str(report.longrepr))
        elif report.skipped:
            expected = hasattr(report, "wasxfail")
            self._outcomes.note(report.nodeid, "expected failure" if expected else "skipped", str(report.longrepr))
        elif report.when == "call":
            self._outcomes.note(report.nodeid, "passed")
        if report.when == "teardown":
            self._outcomes.end(report.nodeid)


def record_pytest(outcomes: Outcomes) -> None:
    """Register the plugin when pytest makes its configuration."""
    try:
        from _pytest import config
    except ImportError:
        return
    get_config = config.get_config

    def with_recorder(*args: Any, **kwargs: Any) -> Any:
        made = get_config(*args, **kwargs)
        made.pluginmanager.register(PytestRecorder(outcomes), "ecosystem-recorder")
        return made

    config.get_config = with_recorder


if REPORT:
    _outcomes = Outcomes(REPORT)
    record_unittest(_outcomes)
    record_pytest(_outcomes)
if os.environ.get("ECOSYSTEM_HOST"):
    replace_databases()

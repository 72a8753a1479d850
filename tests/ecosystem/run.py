"""Run the tests of other packages, unmodified, on SQLite and on the engine, and write docs/ecosystem.md.

    python -m tests.ecosystem.run [--work DIR] [--write] [--again] [--only-prepare] [PACKAGE ...]

For each package of `packages.py`: download its pinned source distribution, make an environment with what its tests
need, run them with the package's own settings, then once more with `DATABASES` replaced (`site/sitecustomize.py`).
Tests that pass on SQLite alone are repeated once, since some compare times of the clock within a second.
Outcomes are kept in the working directory: a finished run is not repeated unless `--again`. The emulator is the gcloud
SDK's, one for each package. `constraints-*.txt` pin what the environments contain.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from memory.testing.emulator import emulator
from tests.ecosystem.losses import RAW_SQL, reason
from tests.ecosystem.packages import PACKAGES, REQUIREMENTS, Package
from tests.matrix import candidates, interpreters

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
DOCUMENT: Final = ROOT / "docs" / "ecosystem.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
BAR: Final = 0.985
ENGINES: Final = ("sqlite", "firestore")
REPEATED: Final = "repeated"
PYTHON: Final = (3, 12)

Outcomes = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Result:
    """One package on both engines."""

    package: Package
    labels: Sequence[str]
    sqlite: Outcomes
    firestore: Outcomes
    repeated: Sequence[str] = ()
    """The tests that failed at first, and passed when they were repeated."""

    @property
    def name(self) -> str:
        """The package's name, and whether only some of its labels have run."""
        return f"{self.package.name} (in part)" if self.not_run else self.package.name

    @property
    def not_run(self) -> list[str]:
        """The labels that have not run on both engines."""
        return [label for label in self.package.labels if label not in self.labels]

    @property
    def expected(self) -> list[str]:
        """The tests that pass on SQLite."""
        return [test for test, (outcome, _) in self.sqlite.items() if outcome == "passed"]

    @property
    def lost(self) -> dict[str, tuple[str, str]]:
        """Those of them that do not pass on Firestore: the reason, and the last line of the test's output."""
        found = {test: self.firestore.get(test, ("missing", "not run")) for test in self.expected}
        return {
            test: (reason(self.package.name, test, outcome, output), last_line(output))
            for test, (outcome, output) in found.items()
            if outcome != "passed"
        }

    @property
    def raw_sql(self) -> int:
        """How many of them run SQL that Firestore does not have."""
        return sum(why == RAW_SQL for why, _ in self.lost.values())


def last_line(output: str) -> str:
    """The error of a traceback."""
    errors = [
        line for line in output.splitlines() if re.match(r"(E\s+)?[\w.]+(Error|Exception|Broad|Contention)\b", line)
    ]
    lines = errors or output.strip().splitlines() or [""]
    return re.sub(r"^E\s+", "", lines[-1]).strip()[:160]


class Workspace:
    """The directory of archives, environments and outcomes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.archives = root / "archives"
        self.libraries = root / "libraries"
        for directory in (self.archives, self.libraries, root / "outcomes"):
            directory.mkdir(parents=True, exist_ok=True)
        link = self.libraries / "memory"  # the engine, without anything else of this repository
        if link.resolve() != (ROOT / "memory").resolve():  # another checkout's, or none
            link.unlink(missing_ok=True)
            link.symlink_to(ROOT / "memory")

    def source(self, package: Package) -> Path:
        """The unpacked source distribution."""
        target = self.root / "sources" / f"{package.name}-{package.version}"
        if not target.exists():
            archive = self._archive(package)
            with tempfile.TemporaryDirectory(dir=self.root) as directory, tarfile.open(archive) as tar:
                tar.extractall(directory, filter="data")
                [unpacked] = Path(directory).iterdir()
                target.parent.mkdir(exist_ok=True)
                unpacked.rename(target)
        return target

    def _archive(self, package: Package) -> Path:
        found = self._find(package)
        if found is None:
            requirement = f"{package.name}=={package.version}"
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", requirement]
            subprocess.run([*command, "-d", str(self.archives)], check=True)
            found = self._find(package)
        if found is None:
            raise SystemExit(f"{package.name} {package.version} has no source distribution")
        return found

    def _find(self, package: Package) -> Path | None:
        wanted = re.sub(r"[-_.]+", "-", f"{package.name}-{package.version}.tar.gz").lower()
        return next(
            (one for one in self.archives.iterdir() if re.sub(r"[-_.]+", "-", one.name).lower() == wanted), None
        )

    def python(self, package: Package) -> Path:
        """The interpreter of an environment with the packages of the group and what their tests need."""
        directory = self.root / "environments" / package.group
        group = [one for one in PACKAGES if one.group == package.group]
        needed = {*REQUIREMENTS, *(requirement for one in group for requirement in one.requires)}
        requirements = [*(f"{one.name}{one.extras}=={one.version}" for one in group), *sorted(needed)]
        stamp, wanted = directory / "requirements.txt", "\n".join(requirements)
        python = directory / "bin" / "python"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return python
        pinned = HERE / f"constraints-{package.group}.txt"
        constraints = ["-c", str(pinned)] if pinned.exists() else []
        found = interpreters(candidates())
        base = found.get(PYTHON) or next(iter(found.values()))
        subprocess.run([base, "-m", "venv", str(directory)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *constraints]
        subprocess.run([*pip, *requirements], check=True)
        stamp.write_text(wanted, encoding="utf-8")
        return python

    def outcomes(self, package: Package, engine: str, label: str) -> Path:
        """The file of one run's outcomes."""
        name = f"{package.name}-{label.split()[0]}" if len(package.labels) > 1 else package.name
        return self.root / "outcomes" / f"{name}.{engine}.jsonl"

    def repeated(self, package: Package) -> Path:
        """The file of the outcomes of tests that were repeated on the engine."""
        return self.root / "outcomes" / f"{package.name}.{REPEATED}.jsonl"

    def labels(self, package: Package) -> list[str]:
        """The labels whose runs are complete on both engines."""
        return [
            label
            for label in package.labels
            if all(self.outcomes(package, engine, label).exists() for engine in ENGINES)
        ]

    def result(self, package: Package) -> Result:
        """The outcomes on both engines. A test that passes when it is repeated passes."""
        labels = self.labels(package)
        sqlite, firestore = (
            {test: found for label in labels for test, found in read(self.outcomes(package, engine, label)).items()}
            for engine in ENGINES
        )
        again = read(self.repeated(package)) if self.repeated(package).exists() else {}
        passed = {test: one for test, one in again.items() if one[0] == "passed" and test in firestore}
        repeated = [test for test in passed if firestore[test][0] != "passed"]
        return Result(package, labels, sqlite, {**firestore, **passed}, repeated)

    def run(self, package: Package, engine: str, label: str) -> None:
        """Run the tests of a label on one engine."""
        self._run(package, engine, label.split(), self.outcomes(package, engine, label))

    def repeat(self, package: Package, tests: Sequence[str]) -> None:
        """Run single tests once more on the engine. Those that passed in an earlier repetition stay."""
        file = self.repeated(package)
        passed = {test: one for test, one in read(file).items() if one[0] == "passed"} if file.exists() else {}
        self._run(package, "firestore", tests, file)
        with file.open("a", encoding="utf-8") as output:
            output.writelines(json.dumps([test, *one]) + "\n" for test, one in passed.items())

    def _run(self, package: Package, engine: str, labels: Sequence[str], final: Path) -> None:
        """The file of outcomes is complete when it has its final name."""
        source, python = self.source(package), self.python(package)
        partial, log = final.with_suffix(".partial"), final.with_suffix(".log")
        partial.unlink(missing_ok=True)
        with log.open("w", encoding="utf-8") as output:
            done = subprocess.run(
                [str(python), *package.tests, *labels],
                cwd=source / package.directory,
                env=environment(package, source, engine, partial, self.libraries),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if not partial.exists() or not is_complete(done.returncode, log.read_text(encoding="utf-8", errors="replace")):
            raise SystemExit(f"{package.name} on {engine} did not run all tests: {log}")
        partial.rename(final)


def read(file: Path) -> Outcomes:
    """The outcomes of a run by the test's id."""
    lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return {test: (outcome, output) for test, outcome, output in lines}


def is_complete(status: int, output: str) -> bool:
    """Whether a test runner came to its end: unittest counts the tests, and pytest's status is 0 or 1."""
    return bool(re.search(r"^Ran \d+ tests? in ", output, re.MULTILINE)) or (
        status in (0, 1) and bool(re.search(r"\b\d+ (passed|failed)\b.* in [\d.]+s", output))
    )


def environment(package: Package, source: Path, engine: str, report: Path, libraries: Path) -> dict[str, str]:
    """The variables of a run."""
    own = [HERE / "site", HERE / "settings", HERE / "settings" / package.support, libraries]
    made = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "PYTEST_", "MEMORY_"))},
        "PYTHONPATH": os.pathsep.join(map(str, [*(source / one for one in package.path), *own])),
        "ECOSYSTEM_REPORT": str(report),
        **package.variables,
    }
    if package.settings:
        made["DJANGO_SETTINGS_MODULE"] = package.settings
    if engine == "firestore":
        made["ECOSYSTEM_HOST"] = emulator(f"ecosystem-{uuid.uuid4().hex[:8]}")
        made["ECOSYSTEM_PROJECT"] = f"ecosystem-{uuid.uuid4().hex[:8]}"
    return made


def table(results: Sequence[Result], unfinished: Sequence[Package] = ()) -> str:
    """The results in Markdown. Packages that have not run on both engines have a line without numbers."""
    lines = [
        "| package | version | pass on SQLite | of these on Firestore | raw SQL | share without raw SQL |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_line(r.name, r.package.version, [r]) for r in results]
    lines += [f"| {one.name} | {one.version} | not run to the end | | | |" for one in unfinished]
    lines.append(_line("**all**", "", results))
    for result in results:
        if result.lost or result.not_run or result.repeated:
            lines += ["", f"### {result.package.name}", ""]
        if result.not_run:
            lines += [f"Ran: {_names(result.labels)}. Not run: {_names(result.not_run)}.", ""]
        lines += losses(result)
    return "\n".join(lines)


def _names(labels: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for label in labels for name in label.split())


def losses(result: Result) -> Iterator[str]:
    """The tests that are lost, by reason, and those that failed at first."""
    for why in sorted({why for why, _ in result.lost.values()}):
        tests = [test for test, (known, _) in result.lost.items() if known == why]
        yield f"- {why} ({len(tests)}):"
        yield from (f"  - `{test}`" for test in sorted(tests))
    if result.repeated:
        yield f"- passed only when repeated ({len(result.repeated)}):"
        yield from (f"  - `{test}`" for test in sorted(result.repeated))


def share(results: Iterable[Result]) -> float:
    """The share of tests that pass on Firestore, of those that pass on SQLite and run no raw SQL."""
    results = list(results)
    expected = sum(len(r.expected) - r.raw_sql for r in results)
    lost = sum(len(r.lost) - r.raw_sql for r in results)
    return 1 - lost / expected if expected else 1.0


def _line(name: str, version: str, results: Sequence[Result]) -> str:
    expected, lost = sum(len(r.expected) for r in results), sum(len(r.lost) for r in results)
    raw = sum(r.raw_sql for r in results)
    return f"| {name} | {version} | {expected} | {expected - lost} | {raw} | {share(results):.1%} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if all packages have run, the bar is reached, and each lost test has a known reason."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "ecosystem", help="the working directory"
    )
    parser.add_argument(
        "--again", choices=[*ENGINES, "both", "lost"], help="run again what has run, or lost tests only"
    )
    parser.add_argument("--only-prepare", action="store_true", help="download and install, run nothing")
    parser.add_argument("--report", action="store_true", help="run nothing, show what has run")
    parser.add_argument("--write", action="store_true", help=f"write the table to {DOCUMENT.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    if unknown := set(options.packages) - {one.name for one in PACKAGES}:
        parser.error(f"unknown packages: {', '.join(sorted(unknown))}")
    work = Workspace(options.work.resolve())
    chosen = [one for one in PACKAGES if not options.packages or one.name in options.packages]
    results = []
    for package in chosen:
        if options.only_prepare:
            work.source(package)
            work.python(package)
            continue
        for label, engine in product(package.labels, ENGINES):
            ran = work.outcomes(package, engine, label).exists()
            if options.report or (ran and options.again not in (engine, "both")):
                continue
            start = time.monotonic()
            work.run(package, engine, label)
            work.repeated(package).unlink(missing_ok=True)
            sys.stdout.write(f"{package.name} {label} on {engine}: {time.monotonic() - start:.0f} s\n")
            sys.stdout.flush()
        if not work.labels(package):
            continue
        result = work.result(package)
        lost = [test for test, (why, _) in result.lost.items() if why != RAW_SQL and not why.startswith("skips")]
        again = options.again == "lost" or not work.repeated(package).exists()
        if lost and package.selects and again and not options.report:
            work.repeat(package, lost)
            result = work.result(package)
        sys.stdout.write(_line(result.name, package.version, [result]) + "\n")
        for test, (why, line) in result.lost.items():
            sys.stdout.write(f"    {test}: {why or '?'}: {line}\n")
        sys.stdout.flush()
        results.append(result)
    if options.only_prepare:
        return 0
    sys.stdout.write(_line("**all**", "", results) + "\n")
    if options.write:
        finished = {result.package.name for result in results}
        unfinished = [one for one in chosen if one.name not in finished]
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        DOCUMENT.write_text(
            f"{before}{BEGIN}\n{table(results, unfinished)}\n{END}{rest.partition(END)[2]}", encoding="utf-8"
        )
    unexplained = [test for result in results for test, (why, _) in result.lost.items() if not why]
    for test in unexplained:
        sys.stdout.write(f"{test}: no reason in tests/ecosystem/losses.py\n")
    complete = len(results) == len(chosen) and not any(result.not_run for result in results)
    return 0 if complete and share(results) >= BAR and not unexplained else 1


if __name__ == "__main__":
    sys.exit(main())

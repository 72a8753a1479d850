"""docs/architecture.md lists every part of the app, so that a newcomer finds the file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from .snippets import ROOT

TEXT = (ROOT / "docs/architecture.md").read_text()
UNLISTED = {"__init__.py", "__pycache__", "py.typed", "version.py"}


def parts(folder: str) -> list[Path]:
    """Modules and packages directly in a folder. Folders that only hold caches of deleted modules are left out."""
    found = [file for file in sorted((ROOT / folder).iterdir()) if file.name not in UNLISTED]
    return [file for file in found if file.suffix == ".py" or any(map(is_source, file.rglob("*")))]


def is_source(file: Path) -> bool:
    """Whether a file is not a cache of Python's."""
    return file.is_file() and "__pycache__" not in file.parts


@pytest.mark.parametrize(
    "path", [*parts("memory"), *parts("memory/search"), *parts("memory/backends")], ids=lambda path: path.name
)
def test_every_part_of_the_app_has_a_line(path: Path) -> None:
    """By its path from the root; a package's path ends in a slash."""
    name = f"{path.relative_to(ROOT)}{'/' if path.is_dir() else ''}"
    assert re.search(rf"`{re.escape(name)}", TEXT), name


def test_every_module_of_a_package_that_a_line_names_exists() -> None:
    """Modules in code quotes in a package's line."""
    for package, contents in re.findall(r"^\| `(memory/\w+/)`(?:, [^|]*)? \| (.*) \|$", TEXT, flags=re.MULTILINE):
        for name in re.findall(r"`(\w+)/?`", contents):
            if name.islower():
                assert (ROOT / package / f"{name}.py").exists() or (ROOT / package / name).is_dir(), package + name


def test_every_file_of_a_common_task_exists() -> None:
    """Paths in the table of tasks are in the tree."""
    table = TEXT.split("### Common tasks\n", 1)[1].split("\n## ", 1)[0]
    paths = re.findall(r"\| `([\w/.]+)` \|$", table, flags=re.MULTILINE)
    assert len(paths) == 12
    assert [path for path in paths if not (ROOT / path).exists()] == []


ENGINE = "memory/backends/firestore"
PACKAGES = ("compilers", "constraints", "indexes", "mirror", "query", "rpc", "transactions", "values")
SHIMS = {"advice.py", "together.py"}  # deprecated names


@pytest.mark.parametrize(
    "path",
    [
        file
        for folder in (ENGINE, *(f"{ENGINE}/{name}" for name in PACKAGES))
        for file in parts(folder)
        if file.suffix == ".py" and file.name not in SHIMS
    ],
    ids=lambda path: str(path.relative_to(ROOT / ENGINE)),
)
def test_every_module_of_the_engine_has_a_line(path: Path) -> None:
    """By its path in the engine, or by its name in the line of its package."""
    table = TEXT.split("### Modules\n", 1)[1].split("\n### ", 1)[0]
    relative = path.relative_to(ROOT / ENGINE)
    rows = [row for row in table.splitlines() if f"`{relative.parent}/`" in row]
    assert f"`{relative}`" in table or any(f"`{path.stem}`" in row for row in rows), relative


CONTRACTS = {
    contract["containers"][0]: [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    if contract["type"] == "layers"
}


@pytest.mark.parametrize(
    ("container", "heading"), [("memory", "## Layers of the app\n"), ("memory.backends.firestore", "### Layers\n")]
)
def test_the_layers_are_those_that_are_checked(container: str, heading: str) -> None:
    """Each row of the table is one layer of the import contract, or several in a sequence."""
    table = TEXT.split(heading, 1)[1].split("\n- ", 1)[0]
    rows = [
        set(re.findall(r"`(\w+)/?`", row)) for row in re.findall(r"^\| [^|]+ \| (`.*) \|$", table, flags=re.MULTILINE)
    ]
    layers = iter(CONTRACTS[container])
    for row in rows:
        checked: set[str] = set()
        while not row <= checked:
            checked |= next(layers)
        assert row == checked
    assert list(layers) == []


TESTS = ROOT / "tests"
ROOMS = {path.parent.relative_to(TESTS / "engine") for path in TESTS.glob("engine/**/test_*.py")}
CROSS_CUTTING = set(re.findall(r"`tests/([\w/]+)/`", TEXT.split("## Tests\n", 1)[1].split("\n## ", 1)[0]))


@pytest.mark.parametrize("room", sorted(ROOMS - {Path("behaviour")}), ids=str)
def test_every_test_of_the_engine_has_the_name_of_its_module(room: Path) -> None:
    """Behaviour of several modules is tested in `tests/engine/behaviour/`."""
    tested = {file.name.removeprefix("test_") for file in (TESTS / "engine" / room).glob("test_*.py")}
    assert sorted(name for name in tested if not (ROOT / ENGINE / room / name).exists()) == []


def test_every_test_of_a_module_of_the_app_has_its_name() -> None:
    """In `tests/`: modules directly in `memory/`."""
    tested = {file.name.removeprefix("test_") for file in TESTS.glob("test_*.py")}
    assert tested
    assert sorted(name for name in tested if not (ROOT / "memory" / name).exists()) == []


def test_every_folder_of_tests_is_a_package_or_has_a_line() -> None:
    """A package of `memory/`, or a path in the section "Tests"."""
    folders = {path.parent.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}
    assert "engine/behaviour" in CROSS_CUTTING
    packages = {path.name for path in (ROOT / "memory").iterdir() if path.is_dir()}
    assert folders - packages - CROSS_CUTTING == {"engine"}


def test_every_folder_that_the_section_names_exists() -> None:
    """A path in the section "Tests" is a folder with modules."""
    assert [path for path in CROSS_CUTTING if not list((TESTS / path).glob("*.py"))] == []

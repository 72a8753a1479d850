"""Which interpreter runs which version of Django."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import django
import pytest
from packaging.specifiers import SpecifierSet

from tests.matrix import ROOT, VERSIONS, Python, interpreters, requirements

HERE = sys.version_info[:2]


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([(3, 11)], ["3.11", None, None]),
        ([(3, 10), (3, 12)], ["3.12", "3.12", "3.12"]),
        ([(3, 13), (3, 11), (3, 12)], ["3.11", "3.12", "3.13"]),
        ([(3, 9), (3, 16)], [None, None, None]),
    ],
)
def test_a_version_gets_an_interpreter_that_it_supports(found: list[Python], chosen: list[str | None]) -> None:
    """The oldest, and for the newest Django the newest."""
    names = {one: "{}.{}".format(*one) for one in found}
    assert [version.choose(names) for version in VERSIONS] == chosen


def test_interpreters_that_do_not_run_are_left_out(tmp_path: Path) -> None:
    """pyenv has a command for each version, which fails where the version is not chosen."""
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    assert interpreters([str(shim), str(tmp_path / "none"), sys.executable]) == {HERE: sys.executable}


def test_every_version_is_one_that_the_package_allows() -> None:
    """The bounds and classifiers of the package and the matrix are the same list."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [bounds] = [one.removeprefix("Django") for one in project["dependencies"] if one.startswith("Django>")]
    names = [version.name for version in VERSIONS]
    assert [name for name in names if f"{name}.1" in SpecifierSet(bounds)] == names
    assert [one[len("Framework :: Django :: ") :] for one in project["classifiers"] if ":: Django :: " in one] == names
    assert ".".join(map(str, django.VERSION[:2])) in names


def test_requirements_name_one_django() -> None:
    """The version's, with everything else as it is pinned."""
    [first, *others] = requirements(VERSIONS[-1]).splitlines()
    assert first == f"Django~={VERSIONS[-1].name}.0"
    assert not [line for line in others if line.lower().startswith("django==")]
    assert any(line.startswith("djangorestframework==") for line in others)

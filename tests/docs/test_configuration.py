"""The documentation of configuration matches the code: variables, settings of the app, checks, failures."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from memory import health
from memory.conf import DEFAULTS
from tests.settings.variables import variables_read

ROOT = Path(__file__).resolve().parents[2]
# No default of the code's: required, or made by another variable's value.
PER_ENVIRONMENT = {"ALLOWED_HOSTS": "this machine; required in staging and production", "ENV_FILE": ".env"}


def example_lines() -> dict[str, str]:
    """The variables of `.env.example`, with the value shown."""
    pairs = re.findall(r"^#?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    assert len(pairs) == len(dict(pairs)), "a variable is there twice"
    return dict(pairs)


def table(file: str, heading: str) -> dict[str, list[str]]:
    """The rows of the first table below a heading, by their first cell."""
    section = (ROOT / "docs" / file).read_text().split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    return {cells[0].strip("`"): cells for cells in rows[2:]}


def test_every_variable_is_in_the_example_and_none_else() -> None:
    """The variables that the code reads are those in `.env.example`."""
    assert set(example_lines()) == variables_read()


def test_every_variable_is_in_the_docs_with_the_examples_default() -> None:
    """The table of docs/configuration.md and `.env.example` say the same."""
    documented, example = table("configuration.md", "## Variables of the service"), example_lines()
    assert set(documented) == set(example)
    for name, value in example.items():
        default = documented[name][2].strip("`")
        assert default == (value or PER_ENVIRONMENT.get(name, default))
        assert value or default.startswith(("none", *PER_ENVIRONMENT.values())), name


def settings_of(env_file: str, app_env: str = "") -> object:
    """All settings of a process that has only this file."""
    code = (
        "import json, settings; "
        "print(json.dumps({n: v for n, v in vars(settings).items() if n.isupper()}, default=str, sort_keys=True))"
    )
    environment = {"PATH": "/usr/bin:/bin", "ENV_FILE": env_file, **({"APP_ENV": app_env} if app_env else {})}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_example_is_a_working_env_file() -> None:
    """Copied as it is, it changes nothing."""
    assert settings_of(str(ROOT / ".env.example")) == settings_of("/dev/null")


def test_the_examples_values_are_the_defaults(tmp_path: Path) -> None:
    """With every line uncommented the settings are those of an empty file, in development and in production."""
    lines = {**example_lines(), "FIRESTORE_EMULATOR_HOST": None, "ENV_FILE": None}
    required = {"SECRET_KEY": "a-key-" * 10, "GCP_PROJECT_ID": "a-project", "ALLOWED_HOSTS": "memory.example.org"}
    for app_env, given in (("development", {}), ("production", required)):
        full, bare = tmp_path / f"{app_env}-full", tmp_path / f"{app_env}-bare"
        values = {**lines, "APP_ENV": app_env, **given}
        full.write_text("".join(f"{name}={value}\n" for name, value in values.items() if value is not None))
        bare.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        assert settings_of(str(full)) == settings_of(str(bare), app_env)


def test_every_key_of_the_apps_settings_is_documented_with_its_default() -> None:
    """Both ways; and each has a typed property."""
    documented = table("configuration.md", "## Settings of the app")
    assert {name: ast.literal_eval(cells[2].strip("`")) for name, cells in documented.items()} == DEFAULTS


def test_every_system_check_is_documented() -> None:
    """Both ways, by id."""
    sources = "".join(file.read_text() for file in ROOT.glob("memory/**/*.py"))
    assert set(table("configuration.md", "## System checks")) == set(re.findall(r'"(memory\.[EWI]\d{3})"', sources))


def test_every_failure_class_of_health_is_documented() -> None:
    """Both ways: the classes of exceptions, the wrong answers, and the rest."""
    folder = Path(health.__file__).parent
    said = {text for file in folder.glob("*.py") for text in re.findall(r'UnhealthyError\("(.+?)"\)', file.read_text())}
    assert set(table("health.md", "## Failures")) == {*health.FAILURES.values(), *said, "error"}


@pytest.mark.parametrize("component", health.SERVICE)
def test_every_component_is_documented(component: health.Component) -> None:
    """Every component has a row in docs/health.md."""
    assert f"| `{component.name}` |" in (ROOT / "docs/health.md").read_text()

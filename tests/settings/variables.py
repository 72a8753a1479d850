"""The variables that the service reads, by the calls of `settings.environment` in its source."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

from settings import environment

ROOT = Path(__file__).resolve().parents[2]


def readers() -> set[str]:
    """The functions of `settings.environment` that read a variable: their first parameter is its `name`."""
    return {
        name
        for name, function in inspect.getmembers(environment, inspect.isfunction)
        if function.__module__ == environment.__name__ and [*inspect.signature(function).parameters][:1] == ["name"]
    }


def variables_read() -> set[str]:
    """The names that settings and the server's configuration read from the environment."""
    called = readers() | {"os.environ.get", "os.getenv"}
    calls = (
        node
        for file in [*ROOT.glob("settings/*.py"), *ROOT.glob("deploy/*.py")]
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) in called
    )
    return {str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)}

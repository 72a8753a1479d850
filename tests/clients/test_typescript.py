"""The TypeScript client, generated from the checked-in schema, against the running service: `make test-typescript`."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.docs.snippets import below
from tests.live import ROOT

from .conftest import Access

FOLDER = ROOT / "clients" / "typescript"
ready = pytest.mark.skipif(
    shutil.which("node") is None or not (FOLDER / "node_modules").exists(),
    reason="needs Node.js 20 and its packages: make test-typescript",
)


def run(*command: str, **variables: str) -> str:
    """The output of a command in the client's folder."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}
    done = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def _built() -> None:
    run("npm", "run", "build")


@ready
@pytest.mark.usefixtures("_built")
def test_the_client_against_the_service(access: Access) -> None:
    """It compiles under strict rules, and its own tests pass."""
    output = run("node", "--test", "dist/test/service.test.js", MEMORY_URL=access.url, MEMORY_TOKEN=access.token)
    assert "# fail 0" in output
    assert "# pass 6" in output


@ready
@pytest.mark.usefixtures("_built")
def test_the_example_of_the_docs(access: Access) -> None:
    """It compiles and runs unchanged."""
    [code] = below(ROOT / "docs" / "clients.md", "TypeScript", "typescript")
    example = FOLDER / "test" / "example.ts"
    try:
        code = code.replace("http://localhost:8000", access.url).replace("mem_...", access.token)
        example.write_text(code.replace('"orchestra-memory-client"', '"../src/index.js"'))
        run("npx", "tsc")
        assert "I prefer trains." in run("node", "dist/test/example.js")
    finally:
        example.unlink(missing_ok=True)

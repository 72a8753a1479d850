"""Real services are used only if the environment names them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .targets import Firestore, Redis, RefusedError, Targets, targets

ROOT = Path(__file__).resolve().parents[2]
ASKED = {"MEMORY_INTEGRATION": "1"}
REAL = {"GCP_PROJECT_ID": "prod", "GCP_SA_KEY_JSON": "hunter2"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Targets()),
        (ASKED, Targets()),
        ({**REAL, "REDIS_HOST": "redis.internal"}, Targets()),
        ({**ASKED, **REAL, "FIRESTORE_EMULATOR_HOST": "localhost:1"}, Targets()),
        (
            {**ASKED, **REAL, "INTEGRATION_TEST_DATABASE": "tests"},
            Targets(firestore=Firestore("prod", "tests", {"credentials_json": "hunter2"})),
        ),
        (
            {**ASKED, "REDIS_HOST": "redis.internal", "REDIS_PASSWORD": "hunter2"},
            Targets(redis=Redis("redis.internal", 6379, "hunter2")),
        ),
    ],
)
def test_what_the_environment_names(environ: dict[str, str], expected: Targets) -> None:
    """Nothing real unless the script runs, and no secret in the output of a failing test."""
    assert targets(environ) == expected
    assert "hunter2" not in repr(targets(environ))


def test_a_project_without_the_name_of_a_database_is_refused() -> None:
    """Its default database may be production's."""
    with pytest.raises(RefusedError, match="INTEGRATION_TEST_DATABASE"):
        targets({**ASKED, **REAL})


def test_the_script_refuses_too() -> None:
    """Before any test runs, with the reason, and without the key."""
    key = {"GCP_SA_KEY_JSON": '{"type": "service_account", "private_key": "hunter2"}'}
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "ENV_FILE": "/dev/null", **REAL, **key}
    done = subprocess.run(
        [ROOT / "run_integration_tests.sh", "-q"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "INTEGRATION_TEST_DATABASE" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert "passed" not in done.stdout

"""Every variable of the service is checked at start. The names come from the source, so a new one needs a row here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from .variables import ROOT, variables_read

KEY = "s3cr3t-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2
PRODUCTION = {
    "APP_ENV": "production",
    "SECRET_KEY": KEY,
    "GCP_PROJECT_ID": "a-project",
    "ALLOWED_HOSTS": "memory.example.org",
}
DEVELOPMENT = {"APP_ENV": "development"}
FIRESTORE = {"DATABASE_URL": "firestore:", "GCP_PROJECT_ID": "a-project"}
EMULATED = {"FIRESTORE_EMULATOR_HOST": "localhost:8080"}
REDIS = {"REDIS_HOST": "cache"}
# Any text is valid.
ANY_TEXT = ("REDIS_PASSWORD", "REDIS_SENTINEL_PASSWORD")

NO_BOOLEAN = ("perhaps", "2", "hunter2")
NO_NUMBER = ("many", "1.5", "-1", "9" * 5000, "hunter2")
NO_RATE = ("many", "0/min", "60/fortnight", "60", "/min", "9" * 5000 + "/min", "hunter2")
NO_DATABASE = (
    "hunter2",
    "mystery://user:hunter2@host/name",
    "postgres://user:hunter2@host",
    "postgres://user:hunter2@host:many/name",
    "postgres://user:hunter2@[host/name",
    "mysql://user:hunter2@host/name",
    "oracle://user:hunter2@host/name",
)
NO_KEY_FILE = ("/nowhere/hunter2.json", "/", "settings/environment.py")
# By variable: the variables beside it, and values that are refused.
INVALID: Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]] = {
    "APP_ENV": ({}, ("prod", "Production")),
    "SECRET_KEY": (PRODUCTION, ("", "hunter2", "k" * 60)),
    "ALLOWED_HOSTS": (PRODUCTION, ("", "https://a.example.org", "a.example.org:80", "a.example.org/hunter2", "a b")),
    "CSRF_TRUSTED_ORIGINS": (
        DEVELOPMENT,
        ("a.example.org", "https://hunter2@a.example.org", "https://a.example.org/a"),
    ),
    "CORS_ALLOWED_ORIGINS": (DEVELOPMENT, ("a.example.org", "https://a.example.org/a", "*", "https://*.example.org")),
    "SERVER_TIMING": (DEVELOPMENT, NO_BOOLEAN),
    "LOG_LEVEL": (DEVELOPMENT, ("LOUD", "10", "hunter2")),
    "DATABASE_URL": (DEVELOPMENT, NO_DATABASE),
    "DATABASE_CONN_MAX_AGE": (PRODUCTION, ("86401", *NO_NUMBER)),
    "MEMORY_DATABASE_URL": (DEVELOPMENT, (*NO_DATABASE, "firestore:")),
    "GCP_PROJECT_ID": (PRODUCTION, ("", "A-Project", "a project", "projects/a", "a_b", "-a", '"a"', "hunter2!")),
    "FIRESTORE_DATABASE": (PRODUCTION, ("(default", "a b", "Main", "1st", "abc", "a/b", "d" * 64)),
    "GCP_SA_KEY_JSON": (PRODUCTION, ("{hunter2", "[]", "{}", '"hunter2"', '{"type": 5}', "/a/key.json")),
    "GCP_SA_KEY_PATH": (PRODUCTION, NO_KEY_FILE),
    "GOOGLE_APPLICATION_CREDENTIALS": (PRODUCTION, NO_KEY_FILE),
    "FIRESTORE_EMULATOR_HOST": (
        DEVELOPMENT,
        ("localhost", "localhost:", "localhost:0", "localhost:70000", "http://localhost:80", ":80", "a:hunter2"),
    ),
    "REDIS_HOST": (DEVELOPMENT, ("redis://cache", "cache:6379", "user:hunter2@cache", "a b", "cache/0", "*")),
    "REDIS_PORT": ({**DEVELOPMENT, **REDIS}, ("0", "70000", *NO_NUMBER)),
    "REDIS_URL": (
        DEVELOPMENT,
        (
            "hunter2",
            "http://:hunter2@cache",
            "redis://:hunter2@",
            "redis://:hunter2@[cache",
            "redis+sentinel://:hunter2@cache",
            "redis+sentinel://:hunter2@cache/main/zero",
            "redis+cluster://:hunter2@",
            "redis://:hunter2@cache:99999/0",
            "redis://:hunter2@cache:0/0",
            "redis://:hunter2@cache/zero",
            "redis://:hunter2@cache/99999999999999999999",
            "redis://cache/0?socket_timeout=hunter2",
            "unix://",
        ),
    ),
    "CACHE_TTL": (DEVELOPMENT, ("0", "9" * 15, *NO_NUMBER)),
    "ENCRYPTION_KEYS": (DEVELOPMENT, ("hunter2", "a" * 44 + "," + "hunter2", "é" * 44)),
    "THROTTLE_ANONYMOUS": (DEVELOPMENT, NO_RATE),
    "THROTTLE_USER": (DEVELOPMENT, NO_RATE),
    "BEHIND_PROXY": (DEVELOPMENT, NO_BOOLEAN),
    "SECURE_SSL_REDIRECT": (PRODUCTION, NO_BOOLEAN),
    "SECURE_HSTS_SECONDS": (PRODUCTION, NO_NUMBER),
    "SECURE_HSTS_INCLUDE_SUBDOMAINS": (PRODUCTION, NO_BOOLEAN),
    "SECURE_HSTS_PRELOAD": (PRODUCTION, NO_BOOLEAN),
    "PORT": (PRODUCTION, ("0", "70000", *NO_NUMBER)),
    "WEB_CONCURRENCY": (PRODUCTION, ("0", "9999", *NO_NUMBER)),
    "WEB_THREADS": (PRODUCTION, ("0", "9999", *NO_NUMBER)),
    "ENV_FILE": (DEVELOPMENT, ("/nowhere/hunter2", "/", "docs/images/changelist.png")),
}
# By variable: the variables beside it, and unusual values that are accepted.
VALID: Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]] = {
    "ALLOWED_HOSTS": (PRODUCTION, ("*", ".example.org", "a.example.org, [::1]", "10.0.0.1", "my_host")),
    "CSRF_TRUSTED_ORIGINS": (DEVELOPMENT, ("", "https://a.example.org:8443, http://*.example.org")),
    "DATABASE_URL": (
        PRODUCTION,
        ("sqlite://", "sqlite:///", "sqlite:////tmp/a.sqlite3", "postgres://a:b%40c@[::1]/n", "firestore:"),
    ),
    "GCP_PROJECT_ID": (PRODUCTION, ("my-project-1", "example.org:my-project", "123456789012")),
    "FIRESTORE_DATABASE": (PRODUCTION, ("", "(default)", "main", "restored-2026-01")),
    "GCP_SA_KEY_JSON": (PRODUCTION, ('{"type": "service_account"}', ' {"type": "external_account"} ')),
    "GOOGLE_APPLICATION_CREDENTIALS": (DEVELOPMENT, ("/nowhere/key.json",)),
    "FIRESTORE_EMULATOR_HOST": (DEVELOPMENT, ("localhost:8080", "[::1]:8080", "fire_store:80")),
    "REDIS_HOST": (DEVELOPMENT, ("cache", "10.0.0.1", "[::1]", "redis_cache", "cache.example.org")),
    "REDIS_PASSWORD": ({**DEVELOPMENT, **REDIS}, ("p@ss:w/rd#$%", "é", '"')),
    "REDIS_SENTINEL_PASSWORD": ({**DEVELOPMENT, "REDIS_URL": "redis+sentinel://a:1,b/main/2"}, ("p@ss:w/rd#$%", "é")),
    "THROTTLE_USER": (DEVELOPMENT, ("1/s", "60/minute", "999999999/day")),
    "SECURE_HSTS_SECONDS": (PRODUCTION, ("0", "31536000")),
    "SECRET_KEY": (DEVELOPMENT, ("", "short")),
    "BEHIND_PROXY": (DEVELOPMENT, ("", "YES", "off")),
    "LOG_LEVEL": (DEVELOPMENT, ("debug",)),
}

START = """
import json, os, runpy, sys
answers = []
for name, variables in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update({"ENV_FILE": "/dev/null", **variables})
    for module in [module for module in sys.modules if module.split(".")[0] in ("settings", "deploy")]:
        del sys.modules[module]
    try:
        if name in ("PORT", "WEB_CONCURRENCY", "WEB_THREADS"):
            runpy.run_path("deploy/gunicorn.conf.py")
        else:
            import settings
    except SystemExit as exit:
        answers.append(exit.code)
    except BaseException as error:
        answers.append(f"{type(error).__name__}: {error}")
    else:
        answers.append("")
json.dump(answers, sys.stdout)
"""


def started(cases: list[tuple[str, Mapping[str, str]]]) -> list[str]:
    """The error of each start of the service with these variables only; empty if it starts."""
    done = subprocess.run(
        [sys.executable, "-c", START], cwd=ROOT, input=json.dumps(cases), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


def cases(table: Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]]) -> list[tuple[str, dict[str, str]]]:
    """Each value of a table, with the variables beside it."""
    return [(name, {**beside, name: value}) for name, (beside, values) in table.items() for value in values]


def test_every_variable_has_invalid_values() -> None:
    """Or accepts any text. A variable that the source reads and this table lacks fails here."""
    assert variables_read() == {*INVALID, *ANY_TEXT}


def test_invalid_values_are_refused_in_one_sentence() -> None:
    """It names the variable, and has no value of a variable."""
    sent = cases(INVALID)
    assert len(sent) > 100
    wrong: list[Any] = []
    for (name, variables), answer in zip(sent, started(sent), strict=True):
        is_sentence = answer.startswith("Configuration error: ") and "\n" not in answer and answer.endswith(".")
        if not is_sentence or name not in answer or "hunter2" in answer or KEY in answer:
            wrong.append((name, variables[name][:80], answer))
    assert wrong == []


def test_unusual_values_are_accepted() -> None:
    """Including variables that the chosen databases do not use."""
    sent = cases(VALID)
    wrong = [(case, answer) for case, answer in zip(sent, started(sent), strict=True) if answer]
    assert wrong == []


@pytest.mark.parametrize("name", ["psycopg", "psycopg2"])
def test_a_database_without_its_driver_is_refused(name: str) -> None:
    """PostgreSQL needs one of two packages."""
    code = (
        "import sys; sys.modules.update(psycopg=None, psycopg2=None); sys.modules.pop(sys.argv[1]); "
        "sys.modules[sys.argv[1]] = type(sys) (sys.argv[1]) if len(sys.argv) > 2 else None; import settings"
    )
    variables = {**DEVELOPMENT, "ENV_FILE": "/dev/null", "DATABASE_URL": "postgres://user:hunter2@host/name"}
    run = [sys.executable, "-c", code, name]
    refused = subprocess.run(run, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr == (
        "Configuration error: DATABASE_URL needs a package that is not installed: psycopg or psycopg2.\n"
    )
    accepted = subprocess.run([*run, "it"], cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert accepted.returncode == 0, accepted.stderr

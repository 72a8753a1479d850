"""Which Firestore and Redis the integration tests use: those that the tests start, or real ones, by the environment.

Real services are used by `run_integration_tests.sh` only, and a real database only where its name is given for this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class RefusedError(Exception):
    """The environment names a database that is not declared for tests."""


@dataclass(frozen=True)
class Firestore:
    """A database of a real project."""

    project: str
    database: str
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Redis:
    """A real Redis."""

    host: str
    port: int
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Targets:
    """None: one of the tests' own."""

    firestore: Firestore | None = None
    redis: Redis | None = None


def targets(environ: Mapping[str, str]) -> Targets:
    """The targets in the environment. Raises `RefusedError` for a real project without a database for tests."""
    if environ.get("MEMORY_INTEGRATION") != "1":
        return Targets()
    return Targets(_firestore(environ), _redis(environ))


def _firestore(environ: Mapping[str, str]) -> Firestore | None:
    project = environ.get("GCP_PROJECT_ID")
    if not project or environ.get("FIRESTORE_EMULATOR_HOST"):
        return None
    database = environ.get("INTEGRATION_TEST_DATABASE")
    if not database:
        raise RefusedError(
            f"GCP_PROJECT_ID names the project {project}, and no database of it is named for tests. Set "
            'INTEGRATION_TEST_DATABASE to the id of a database that tests may write to ("(default)" is one), or unset '
            "GCP_PROJECT_ID to use an emulator."
        )
    names = {"credentials_json": "GCP_SA_KEY_JSON", "credentials_path": "GCP_SA_KEY_PATH"}
    given = {option: environ[name] for option, name in names.items() if environ.get(name)}
    return Firestore(project, database, given)


def _redis(environ: Mapping[str, str]) -> Redis | None:
    host = environ.get("REDIS_HOST")
    if not host:
        return None
    return Redis(host, int(environ.get("REDIS_PORT") or 6379), environ.get("REDIS_PASSWORD") or None)

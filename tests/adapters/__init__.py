import json
import os

import pytest

# On Firestore without the transaction of a test, in which its own writes are read from memory.
DATABASE = pytest.mark.django_db(
    transaction=os.environ.get("MEMORY_TEST_ENGINE") == "firestore", databases=["default", "memory"]
)

RESULTS = os.environ.get("MEMORY_CONFORMANCE")


def record(suite: str, part: str, passed: int, failed: int, skipped: int) -> None:
    """Write a result of an outside suite for docs/adapters/conformance.md, if `tests.adapters.run` asks for it."""
    if RESULTS:
        line = {"suite": suite, "part": part, "passed": passed, "failed": failed, "skipped": skipped}
        with open(RESULTS, "a") as file:
            file.write(json.dumps(line) + "\n")

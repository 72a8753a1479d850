"""A pytest plugin, loaded before Django's settings: tests run in the environment "test", whatever the shell says.

With `MEMORY_TEST_ENGINE=firestore` the app's models live in the Firestore emulator instead of SQLite, with `postgresql`
in a PostgreSQL: the same tests, which must have the same answers.
"""

import os
import uuid

os.environ["APP_ENV"] = "test"
if os.environ.get("MEMORY_TEST_ENGINE") == "firestore":
    from memory.testing.emulator import emulator, unavailable_reason

    if unavailable_reason() is None:
        # Set for xdist's workers too, which inherit it: one emulator a run.
        os.environ["FIRESTORE_EMULATOR_HOST"] = emulator(uuid.uuid4().hex)

if os.environ.get("MEMORY_TEST_ENGINE") == "postgresql" and not os.environ.get("MEMORY_DATABASE_URL"):
    from tests import postgres

    if postgres.programs() is not None:
        os.environ["MEMORY_DATABASE_URL"] = postgres.url()

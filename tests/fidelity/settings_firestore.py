"""Django's tests on the engine: the same settings but for the database.

`auto_ids` is "time", since many of those tests expect rows in the order of insertion where they ask for none.
"""

import os

from .settings_sqlite import *  # noqa: F403 - the same settings but for the database

_DATABASE = {
    "ENGINE": "memory.backends.firestore",
    "PROJECT": os.environ.get("FIDELITY_PROJECT", "fidelity"),
    "HOST": os.environ["FIRESTORE_EMULATOR_HOST"],
    "OPTIONS": {"auto_ids": os.environ.get("FIDELITY_AUTO_IDS", "time")},
}
DATABASES = {"default": {**_DATABASE, "NAME": "(default)"}, "other": {**_DATABASE, "NAME": "other"}}

"""A pytest plugin, loaded before Django's settings: tests run in the environment "test", whatever the shell says."""

import os

os.environ["APP_ENV"] = "test"

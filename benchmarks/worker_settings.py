"""The project's settings with `SEARCH_CACHE_BYTES` from the environment, for `benchmarks.worker_memory`."""

import os

from settings import *  # noqa: F403
from settings import MEMORY as DEFAULT
from settings import MIDDLEWARE as USUAL

MEMORY = {**DEFAULT, "SEARCH_CACHE_BYTES": int(os.environ["SEARCH_CACHE_BYTES"])}
MIDDLEWARE = [
    *(["benchmarks.worker_account.AccountMiddleware"] if "WORKER_ACCOUNT" in os.environ else []),
    *USUAL,
]

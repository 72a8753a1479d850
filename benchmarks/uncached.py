"""The project's settings without the conversation cache, for comparison; other data stays in Redis."""

from settings import *  # noqa: F403
from settings import MEMORY as WITH_CACHE

MEMORY = {**WITH_CACHE, "CACHE": None}

"""The project's settings without its conversation cache, for comparison; everything else stays in Redis."""

from settings import *  # noqa: F403
from settings import MEMORY as WITH_CACHE

MEMORY = {**WITH_CACHE, "CACHE": None}

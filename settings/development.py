"""A developer's machine: everything embedded, errors shown in the browser."""

from .base import *  # noqa: F403
from .base import ALLOWED_HOSTS, MEMORY, SECRET_KEY

DEBUG = True
# Known to everybody, so of use on one's own machine only; staging and production refuse to start without their own.
SECRET_KEY = SECRET_KEY or "insecure-development-key-that-only-a-local-machine-may-use"
ALLOWED_HOSTS = ALLOWED_HOSTS or ["localhost", "127.0.0.1", "[::1]"]
MEMORY = {**MEMORY, "MANAGER": "memory.stores.FirestoreMemoryManager"}

"""Settings for development: embedded databases, errors shown in the browser."""

from .base import *  # noqa: F403
from .base import ALLOWED_HOSTS, MEMORY, SECRET_KEY

DEBUG = True
# runserver's own; `orchestra.wsgi`, for servers, refuses to start unless APP_ENV says development.
WSGI_APPLICATION = None
# Public, so only for development; staging and production require SECRET_KEY.
SECRET_KEY = SECRET_KEY or "insecure-development-key-that-only-a-local-machine-may-use"
ALLOWED_HOSTS = ALLOWED_HOSTS or ["localhost", "127.0.0.1", "[::1]"]
MEMORY = {**MEMORY, "MANAGER": "memory.stores.FirestoreMemoryManager"}

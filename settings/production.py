"""Settings for production: explicit variables and secure transport."""

from .base import *  # noqa: F403
from .base import APP_ENV, MEMORY
from .environment import MAX_SECONDS, ConfigurationError, boolean, hosts, integer, project, required, secret_key, text

if APP_ENV == "production" and text("FIRESTORE_EMULATOR_HOST"):
    raise ConfigurationError("FIRESTORE_EMULATOR_HOST must not be set: production never uses the emulator.")

SECRET_KEY = secret_key(f"{APP_ENV} needs a random key of at least 50 characters")
GCP_PROJECT_ID = required("GCP_PROJECT_ID", f"{APP_ENV} needs the Google Cloud project that holds its data", project)
required("ALLOWED_HOSTS", f"{APP_ENV} needs the host names that it serves, separated by commas")
ALLOWED_HOSTS = hosts("ALLOWED_HOSTS")

MEMORY = {**MEMORY, "MANAGER": "memory.stores.ConcreteMemoryManager"}

SECURE_SSL_REDIRECT = boolean("SECURE_SSL_REDIRECT", True)
# Orchestrators probe over HTTP inside the network.
SECURE_REDIRECT_EXEMPT = [r"^api/health"]
SECURE_HSTS_SECONDS = integer("SECURE_HSTS_SECONDS", 31_536_000, most=MAX_SECONDS)
SECURE_HSTS_INCLUDE_SUBDOMAINS = boolean("SECURE_HSTS_INCLUDE_SUBDOMAINS", True)
SECURE_HSTS_PRELOAD = boolean("SECURE_HSTS_PRELOAD", True)
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

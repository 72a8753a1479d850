"""Settings of all environments. Environments import these and override some."""

from typing import Any

from memory.api.headers import REQUEST_HEADERS, RESPONSE_HEADERS
from memory.api.openapi import SPECTACULAR_SETTINGS as SPECTACULAR_SETTINGS

from .environment import (
    BASE_DIR,
    MAX_SECONDS,
    app_env,
    boolean,
    exact_origins,
    fernet_keys,
    hosts,
    integer,
    level,
    origins,
    rate,
    text,
)
from .firestore import MEMORY as MEMORY_ALIAS
from .firestore import databases, firestore
from .redis import redis_cache

APP_ENV = app_env()
DEBUG = False
SECRET_KEY = text("SECRET_KEY")
ALLOWED_HOSTS = hosts("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = origins("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "memory",
    "memory.access",
    "orchestra",
]

MIDDLEWARE = [
    "memory.request_ids.RequestIDMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "orchestra.middleware.ContentSecurityPolicyMiddleware",
    "memory.usage.UsageMiddleware",
    "memory.lifecycle.audit.AuditMiddleware",
]

# The header Server-Timing of a request's calls to Firestore.
if boolean("SERVER_TIMING", False):
    MIDDLEWARE = [MIDDLEWARE[0], "memory.backends.firestore.middleware.ServerTimingMiddleware", *MIDDLEWARE[1:]]

# Websites whose scripts may call the API; none by default, and then nothing of CORS is loaded.
CORS_ALLOWED_ORIGINS = exact_origins("CORS_ALLOWED_ORIGINS")
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = REQUEST_HEADERS
CORS_EXPOSE_HEADERS = RESPONSE_HEADERS
if CORS_ALLOWED_ORIGINS:
    INSTALLED_APPS = [*INSTALLED_APPS, "corsheaders"]
    MIDDLEWARE = [MIDDLEWARE[0], "corsheaders.middleware.CorsMiddleware", *MIDDLEWARE[1:]]

ROOT_URLCONF = "orchestra.urls"
WSGI_APPLICATION: str | None = "orchestra.wsgi.application"
ASGI_APPLICATION = "orchestra.asgi.application"
# The API's URL patterns have an optional trailing slash.
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES: dict[str, dict[str, Any]] = databases(deployed=APP_ENV in ("staging", "production"))
DATABASE_ROUTERS = ["memory.routers.MemoryRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHE_TTL = integer("CACHE_TTL", 3600, least=1, most=MAX_SECONDS)
CACHES: dict[str, dict[str, Any]] = {
    "default": redis_cache(CACHE_TTL)
    or {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "TIMEOUT": CACHE_TTL}
}

MEMORY: dict[str, Any] = {
    "DATABASE": MEMORY_ALIAS if MEMORY_ALIAS in DATABASES else "default",
    "CACHE": "default",
    "CACHE_TTL": CACHE_TTL,
    "FIRESTORE": firestore(),
    "ENCRYPTION_KEYS": fernet_keys("ENCRYPTION_KEYS"),
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"

BEHIND_PROXY = boolean("BEHIND_PROXY", False)
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    # The number of trusted proxies in X-Forwarded-For, for throttling by address.
    "NUM_PROXIES": 1 if BEHIND_PROXY else 0,
    "DEFAULT_THROTTLE_RATES": {
        "memory-anonymous": rate("THROTTLE_ANONYMOUS", "60/min"),
        "memory-user": rate("THROTTLE_USER", "6000/min"),
    },
}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} [{request_id}]: {message}", "style": "{"}},
    "filters": {"request_id": {"()": "memory.request_ids.RequestIDFilter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]}},
    "root": {"handlers": ["console"], "level": level("LOG_LEVEL", "INFO")},
}

DEFAULT_EXCEPTION_REPORTER_FILTER = "orchestra.reporting.ReporterFilter"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
# In the database only: a Redis restored from a snapshot would accept the cookies of users who have logged out.
SESSION_ENGINE = "django.contrib.sessions.backends.db"
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

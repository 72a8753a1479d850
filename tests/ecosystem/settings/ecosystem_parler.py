"""django-parler: its source distribution contains no runtests.py."""

SECRET_KEY = "parler"
SITE_ID = 4
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
ROOT_URLCONF = "parler.tests.testapp.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sites",
    "django.contrib.admin",
    "django.contrib.sessions",
    "parler",
    "parler.tests.testapp",
]
MIDDLEWARE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
)
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.i18n",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    },
]
LANGUAGE_CODE = "en"
PARLER_LANGUAGES = {
    4: ({"code": "nl"}, {"code": "de"}, {"code": "en"}),
    "default": {"fallbacks": ["en"]},
}

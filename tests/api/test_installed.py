"""The API in a project without REST_FRAMEWORK, MEMORY and SPECTACULAR_SETTINGS, and in one with other values."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = """
import json
import sys

import django
from django.conf import settings
from django.urls import include, path

settings.configure(
    SECRET_KEY="a-key-for-a-test",
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
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
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    STATIC_URL="static/",
    USE_TZ=True,
    TIME_ZONE="Asia/Tokyo",
    **json.loads(sys.argv[1]),
)
django.setup()
urlpatterns = [path("deep/down/", include("memory.api.urls"))]

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

call_command("migrate", verbosity=0)
nobody, client = Client(), Client()
client.force_login(get_user_model().objects.create_user("ada"))
created = client.post(
    "/deep/down/memory-items/",
    {"item_type": "m", "timestamp": "2026-01-31T12:00:00Z"},
    content_type="application/json",
)
anonymous = nobody.get("/deep/down/memory-items/")
schema = nobody.get("/deep/down/schema/?format=json")
print(json.dumps({
    "created": [created.status_code, created.json(), created["Location"]],
    "listed": client.get("/deep/down/memory-items/").json(),
    "anonymous": [anonymous.status_code, anonymous["WWW-Authenticate"], anonymous.json()],
    "wrong": client.get("/deep/down/memory-items/?limit=0").json(),
    "pages": [nobody.get(f"/deep/down/{page}/").status_code for page in ("docs", "redoc")],
    "schema": [schema.status_code, schema.json()["info"]["title"], sorted(schema.json()["paths"])],
}))
"""

CHECKED = (
    PROJECT.partition("from django.contrib.auth")[0]
    + """
from django.core.checks import run_checks
print(*(found.id for found in run_checks()))
"""
)

OTHER_SETTINGS = {
    "REST_FRAMEWORK": {
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.TemplateHTMLRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
        "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
        "DEFAULT_FILTER_BACKENDS": ["rest_framework.filters.SearchFilter"],
        "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.ScopedRateThrottle"],
        "NON_FIELD_ERRORS_KEY": "all",
        "DATETIME_FORMAT": "%Y",
        "EXCEPTION_HANDLER": "nowhere.to.be.found",
        "PAGE_SIZE": 1,
    },
    "SPECTACULAR_SETTINGS": {"TITLE": "Another API", "COMPONENT_SPLIT_REQUEST": False},
    "APPEND_SLASH": False,
}


@pytest.mark.parametrize("settings", [{}, OTHER_SETTINGS], ids=["no settings", "other settings"])
def test_api_does_not_depend_on_the_projects_settings(settings: dict[str, Any]) -> None:
    """Records, errors and the schema do not depend on REST_FRAMEWORK; session authentication suffices."""
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROJECT, json.dumps(settings)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    status, item, location = result["created"]
    assert (status, item["user_id"], item["timestamp"]) == (201, "ada", "2026-01-31T12:00:00Z")
    assert location == f"http://testserver/deep/down/memory-items/{item['id']}/"
    assert result["listed"] == {"next": None, "previous": None, "has_more": False, "results": [item]}
    assert result["anonymous"][:2] == [401, "Session"]
    assert result["anonymous"][2]["error"]["code"] == "not_authenticated"
    assert result["wrong"]["error"]["fields"]["limit"][0]["code"] == "invalid"
    assert result["pages"] == [200, 200]
    assert result["schema"][:2] == [200, "Orchestra memory"]
    assert "/deep/down/memory-items/bulk/" in result["schema"][2]


@pytest.mark.parametrize(("memory", "check"), [(["a"], "memory.E001"), ({"RETENTION": [{"days": 3}]}, "memory.E018")])
def test_wrong_settings_are_reported_by_checks(memory: Any, check: str) -> None:
    """With the API's URLs, whose modules are imported before the checks run."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHECKED, json.dumps({"MEMORY": memory})],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert check in run.stdout.split()

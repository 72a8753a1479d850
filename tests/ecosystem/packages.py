"""The packages whose tests run on the engine, and how each starts its tests.

`tests` follows the interpreter, as the package's own continuous integration has it, without the options for coverage
and for several processes. Options that a package gives pytest in its configuration (`addopts`) are emptied for the same
reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

REQUIREMENTS: Final = (
    "Django~=5.2.0",
    "google-cloud-firestore>=2.21,<3",
    "numpy>=2",
    "tqdm>=4.66,<5",
    "pytest>=8.3.5,<9",
    "pytest-django>=4.11,<4.13",
)
"""What each environment contains: Django, the engine's own requirements, and the test runner."""

PYTEST: Final = ("-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:randomly")
NAMESPACE: Final = (*PYTEST, "-o", "consider_namespace_packages=true")
"""The package's tests have no `__init__.py`, and a directory of `support` completes them."""
DJANGO_TEST: Final = ("-m", "django", "test", "--noinput", "-v1")


@dataclass(frozen=True)
class Package:
    """A package of the registry: one pinned source distribution."""

    name: str
    version: str
    tests: tuple[str, ...]
    """The arguments of Python that run tests; labels follow."""
    requires: tuple[str, ...] = ()
    """What its tests need beside the package, Django and the engine."""
    extras: str = ""
    directory: str = "."
    """The working directory, inside the source distribution."""
    path: tuple[str, ...] = (".",)
    """Directories inside the source distribution that are on `sys.path`."""
    support: str = ""
    """A directory of `tests/ecosystem/settings` with modules that the source distribution does not contain."""
    settings: str = ""
    """DJANGO_SETTINGS_MODULE. Modules of `tests/ecosystem/settings` start with `ecosystem_`: they stand in for settings
    that the source distribution does not contain, or change those that cannot be used."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variables of the environment."""
    labels: tuple[str, ...] = ("tests",)
    """The labels of all tests. Each is a run of its own, so that a long suite can be interrupted."""
    selects: bool = True
    """Whether the command accepts labels."""
    group: str = "common"
    """Packages of a group share a virtual environment."""


PACKAGES: Final = (
    Package("django-solo", "2.5.1", DJANGO_TEST, labels=("solo",), settings="solo.tests.settings"),
    Package("django-axes", "8.3.1", PYTEST, ("pytest-subtests", "django-ipware>=3")),
    Package(
        "django-otp",
        "1.7.5",
        DJANGO_TEST,
        ("freezegun", "qrcode", "segno"),
        path=("src", "test"),
        settings="test_project.settings",
        labels=("django_otp",),
    ),
    Package(
        "djangorestframework-simplejwt",
        "5.5.1",
        PYTEST,
        ("cryptography", "freezegun", "python-jose==3.3.0"),
    ),
    Package(
        "django-celery-results",
        "2.6.0",
        PYTEST,
        ("pytest-benchmark", "pytz", "psycopg[binary]"),
        labels=("t/unit",),
    ),
    Package(
        "django-celery-beat", "2.9.0", (*PYTEST, "-p", "no:timeout"), ("pytest-timeout", "ephem"), labels=("t/unit",)
    ),
    Package("django-filter", "26.2", ("runtests.py",), ("django-crispy-forms",), labels=("",)),
    Package("django-constance", "4.4.0", PYTEST, ("redis",), settings="tests.settings"),
    Package("django-ordered-model", "3.7.4", DJANGO_TEST, settings="tests.settings", labels=("",)),
    Package(
        "django-model-utils",
        "5.0.0",
        PYTEST,
        ("psycopg2-binary", "time-machine"),
        variables={"SQLITE": "1"},
    ),
    Package(
        "django-reversion",
        "6.4.0",
        ("manage.py", "test", "--noinput"),
        directory="tests",
        path=(".", "tests"),
        settings="ecosystem_reversion",
        labels=("",),
    ),
    Package(
        "django-guardian",
        "3.5.2",
        PYTEST,
        ("django-environ",),
        settings="guardian.testapp.testsettings",
        labels=("guardian",),
    ),
    Package(
        "django-auditlog",
        "3.4.1",
        ("manage.py", "test", "--noinput"),
        ("freezegun", "psycopg2-binary"),
        directory="auditlog_tests",
        labels=("",),
    ),
    Package(
        "django-import-export",
        "4.4.3",
        ("tests/manage.py", "test", "--noinput"),
        (
            "tablib[all]>=3.7.0",
            "chardet==5.2.0",
            "pytz==2024.2",
            "memory-profiler==0.61.0",
            "django-extensions",
            "psycopg[binary]",
        ),
        labels=("core",),
    ),
    Package("django-taggit", "5.0.1", DJANGO_TEST, settings="tests.settings", labels=("",)),
    Package("django-treebeard", "7.0.3", PYTEST, settings="tests.settings"),
    Package(
        "django-allauth",
        "65.22.1",
        # The deselected test skips itself on SQLite, and waits forever on other databases: the request that redeems the
        # code looks it up once more after its commit, where the test's barrier waits for all eight threads again.
        (
            *PYTEST,
            "--ds=tests.projects.regular.settings",
            "--deselect=tests/apps/idp/oidc/test_authorization.py::test_authorization_code_concurrent_redemption",
        ),
        ("pytest-asyncio==1.3.0", "Pillow", "pyyaml", "django-ninja>=1.3,<2"),
        extras="[mfa,openid,socialaccount,steam]",
    ),
    Package(
        "djangorestframework",
        "3.18.3",
        (*PYTEST, "--no-migrations"),
        (
            "dj-database-url",
            "inflection==0.5.1",
            "markdown",
            "psycopg[binary]",
            "pygments",
            "pyyaml",
            "requests",
            "uritemplate",
        ),
    ),
    Package("django-simple-history", "3.13.0", ("runtests.py",), labels=("",), selects=False),
    Package(
        "dj-rest-auth",
        "7.2.0",
        DJANGO_TEST,
        ("pyotp~=2.9.0", "responses"),
        path=(".", "dj_rest_auth"),
        settings="ecosystem_rest_auth",
        labels=("dj_rest_auth",),
    ),
    Package("django-parler", "2.4", DJANGO_TEST, settings="ecosystem_parler", labels=("parler",)),
    Package("django-safedelete", "1.5.0", DJANGO_TEST, settings="safedelete.tests.settings", labels=("safedelete",)),
    Package(
        "django-organizations",
        "2.7.0",
        PYTEST,
        ("django-extensions", "django-autoslug", "mock-django", "mock"),
        path=(".", "organizations"),
    ),
    Package(
        "django-tasks-db",
        "0.13.0",
        DJANGO_TEST,
        ("django-tasks>=0.12,<0.13",),
        support="tasks_db",
        settings="ecosystem_tasks_db",
        labels=("tests.tests",),
    ),
    Package(
        "django-contrib-comments",
        "2.2.0",
        DJANGO_TEST,
        path=(".", "tests"),
        settings="ecosystem_comments",
        labels=("testapp",),
    ),
    Package(
        "django-push-notifications",
        "3.3.0",
        PYTEST,
        ("firebase-admin>=6.2", "pywebpush", "aioapns>=3.1,<3.2"),
        settings="tests.settings",
    ),
    Package("djangorestframework-api-key", "3.1.0", PYTEST, ("django-dotenv",), path=(".", "src")),
    Package(
        "django-simple-captcha",
        "0.7.0",
        ("manage.py", "test", "--noinput", "--settings=drf_settings"),
        ("testfixtures",),
        directory="testproject",
        path=(".", "testproject"),
        labels=("captcha",),
    ),
    Package("django-dirtyfields", "1.9.9", PYTEST, ("jsonfield",)),
    Package(
        "django-waffle",
        "5.0.0",
        DJANGO_TEST,
        support="waffle",
        settings="ecosystem_waffle",
        labels=("waffle",),
        group="accounts",
    ),
    Package(
        "django-two-factor-auth",
        "1.18.1",
        NAMESPACE,
        ("freezegun", "selenium"),
        extras="[call,phonenumberslite,webauthn,yubikey]",
        support="two_factor",
        settings="ecosystem_two_factor",
        labels=("tests two_factor",),
        group="accounts",
    ),
    Package(
        "django-oauth-toolkit",
        "3.4.1",
        (*NAMESPACE, "-p", "tests.plugin"),
        ("djangorestframework", "django-ninja", "pytest-mock"),
        support="oauth_toolkit",
        settings="tests.settings",
        group="accounts",
    ),
    Package(
        "wagtail",
        "8.0.1",
        ("wagtail/test/manage.py", "test", "--noinput"),
        (
            "Jinja2>=3.0,<3.2",
            "boto3",
            "freezegun",
            "azure-identity>=1,<2",
            "azure-mgmt-cdn>=12,<15",
            "azure-mgmt-frontdoor>=1,<3",
            "django-pattern-library>=0.7",
            "responses>=0.25,<1",
            "factory-boy>=3.2",
            "tblib>=3.0,<4.0",
            "polib",
        ),
        labels=(
            "wagtail.users wagtail.embeds wagtail.locales wagtail.sites wagtail.test",
            "wagtail.contrib",
            "wagtail.api",
            "wagtail.documents",
            "wagtail.images",
            "wagtail.snippets",
            "wagtail.tests",
            "wagtail.admin",
        ),
        settings="ecosystem_wagtail",
        group="wagtail",
    ),
)
"""Small ones first."""

"""The project's settings in a deployment: a process with an environment, its output and its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s3cr3t-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2
DEPLOYED = {"SECRET_KEY": SECRET, "GCP_PROJECT_ID": "a-project", "ALLOWED_HOSTS": "memory.example.org"}


def run(*args: str, env_file: str = "/dev/null", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project with only these variables."""
    environment = {"PATH": "/usr/bin:/bin", "ENV_FILE": env_file, "DJANGO_SETTINGS_MODULE": "settings", **variables}
    return subprocess.run(
        [sys.executable, *args], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def setting(expression: str, env_file: str = "/dev/null", **variables: str) -> object:
    """The value of an expression over `settings`, by way of JSON."""
    code = f"import json; from django.conf import settings; print(json.dumps({expression}, default=str))"
    done = run("-c", code, env_file=env_file, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"APP_ENV": "prod"}, "APP_ENV"),
        ({"APP_ENV": "development", "REDIS_URL": "http://:hunter2@cache"}, "REDIS_URL"),
        ({"APP_ENV": "development", "DATABASE_URL": "mystery://user:hunter2@host/name"}, "DATABASE_URL"),
        ({"APP_ENV": "development", "ENV_FILE": "/nowhere/hunter2"}, "ENV_FILE"),
        ({"APP_ENV": "staging", **DEPLOYED, "SECRET_KEY": "hunter2"}, "SECRET_KEY"),
        ({"APP_ENV": "production", **DEPLOYED, "FIRESTORE_EMULATOR_HOST": "localhost:1"}, "FIRESTORE_EMULATOR_HOST"),
        *(
            ({"APP_ENV": name, **{key: value for key, value in DEPLOYED.items() if key != missing}}, missing)
            for name in ("staging", "production")
            for missing in DEPLOYED
        ),
    ],
)
def test_bad_configuration_is_one_sentence_and_exit_code_1(variables: dict[str, str], named: str) -> None:
    """A wrong or missing variable is reported by name in one line, without a traceback or any secret.

    `test_variables.py` has each variable.
    """
    environment = {"env_file": "/dev/null", **variables}
    environment["env_file"] = environment.pop("ENV_FILE", environment["env_file"])
    done = run("manage.py", "check", **environment)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Configuration error: ")
    assert named in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert SECRET not in done.stderr + done.stdout


@pytest.mark.parametrize("name", ["staging", "production"])
def test_deployment_check_is_clean(name: str) -> None:
    """`check --deploy` has no warnings if the required variables are set."""
    done = run("-W", "error", "manage.py", "check", "--deploy", "--fail-level", "WARNING", APP_ENV=name, **DEPLOYED)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize("name", ["", "development", "test", "staging", "production"])
def test_each_environment_starts(name: str) -> None:
    """Every value of `APP_ENV` makes a working project; development is the default."""
    variables = DEPLOYED if name in ("staging", "production") else {}
    assert setting("settings.APP_ENV", APP_ENV=name, **variables) == (name or "development")
    assert setting("settings.DEBUG", APP_ENV=name, **variables) is (name in ("", "development"))


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    """A variable of the process hides the file's; comments, `#` and `$` in a value do no harm."""
    file = tmp_path / "env"
    file.write_text("APP_ENV=test  # a comment\nCACHE_TTL=60\nSECRET_KEY=pa#ss$word\n")
    assert setting("[settings.APP_ENV, settings.CACHE_TTL, settings.SECRET_KEY]", str(file), CACHE_TTL="90") == [
        "test",
        90,
        "pa#ss$word",
    ]


@pytest.mark.parametrize("name", ["development", "production"])
def test_everything_can_be_in_one_firestore(name: str) -> None:
    """`DATABASE_URL=firestore:` leaves one database, which also holds the memory, unless that has its own."""
    engines = "{alias: config['ENGINE'] for alias, config in settings.DATABASES.items()}"
    chosen = f"[{engines}, settings.MEMORY['DATABASE'], settings.DATABASES['default']['PROJECT']]"
    variables = {**DEPLOYED, "APP_ENV": name, "DATABASE_URL": "firestore:"}
    assert setting(chosen, **variables) == [{"default": "memory.backends.firestore"}, "default", "a-project"]
    assert setting(chosen, **variables, MEMORY_DATABASE_URL="sqlite:///m.sqlite3") == [
        {"default": "memory.backends.firestore", "memory": "memory.backends.sqlite"},
        "memory",
        "a-project",
    ]


def test_without_redis_the_cache_is_local_memory() -> None:
    """Nothing is required; `CACHE_TTL` is the cache's timeout in seconds."""
    assert setting("settings.CACHES['default']", CACHE_TTL="60") == {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "TIMEOUT": 60,
    }


@pytest.mark.parametrize(
    ("variables", "location", "password"),
    [
        ({"REDIS_HOST": "cache"}, "redis://cache:6379/0", None),
        ({"REDIS_HOST": "cache", "REDIS_PORT": "7000", "REDIS_PASSWORD": "p"}, "redis://cache:7000/0", "p"),
        ({"REDIS_URL": "rediss://:p%40ss@cache:7000/3"}, "rediss://cache:7000/3", "p@ss"),
        ({"REDIS_URL": "redis://ada:p@cache/1", "REDIS_HOST": "ignored"}, "redis://ada@cache/1", "p"),
        ({"REDIS_URL": "unix:///run/redis.sock?db=1", "REDIS_PASSWORD": "p"}, "unix:///run/redis.sock?db=1", "p"),
        ({"REDIS_URL": "redis+sentinel://:p@a:1,b/main/2"}, "redis://main/2", "p"),
        ({"REDIS_URL": "rediss+cluster://ada:p@node:7000/0"}, "rediss://ada@node:7000", "p"),
    ],
)
@pytest.mark.parametrize("name", ["development", "production"])
def test_redis_is_used_where_it_is_configured(
    name: str, variables: dict[str, str], location: str, password: str | None
) -> None:
    """In any environment; the password is kept out of the URL, under a name that error pages hide."""
    cache = setting("settings.CACHES['default']", APP_ENV=name, **DEPLOYED, **variables)
    assert isinstance(cache, dict)
    assert cache["BACKEND"] == "django_redis.cache.RedisCache"
    assert cache["LOCATION"] == location
    assert cache["OPTIONS"].get("PASSWORD") == password
    assert cache["OPTIONS"]["SOCKET_TIMEOUT"] <= 0.25
    assert "pickle" not in str(cache).lower()


def test_sentinels_have_their_own_password_and_timeout() -> None:
    """All sentinels together take no longer than one Redis may, and TLS is used for all."""
    variables = {"REDIS_URL": "rediss+sentinel://:p@a:1,b/main/2", "REDIS_SENTINEL_PASSWORD": "own"}
    options = setting("settings.CACHES['default']['OPTIONS']", **variables)
    assert isinstance(options, dict)
    assert options["SENTINELS"] == [["a", 1], ["b", 26379]]
    assert options["SENTINEL_KWARGS"]["password"] == "own"
    assert options["SENTINEL_KWARGS"]["ssl"] is options["CONNECTION_POOL_KWARGS"]["ssl"] is True
    assert options["SENTINEL_KWARGS"]["socket_timeout"] * 2 <= 0.25


def test_a_database_url_is_used(tmp_path: Path) -> None:
    """`DATABASE_URL` is the relational side, `MEMORY_DATABASE_URL` the embedded side of the memory."""
    names = "[settings.DATABASES[alias]['NAME'] for alias in ('default', 'memory')]"
    assert setting(names, DATABASE_URL=f"sqlite:///{tmp_path}/a.db", MEMORY_DATABASE_URL="sqlite:///b.db") == [
        f"{tmp_path}/a.db",
        str(ROOT / "b.db"),
    ]


def test_hsts_has_switches() -> None:
    """A host whose subdomains are served over HTTP can turn these parts of HSTS off."""
    parts = "[settings.SECURE_HSTS_INCLUDE_SUBDOMAINS, settings.SECURE_HSTS_PRELOAD]"
    variables = {**DEPLOYED, "APP_ENV": "production"}
    assert setting(parts, **variables) == [True, True]
    off = {"SECURE_HSTS_INCLUDE_SUBDOMAINS": "no", "SECURE_HSTS_PRELOAD": "no"}
    assert setting(parts, **variables, **off) == [False, False]


@pytest.mark.parametrize("redis", [{}, {"REDIS_HOST": "cache"}])
def test_sessions_are_in_the_database_alone(redis: dict[str, str]) -> None:
    """Restoring or losing Redis changes no login."""
    engine = setting("settings.SESSION_ENGINE", APP_ENV="production", **DEPLOYED, **redis)
    assert engine == "django.contrib.sessions.backends.db"


def test_parsed_redis_url_hides_its_password() -> None:
    """In tracebacks and logs, too."""
    done = run("-c", "from settings.redis import parsed; print(parsed('redis://:hunter2@cache/0'))")
    assert done.returncode == 0, done.stderr
    assert "cache" in done.stdout
    assert "hunter2" not in done.stdout


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_servers_need_an_explicit_environment(server: str) -> None:
    """Without APP_ENV a server would show errors and use a public key; only runserver defaults to development."""
    code = f"import orchestra.{server} as server; print(type(server.application).__name__)"
    refused = run("-c", code)
    assert refused.returncode == 1
    assert "APP_ENV is missing" in refused.stderr.splitlines()[-1]
    for variables in ({"APP_ENV": "development"}, {"APP_ENV": "production", **DEPLOYED}):
        started = run("-c", code, **variables)
        assert started.returncode == 0, started.stderr
    code = "from django.core.servers.basehttp import get_internal_wsgi_application as make; print(make())"
    started = run("-c", f"import django; django.setup(); {code}")
    assert started.returncode == 0, started.stderr


def test_gunicorn_needs_an_explicit_environment() -> None:
    """The error is one sentence, and no worker is restarted repeatedly."""
    done = run("-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "--check-config", "orchestra.wsgi")
    assert done.returncode == 1
    assert done.stderr.startswith("Configuration error: APP_ENV is missing")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "many"), ("PORT", "70000"), ("WEB_CONCURRENCY", "0"), ("WEB_THREADS", "9999")]
)
def test_gunicorns_variables_are_checked(name: str, value: str) -> None:
    """One sentence, as for the settings."""
    variables = {"APP_ENV": "production", **DEPLOYED, name: value}
    done = run("-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "--check-config", "orchestra.wsgi", **variables)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Configuration error: {name} must be")
    assert len(done.stderr.splitlines()) == 1


def test_error_pages_hide_every_secret() -> None:
    """What Django's error page and mails would show of the settings contains no secret."""
    code = (
        "import django; django.setup(); from django.conf import settings; "
        "settings.DATABASES['default']['OPTIONS']['credentials_json'] = 'hunter2'; "
        "from django.views.debug import get_default_exception_reporter_filter as default; "
        "print(default().get_safe_settings())"
    )
    done = run(
        "-c", code, REDIS_URL="redis://:hunter2@cache/0", DATABASE_URL="sqlite:///x.db", SECRET_KEY="hunter2" * 9
    )
    assert done.returncode == 0, done.stderr
    assert "cache" in done.stdout
    assert "hunter2" not in done.stdout


def test_development_warns_of_queries_that_need_the_mirror(tmp_path: Path) -> None:
    """Once for each line of code, and by what: the developer reads it before production pays for it."""
    script = tmp_path / "search.py"
    script.write_text(
        "import django; django.setup()\n"
        "from memory.models import MemoryItem\n"
        "for _ in range(3):\n"
        "    list(MemoryItem.objects.filter(text_content__icontains='x'))\n"
        "list(MemoryItem.objects.for_user('ada').recent(20))\n"
    )
    variables = {
        "MEMORY_DATABASE_URL": f"sqlite:///{tmp_path}/memory.sqlite3",
        "DATABASE_URL": f"sqlite:///{tmp_path}/default.sqlite3",
        "PYTHONPATH": str(ROOT),
    }
    assert run("manage.py", "migrate", "--database=memory", **variables).returncode == 0
    done = run(str(script), **variables)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("MirrorWarning") == 1
    assert "text_content__icontains" in done.stderr


@pytest.mark.parametrize(("url", "loaded"), [("", True), ("sqlite:///m.sqlite3", False)])
def test_workers_import_the_client_before_requests(url: str, loaded: bool) -> None:
    """Firestore's client, only where it is used."""
    code = (
        "import sys, django; django.setup(); from orchestra.warm import warm_clients; warm_clients(); "
        "print('grpc' in sys.modules)"
    )
    done = run("-c", code, APP_ENV="production", MEMORY_DATABASE_URL=url, **DEPLOYED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(loaded)]


def test_optional_middlewares() -> None:
    """Each is there only if its variable asks for it, behind that of request ids."""
    variables = {"APP_ENV": "development", "SERVER_TIMING": "true", "CORS_ALLOWED_ORIGINS": "https://app.example.org"}
    assert setting("settings.MIDDLEWARE[:3]", **variables) == [
        "memory.request_ids.RequestIDMiddleware",
        "corsheaders.middleware.CorsMiddleware",
        "memory.backends.firestore.middleware.ServerTimingMiddleware",
    ]
    usual = setting("[settings.MIDDLEWARE, settings.INSTALLED_APPS]", APP_ENV="development")
    assert "cors" not in str(usual)
    assert "ServerTiming" not in str(usual)

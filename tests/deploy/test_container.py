"""Dockerfile and compose.yaml: linted, and their commands run here as an engine would run them in the image."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.admindocs.views import extract_views_from_urlpatterns, simplify_regex
from django.urls import get_resolver
from playwright.sync_api import sync_playwright
from redis import AuthenticationError, Redis

from memory.testing.emulator import free_port
from tests import backends, live
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Instruction:
    """A line of the Dockerfile: which stage (from 0), what, and its text."""

    stage: int
    name: str
    text: str


def instructions() -> list[Instruction]:
    """The Dockerfile without comments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found, stage = [], -1
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage, name, rest.strip()))
    return found


def last_stage(name: str) -> list[str]:
    """The texts of an instruction in the image that is kept."""
    last = instructions()[-1].stage
    return [line.text for line in instructions() if line.stage == last and line.name == name]


def environment() -> dict[str, str]:
    """The variables that the image sets, without the path."""
    pairs = (pair.split("=", 1) for text in last_stage("ENV") for pair in shlex.split(text))
    return {name: value for name, value in pairs if name != "PATH"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`/app` of the image: what the Dockerfile copies there, and what its last RUN of the first stage makes of it."""
    folder = tmp_path_factory.mktemp("image") / "app"
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".env*")
    for line in instructions():
        if line.stage == 0 and line.name == "COPY":
            source, target = line.text.split()
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, folder / target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, folder / target)
    collect = [line.text for line in instructions() if line.stage == 0 and line.name == "RUN"][-1]
    variables = {name: live.deployed(folder)[name] for name in ("PATH", "ENV_FILE")}
    done = subprocess.run(["sh", "-c", collect], cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "static files copied" in done.stdout
    return folder


@pytest.fixture
def running(app: Path, tmp_path: Path) -> Iterator[live.Service]:
    """The image's CMD, started with the image's variables and a deployer's."""
    live.make_databases(tmp_path)
    image = {name: value for name, value in environment().items() if name != "PORT"}
    (command,) = last_stage("CMD")
    with live.service(tmp_path, cwd=app, command=json.loads(command), **image) as service:
        yield service


def healthcheck(app: Path, folder: Path, port: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command of HEALTHCHECK, run once."""
    (text,) = last_stage("HEALTHCHECK")
    command = json.loads(text.split("CMD ", 1)[1])
    return subprocess.run(
        command,
        cwd=app,
        env={**live.deployed(folder), "PORT": port, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_dockerfile_is_clean() -> None:
    """hadolint finds nothing, not even a matter of style."""
    done = subprocess.run(
        ["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, env=tools(), check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def tools() -> dict[str, str]:
    """An environment in which the tools of requirements-dev.txt are found."""
    return {"PATH": live.deployed(ROOT)["PATH"]}


def test_the_image_keeps_no_root_and_no_secret() -> None:
    """A user by number, so that orchestrators can see that it is not root; no secret in a layer's variables."""
    (user,) = last_stage("USER")
    assert int(user.split(":")[0]) > 0
    lasting = [line.text for line in instructions() if line.name in ("ENV", "ARG", "LABEL")]
    assert not re.search(r"SECRET|PASSWORD|KEY|TOKEN|CREDENTIAL", " ".join(lasting))
    copied = {line.text.split()[0] for line in instructions() if line.stage == 0 and line.name == "COPY"}
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == copied


def test_the_image_serves_the_service(app: Path, running: live.Service, tmp_path: Path) -> None:
    """gunicorn answers, static files have names that may be cached for ever, the health check passes."""
    assert running.request("/api/health").json()["environment"] == "production"
    page = running.request("/admin/login/").text
    (style, *_) = re.findall(r'href="(/static/admin/css/base\.[0-9a-f]{12}\.css)"', page)
    file = running.request(style)
    assert (file.status_code, file.headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')
    assert "immutable" in file.headers["Cache-Control"]
    icon = running.request("/favicon.ico")
    assert icon.status_code == 302
    assert "max-age=86400" in icon.headers["Cache-Control"]
    assert running.request(icon.headers["Location"]).headers["Content-Type"] == "image/svg+xml"
    port = running.url.rsplit(":", 1)[1]
    for hosts in ("localhost", ".localhost", "localhost,127.0.0.1", "*"):
        done = healthcheck(app, tmp_path, port, ALLOWED_HOSTS=hosts)
        assert (done.returncode, done.stderr) == (0, "")


def paths() -> list[str]:
    """The path of every view that needs no argument, from the project's URLconf."""
    views = extract_views_from_urlpatterns(get_resolver().url_patterns)
    simple = (simplify_regex(pattern).replace("/?", "/") for _, pattern, _, _ in views)
    return sorted({path for path in simple if not set(path) & set("<(|") and path != "/admin/logout/"})


SESSION = """
from django.contrib.auth import get_user_model
from django.test import Client
client = Client()
client.force_login(get_user_model().objects.create_superuser("root", password="a-password-for-tests"))
print("session", client.cookies["sessionid"].value)
"""


def test_the_image_serves_every_page(running: live.Service, tmp_path: Path) -> None:
    """No page of the URLconf fails with static files that have a manifest; all files that pages load exist."""
    shell = live.manage("shell", "-c", SESSION, **live.deployed(tmp_path))
    headers = {"Cookie": f"sessionid={shell.split()[-1]}", "Accept": "text/html, */*;q=0.8"}
    answers = {path: running.request(path, headers=headers) for path in paths()}
    assert {"/api/docs/", "/api/redoc/", "/api/schema/", "/admin/memory/memoryitem/"} <= answers.keys()
    assert {path: answer.status_code for path, answer in answers.items() if answer.status_code >= 500} == {}
    documents = [f"/api/{name}/" for name in ("docs", "redoc", "schema")]
    assert [answers[path].status_code for path in documents] == [200, 200, 200]
    files = {file for answer in answers.values() for file in re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text)}
    assert any("redoc" in file for file in files)
    assert {file for file in files if running.request(file).status_code != 200} == set()


@pytest.mark.chromium
@pytest.mark.parametrize(("page", "shown"), [("docs", ".opblock-summary"), ("redoc", "h2")])
def test_the_image_shows_the_documentation(running: live.Service, page: str, shown: str) -> None:
    """In a browser, with production's static files and the page's own policy."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=backends.chromium(), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(f"{running.url}/api/{page}/")
        tab.locator(shown, has_text="List memory items").first.wait_for(timeout=30_000)
        browser.close()


def test_the_health_check_fails_while_the_service_cannot_work(app: Path, running: live.Service, tmp_path: Path) -> None:
    """With a database away, and with nothing that listens, each in one line."""
    (tmp_path / "memory.sqlite3").unlink()
    port = running.url.rsplit(":", 1)[1]
    for asked, said in ((port, "not ready: 503"), (str(free_port()), "does not respond")):
        done = healthcheck(app, tmp_path, asked)
        assert done.returncode == 1
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_probes_need_no_tls(app: Path, tmp_path: Path) -> None:
    """Orchestrators ask over plain HTTP; everybody else is sent to HTTPS."""
    live.make_databases(tmp_path)
    with live.service(tmp_path, cwd=app, SECURE_SSL_REDIRECT="true") as service:
        for path in ("/api/health", "/api/health/live", "/api/health/ready"):
            assert service.request(path).status_code == 200
        elsewhere = service.request("/admin/")
        assert elsewhere.status_code == 301
        assert elsewhere.headers["Location"].startswith("https://")


def test_the_image_does_not_start_half_configured(app: Path, tmp_path: Path) -> None:
    """Without its required variables it says which one is missing, in one sentence, and ends."""
    (command,) = last_stage("CMD")
    done = subprocess.run(
        json.loads(command),
        cwd=app,
        env={**tools(), **environment(), "ENV_FILE": "/dev/null", "PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("Configuration error: SECRET_KEY is missing")
    assert "Traceback" not in done.stderr


def compose() -> dict[str, Any]:
    """compose.yaml, its anchors resolved."""
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text()))


def test_compose_is_valid() -> None:
    """By the schema of the compose specification."""
    command = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=tools(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_reaches_backends_from_inside_only() -> None:
    """One service has a port, on this machine only; Redis and the emulator live on a network without a way out."""
    services = compose()["services"]
    assert set(services) == {"migrate", "service", "redis", "firestore"}
    assert {name for name, service in services.items() if "ports" in service} == {"service"}
    assert services["service"]["ports"] == ["127.0.0.1:${PORT:-8000}:8000"]
    assert compose()["networks"]["backends"] == {"internal": True}
    assert all(services[name]["networks"] == ["backends"] for name in ("migrate", "redis", "firestore"))


def test_compose_has_no_secret_of_its_own() -> None:
    """There are no defaults; the environment must set them."""
    text = (ROOT / "compose.yaml").read_text()
    assert set(re.findall(r"^ +(\w*(?:SECRET|PASSWORD)\w*): (\$\{\w+:\?|.*)", text, flags=re.MULTILINE)) == {
        ("SECRET_KEY", "${SECRET_KEY:?"),
        ("REDIS_PASSWORD", "${REDIS_PASSWORD:?"),
    }


def test_compose_configures_the_service_with_variables_that_exist() -> None:
    """Each is in `.env.example`."""
    known = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
    assert set(compose()["services"]["service"]["environment"]) <= known


@pytest.mark.redis
def test_composes_redis_asks_for_its_password(tmp_path: Path) -> None:
    """The very command, with a Redis of this machine: it refuses strangers, and no process shows the password."""
    executable, port = backends.redis_server(), free_port()
    found = tmp_path / "redis-server"
    found.write_text(f'#!/bin/sh\nexec {executable} "$@" --port {port} --bind 127.0.0.1\n')
    found.chmod(0o755)
    command = [word.replace("$$", "$") for word in compose()["services"]["redis"]["command"]]
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REDIS_PASSWORD": live.PASSWORD}
    process = subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: live.listens(port), "Redis listens", live.START_SECONDS)
        with Redis(port=port, password=live.PASSWORD) as friend:
            assert friend.ping()
            assert friend.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
        with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
        assert live.PASSWORD not in Path(f"/proc/{process.pid}/cmdline").read_text()
        process.terminate()  # reaches Redis itself, so that a container stops at once
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()

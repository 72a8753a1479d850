"""The wheel, installed into a new project by the README's words, used over the API and in the admin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from memory.testing.emulator import free_port
from tests import live
from tests.docs.snippets import below
from tests.waiting import wait_until

from .wheels import build, run

ROOT = Path(__file__).resolve().parents[2]
README, INSTALL = ROOT / "README.md", ROOT / "docs/install.md"
HEADING = "Install it into your project"
PASSWORD = "a-password-for-tests"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the wheel's sources, with the wheel in `dist/`, built by the command of `make wheel`."""
    folder = tmp_path_factory.mktemp("checkout")
    build(folder)
    return folder


@dataclass(frozen=True)
class Project:
    """A project made by `django-admin startproject`; `path` is the PATH of its own environment."""

    folder: Path
    path: str

    def run(self, command: str) -> str:
        """A shell's command in the project's folder."""
        return run(command, self.folder, PATH=self.path)

    def append(self, file: str, text: str) -> None:
        """Add to the end of a file."""
        with (self.folder / file).open("a") as opened:
            opened.write(f"\n{text}")


@pytest.fixture(scope="module")
def project(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The README's section, step by step."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run(f"{sys.executable} -m venv env", folder)
    path = f"{folder}/env/bin:/usr/bin:/bin"
    install, tables = below(README, HEADING, "bash")
    run(install.replace("/path/to/orchestra-memory", str(checkout)), folder, PATH=path)
    run("django-admin startproject elsewhere", folder, PATH=path)
    made = Project(folder / "elsewhere", path)
    for file, text in zip(("settings.py", "urls.py"), below(README, HEADING, "python"), strict=True):
        made.append(f"elsewhere/{file}", text)
    for command in tables.splitlines():
        if "createsuperuser" in command:
            type_password(made, command)
        else:
            made.run(command)
    return made


def type_password(project: Project, command: str) -> None:
    """Run a command at a terminal and type the password where it asks for one."""
    terminal, end = os.openpty()
    process = subprocess.Popen(
        # The leader of a session makes the first terminal that it opens its own.
        ["sh", "-c", f"exec < {os.ttyname(end)} > {os.ttyname(end)} 2>&1; {command}"],
        cwd=project.folder,
        env={"PATH": project.path},
        start_new_session=True,
    )
    said, deadline = "", time.monotonic() + 60
    for _ in range(2):
        while not re.search(r"Password.*: $", said):
            assert time.monotonic() < deadline, said
            said += os.read(terminal, 1000).decode()
        said = ""
        os.write(terminal, f"{PASSWORD}\n".encode())
    assert process.wait(60) == 0
    os.close(terminal)
    os.close(end)


@contextmanager
def serving(project: Project) -> Iterator[str]:
    """The project's URL while `runserver` serves it."""
    port = free_port()
    process = subprocess.Popen(
        [f"{project.path.split(':')[0]}/python", "manage.py", "runserver", "--noreload", str(port)],
        cwd=project.folder,
        env={"PATH": project.path, "PYTHONWARNINGS": "error"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: process.poll() is not None or live.listens(port), "runserver listens", live.START_SECONDS)
        assert process.poll() is None, "runserver ended"
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def url(project: Project) -> Iterator[str]:
    with serving(project) as found:
        yield found


@pytest.fixture(scope="module")
def token(project: Project) -> str:
    """The token that the README's last command made."""
    return project.run("python manage.py memory_tokens create ada").splitlines()[0]


def test_the_wheel_has_the_whole_app_and_nothing_else(checkout: Path) -> None:
    """Templates, static files, migrations and the marker of its types are in it; no tests, settings or project."""
    (wheel,) = (checkout / "dist").glob("orchestra_memory-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        inside = {name for name in opened.namelist() if ".dist-info/" not in name}
    ours = {str(file.relative_to(checkout)) for file in (checkout / "memory").rglob("*") if file.is_file()}
    assert inside == ours
    assert {"memory/py.typed", "memory/migrations/0001_initial.py"} <= inside
    assert any(name.startswith("memory/templates/") for name in inside)
    assert any(name.startswith("memory/static/") for name in inside)


def test_the_description_has_no_link_that_a_package_index_breaks(checkout: Path) -> None:
    """Links to files are text, and pictures are left out, since the repository has no public address."""
    (wheel,) = (checkout / "dist").glob("orchestra_memory-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        metadata, _, description = opened.read(name).decode().partition("\n\n")
    assert "Description-Content-Type: text/markdown" in metadata
    assert "The tutorial writes an agent" in description
    assert re.findall(r"\]\((?!https://)[^)]*\)", description) == []


def test_the_project_is_sound(project: Project) -> None:
    """Checks find nothing, no migration is missing, and the schema of the API is made without a warning."""
    assert "no issues" in project.run("python -W error manage.py check --fail-level WARNING")
    project.run("python manage.py makemigrations --check --dry-run")
    project.run("python manage.py spectacular --validate --fail-on-warn --file schema.yaml")


def test_a_record_is_created_and_listed_over_the_api(url: str, token: str) -> None:
    """By token, in the project's default database; health has no need of a `MEMORY` setting either."""
    headers = {"Authorization": f"Token {token}"}
    item = {"user_id": "ada", "session_id": "monday", "item_type": "message", "text_content": "From the API."}
    made = requests.post(f"{url}/api/memory-items/", json=item, headers=headers, timeout=30)
    assert made.status_code == 201, made.text
    listed = requests.get(f"{url}/api/memory-items/?user_id=ada&session_id=monday", headers=headers, timeout=30)
    assert [found["text_content"] for found in listed.json()["results"]] == ["From the API."]
    assert requests.get(f"{url}/api/memory-items/", timeout=30).status_code == 401
    health = requests.get(f"{url}/api/health", timeout=30).json()
    assert (health["status"], health["environment"]) == ("ok", "development")


def test_a_record_is_created_and_browsed_in_the_admin(url: str) -> None:
    """Logged in by the admin's own form; the pages' static files are there."""
    with requests.Session() as browser:
        login = browser.get(f"{url}/admin/login/", timeout=30)
        form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"], "username": "ada", "password": PASSWORD}
        assert browser.post(login.url, data={**form, "next": "/admin/"}, timeout=30).url == f"{url}/admin/"
        add = f"{url}/admin/memory/memoryitem/add/"
        fields = dict(re.findall(r'<input[^>]* name="([^"]+)"[^>]* value="([^"]*)"', browser.get(add, timeout=30).text))
        fields |= {"user_id": "grace", "session_id": "tuesday", "item_type": "message", "metadata": "{}"}
        fields |= {"text_content": "From the admin.", "timestamp_0": "2026-01-02", "timestamp_1": "03:04:05"}
        fields = {name: value for name, value in fields.items() if name not in ("_addanother", "_continue")}
        saved = browser.post(add, data=fields, timeout=30)
        assert saved.url == f"{url}/admin/memory/memoryitem/", re.findall(r"errorlist.*?</ul>", saved.text)
        page = browser.get(f"{url}/admin/memory/memoryitem/?q=grace", timeout=30).text
        assert "From the admin." in page
        (item,) = set(re.findall(r'href="(/admin/memory/memoryitem/[^"/]+/change/[^"]*)"', page))
        assert "From the admin." in browser.get(f"{url}{item}", timeout=30).text
        for asset in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page)):
            assert browser.get(f"{url}{asset}", timeout=30).status_code == 200, asset


@pytest.mark.parametrize("page", ["schema", "docs", "redoc"])
def test_the_documentation_is_served(url: str, page: str) -> None:
    """With scripts and styles from the project's own static files."""
    answer = requests.get(f"{url}/api/{page}/", timeout=30)
    assert answer.status_code == 200
    for asset in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', answer.text)):
        assert requests.get(f"{url}{asset}", timeout=30).status_code == 200, asset


def test_the_installed_package_is_typed(project: Project) -> None:
    """The project imports the wheel's content, and type checkers may read it."""
    found = project.run("python -c 'import memory, pathlib; print(pathlib.Path(memory.__file__).parent)'").strip()
    assert Path(found).is_relative_to(project.folder.parent / "env")
    assert (Path(found) / "py.typed").is_file()


def test_the_package_without_extras(checkout: Path, tmp_path: Path) -> None:
    """It brings Django and little else; the models are used in a project that has nothing but the app."""
    run(f"{sys.executable} -m venv env", tmp_path)
    path = f"{tmp_path}/env/bin:/usr/bin:/bin"
    (wheel,) = (checkout / "dist").glob("orchestra_memory-*.whl")
    run(f"python -m pip install {wheel}", tmp_path, PATH=path)
    listed = run("python -m pip list --format freeze --disable-pip-version-check", tmp_path, PATH=path)
    installed = {line.partition("==")[0].lower() for line in listed.splitlines()} - {"pip", "setuptools", "wheel"}
    assert installed == {"asgiref", "django", "orchestra-memory", "sqlparse", "tqdm"}
    run("django-admin startproject bare .", tmp_path, PATH=path)
    bare = Project(tmp_path, path)
    bare.append("bare/settings.py", 'INSTALLED_APPS += ["memory", "memory.access"]')
    assert "no issues" in bare.run("python -W error manage.py check --fail-level WARNING")
    bare.run("python manage.py migrate")
    write = (
        "from memory.models import MemoryItem as M; M.objects.create(user_id='a', item_type='m', text_content='Hi.')"
    )
    bare.run(f'python manage.py shell --verbosity=0 --command "{write}"')
    assert '"text_content":"Hi."' in bare.run("python manage.py memory_export --output -")
    search = "from memory.models import MemoryItem as M; M.objects.search('hi', user_id='a')"
    failed = bare.run(f'python manage.py shell --verbosity=0 --command "{search}" 2>&1 || true')
    assert 'Search needs an extra: pip install "orchestra-memory[search]".' in failed


def test_ids_of_ones_own_and_a_database_of_its_own(project: Project, token: str) -> None:
    """The further steps of docs/install.md, by its words: records are owned by account ids, in another file."""
    principals, principal_settings = below(INSTALL, "Who sees what", "python")
    (database_settings,) = below(INSTALL, "A database of its own", "python")
    (migrate,) = below(INSTALL, "A database of its own", "bash")
    (project.folder / "accounts").mkdir()
    (project.folder / "accounts/principals.py").write_text(principals)
    before = (project.folder / "elsewhere/settings.py").read_text()
    both = '\nMEMORY = {"PRINCIPAL": "accounts.principals.account_id", "DATABASE": "memory"}\n'
    project.append("elsewhere/settings.py", database_settings + principal_settings + both)
    try:
        project.run(migrate)
        with serving(project) as url:
            headers = {"Authorization": f"Token {token}"}
            listed = requests.get(f"{url}/api/memory-items/", headers=headers, timeout=30)
            assert listed.json()["results"] == []
            item = {"user_id": "1", "item_type": "message", "text_content": "Apart."}
            made = requests.post(f"{url}/api/memory-items/", json=item, headers=headers, timeout=30)
            assert made.status_code == 201, made.text
            assert requests.get(f"{url}/api/health/ready", timeout=30).status_code == 200
        count = "from memory.models import MemoryItem as M; print(M.objects.using('memory').count())"
        assert project.run(f'python manage.py shell --verbosity=0 --command "{count}"').strip() == "1"
    finally:
        (project.folder / "elsewhere/settings.py").write_text(before)

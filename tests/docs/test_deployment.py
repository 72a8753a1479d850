"""The words of docs/deployment.md: its commands run, and are those of Dockerfile and compose.yaml."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import yaml

from tests import live

from .snippets import ROOT, below

DEPLOYMENT = ROOT / "docs/deployment.md"


def test_the_commands_for_a_machine_run(tmp_path: Path) -> None:
    """Static files, databases and the server as documented; installed versions are those of the tests."""
    install, *steps, server = below(DEPLOYMENT, "Without containers", "bash")[0].splitlines()
    assert install == "pip install -r requirements.txt"
    variables = live.deployed(tmp_path)
    app = tmp_path / "app"
    for folder in ("settings", "orchestra", "memory", "deploy"):
        copytree(ROOT / folder, app / folder, ignore=ignore_patterns("__pycache__"))
    copy(ROOT / "manage.py", app)
    for step in steps:
        live.manage(*step.removeprefix("python manage.py ").split(), cwd=app, **variables)
    with live.service(tmp_path, cwd=app, command=server.split()) as service:
        assert service.request("/api/health/ready").status_code == 200
        assert service.request("/admin/login/").status_code == 200


def test_the_containers_run_the_same_commands() -> None:
    """The image's CMD, and the migrations of compose.yaml and of the text for containers."""
    *_, default, memory, server = below(DEPLOYMENT, "Without containers", "bash")[0].splitlines()
    (command,) = re.findall(r"^CMD (.*)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert json.loads(command) == server.split()
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    migrate = compose["services"]["migrate"]["command"][-1].replace(" --noinput", "").split(" && ")
    assert migrate == [default, memory]
    assert f"{default}\n{memory}\n" in below(DEPLOYMENT, "With containers", "bash")


def test_the_secrets_that_it_makes_are_good(tmp_path: Path) -> None:
    """They start the service, and go into Redis' configuration without quoting."""
    command = below(DEPLOYMENT, "With containers", "bash")[0].splitlines()[0]
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    made = (tmp_path / ".env").read_text()
    assert re.fullmatch(r"SECRET_KEY=[\w-]{60,}\nREDIS_PASSWORD=[\w-]{40}\n", made)
    variables = {**live.deployed(tmp_path), "ENV_FILE": str(tmp_path / ".env")}
    del variables["SECRET_KEY"]
    assert "no issues" in live.manage(
        "check", "--deploy", "--fail-level=WARNING", **{**variables, "SECURE_SSL_REDIRECT": "true"}
    )

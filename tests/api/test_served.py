"""The API over HTTP, with gunicorn and production settings."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from tests import live
from tests.docs.snippets import below
from tests.waiting import wait_until

DOCS = live.ROOT / "docs" / "api.md"
ITEMS = "/api/memory-items/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def token(folder: Path) -> str:
    """The token of user `ada`."""
    variables = {**live.deployed(folder), "DJANGO_SUPERUSER_PASSWORD": "a-password-for-tests"}
    live.migrate(**variables)
    live.manage("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org", **variables)
    return live.manage("memory_tokens", "create", "ada", **variables).strip()


@pytest.fixture(scope="module")
def service(folder: Path, token: str) -> Iterator[live.Service]:
    with live.service(folder) as running:
        yield running


@pytest.fixture
def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Token {token}"}


def test_curl_examples_of_the_docs(service: live.Service, token: str) -> None:
    """Each example runs unchanged and returns the documented response."""

    def run(code: str) -> Any:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code.replace("http://localhost:8000", service.url)],
            env={"PATH": "/usr/bin:/bin", "TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(f"[{done.stdout.replace('}{', '},{')}]")[-1]

    (create,) = below(DOCS, "Records", "bash")
    (find,) = below(DOCS, "Lists", "bash")
    many, more = below(DOCS, "Many at once", "bash")
    (change,) = below(DOCS, "No lost updates", "bash")
    created = run(create)
    assert run(find) == {"next": None, "previous": None, "has_more": False, "results": [created]}
    assert run(many)["created"] == 2
    assert run(more) == {"deleted": 0, "results": [{"id": "none", "status": "not_found"}]}
    assert run(change)["metadata"] == {"checked": True}


@pytest.mark.parametrize("session", ["a/b", "100%", "%2F", "a:b", "ünï 😀", "a?b#c", "..", "a;b", "a+b", "."])
def test_unusual_ids_round_trip_over_http(service: live.Service, headers: dict[str, str], session: str) -> None:
    """A percent-encoded session id is decoded exactly once."""
    body = {"item_type": "m", "session_id": session}
    assert service.request(ITEMS, "POST", json=body, headers=headers).status_code == 201
    (found,) = service.request(f"/api/sessions/?session_id={quote(session, safe='')}", headers=headers).json()[
        "results"
    ]
    url = f"/api/sessions/{quote(found['id'], safe='')}/"
    assert service.request(url, headers=headers).json()["session_id"] == session
    (item,) = service.request(f"{url}history", headers=headers).json()["results"]
    assert item["session_id"] == session


def test_chunked_body_is_rejected(service: live.Service, headers: dict[str, str]) -> None:
    """It is not treated as an empty body."""
    response = service.request(
        ITEMS, "POST", data=iter([b'{"item_type": "m"}']), headers={**headers, "Content-Type": "application/json"}
    )
    assert response.status_code == 411
    assert response.json()["error"]["code"] == "length_required"


def test_body_size_is_limited(service: live.Service, headers: dict[str, str]) -> None:
    """The status is 400, and the service continues to run."""
    body = b'{"item_type": "m", "text_content": "' + b"x" * (17 * 1024 * 1024) + b'"}'
    response = service.request(ITEMS, "POST", data=body, headers={**headers, "Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["fields"]["body"][0]["code"] == "body_too_large"
    assert service.request(ITEMS, headers=headers).status_code == 200


def test_a_refused_body_is_discarded(service: live.Service, headers: dict[str, str]) -> None:
    """A client that sends all of it before it reads gets the response, and may use the connection again."""
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=30)
    with closing(connection):
        connection.request("POST", ITEMS, b" " * (17 * 1024 * 1024), {**headers, "Content-Type": "application/json"})
        used, response = connection.sock, connection.getresponse()
        assert (response.status, json.loads(response.read())["error"]["code"]) == (400, "body_too_large")
        connection.request("GET", ITEMS, headers=headers)
        assert connection.getresponse().status == 200
        assert connection.sock is used


def test_answers_are_not_cached_by_others(service: live.Service, headers: dict[str, str]) -> None:
    """Records, lists, errors and unknown paths."""
    for path in (ITEMS, f"{ITEMS}missing/", f"{ITEMS}?colour=red", "/api/unknown/", "/api/sessions/"):
        assert service.request(path, headers=headers).headers["Cache-Control"] == "no-store", path
    assert service.request(ITEMS).headers["Cache-Control"] == "no-store"


def test_questions_are_not_in_the_access_log(service: live.Service, headers: dict[str, str]) -> None:
    """Neither as parameters nor in the referrer."""
    secret = "whatdidsheconfess"
    referrer = {"Referer": f"http://localhost/?q={secret}"}
    for path in ("search/", ""):
        service.request(f"{ITEMS}{path}?q={secret}", headers={**headers, **referrer})
    asked = service.request(f"{ITEMS}search/", "POST", json={"questions": [secret]}, headers=headers)
    assert asked.json()["searches"][0]["q"] == secret
    # gunicorn logs a request after its answer was sent.
    wait_until(lambda: f'"GET {ITEMS}search/ HTTP/1.1" 200' in service.log)
    wait_until(lambda: f'"GET {ITEMS} HTTP/1.1" 400' in service.log)
    assert secret not in service.log


def test_admin_has_a_content_security_policy(service: live.Service) -> None:
    """No scripts but the service's own files; the documentation keeps its own policy."""
    page = service.request("/admin/login/").headers["Content-Security-Policy"]
    assert "script-src 'self';" in page
    assert "'unsafe-inline'" not in page.split("style-src")[0]
    assert "Content-Security-Policy" not in service.request("/api/health").headers


def test_workers_share_the_models_of_search(service: live.Service) -> None:
    """gunicorn's master loads them once, before it forks."""
    [worker] = psutil.Process(service.process.pid).children()
    assert "numpy" in {part for one in worker.memory_maps() for part in Path(one.path).parts}
    memory = worker.memory_full_info()
    assert memory.uss < memory.rss / 2


def test_threads_keep_their_connection_to_the_users(service: live.Service, headers: dict[str, str]) -> None:
    """Opening the file takes longer than the query for a token; those of the memory end with the request."""
    [worker] = psutil.Process(service.process.pid).children()
    assert service.request(ITEMS, headers=headers).status_code == 200

    def opened() -> set[str]:
        return {Path(file.path).name for file in worker.open_files() if file.path.endswith(".sqlite3")}

    wait_until(lambda: opened() == {"orchestra.sqlite3"})


def test_links_have_the_requested_host(service: live.Service, headers: dict[str, str]) -> None:
    """`next` is an absolute URL of the requested host."""
    items = {"items": [{"item_type": "many"}] * 3}
    assert service.request(f"{ITEMS}bulk", "POST", json=items, headers=headers).status_code == 201
    page = service.request(f"{ITEMS}?item_type=many&limit=2", headers=headers).json()
    assert page["next"].startswith(service.url)
    rest = service.request(page["next"].removeprefix(service.url), headers=headers).json()
    assert len(rest["results"]) == 1

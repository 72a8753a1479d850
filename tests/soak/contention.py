"""Clients that write the same records of the deployed service at once: nothing fails and nothing is lost.

    python -m tests.soak.contention
    FIRESTORE_EMULATOR_HOST=localhost:8080 python -m tests.soak.contention

gunicorn with two workers of four threads: production's settings on SQLite, staging's on the emulator. In each round all
clients post into one new session at once, or change one item at once, each one of its fields.
Clients do not retry.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from typing import Any

import requests

from tests import live

ITEMS = "/api/memory-items/"
FIELDS = ("item_type", "persona_active", "text_content")
WAIT_SECONDS = 120


@dataclass
class Outcome:
    """The results by kind of round. `problems` must be empty."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The figures."""
        return {
            "statuses": {kind: dict(counted) for kind, counted in self.statuses.items()},
            "slowest answer, seconds": {kind: round(seconds, 2) for kind, seconds in self.slowest.items()},
            "problems": self.problems[:20],
        }


@dataclass
class Load:
    """Clients of one user of a running service."""

    url: str
    token: str
    clients: int
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        self.pool = ThreadPoolExecutor(self.clients)
        self.sessions = [requests.Session() for _ in range(self.clients)]
        for session in self.sessions:
            session.headers["Authorization"] = f"Token {self.token}"

    def at_once(self, kind: str, method: str, path: str, body: Callable[[int], Any], clients: int) -> None:
        """One request of each client, all at the same time; an answer that is not a 2xx is a problem."""
        barrier = Barrier(clients)

        def send(number: int) -> None:
            barrier.wait(WAIT_SECONDS)
            began = time.monotonic()
            response = self.sessions[number].request(method, self.url + path, json=body(number), timeout=WAIT_SECONDS)
            took = time.monotonic() - began
            self.outcome.slowest[kind] = max(self.outcome.slowest.get(kind, 0.0), took)
            self.outcome.statuses.setdefault(kind, Counter())[response.status_code] += 1
            if not response.ok:
                self.outcome.problems.append(f"{kind}: {response.status_code} {response.text[:200]}")

        list(self.pool.map(send, range(clients)))

    def read(self, path: str) -> Any:
        """A record or a list."""
        return self.sessions[0].get(self.url + path, timeout=WAIT_SECONDS).json()

    def check(self, kind: str, found: Any, expected: Any) -> None:
        """Records a problem unless both are equal."""
        if found != expected:
            self.outcome.problems.append(f"{kind}: {found} instead of {expected}")

    def post_into_a_new_session(self) -> None:
        """Each client posts an item; all are in the session's history."""
        kind, session = "POST into a new session", uuid.uuid4().hex
        self.at_once(kind, "POST", ITEMS, lambda number: new(session, number), self.clients)
        history = self.read(f"/api/sessions/user-0:{session}/history/?limit=200")["results"]
        self.check(kind, sorted(item["text_content"] for item in history), [f"text {n}" for n in range(self.clients)])

    def patch_one_item(self, clients: int) -> None:
        """Each client changes a field of one item; every change is kept."""
        kind, session = f"PATCH of one item by {clients}", uuid.uuid4().hex
        pk = self.sessions[0].post(self.url + ITEMS, json=new(session, 0), timeout=WAIT_SECONDS).json()["id"]
        names = [FIELDS[number % len(FIELDS)] for number in range(clients)]
        self.at_once(kind, "PATCH", f"{ITEMS}{pk}/", lambda number: {names[number]: "changed"}, clients)
        item = self.read(f"{ITEMS}{pk}/")
        self.check(kind, {name: item[name] for name in names}, dict.fromkeys(names, "changed"))


def new(session: str, number: int) -> dict[str, Any]:
    """The body of a new item."""
    return {"item_type": "message", "session_id": session, "text_content": f"text {number}"}


@contextmanager
def deployed_service() -> Iterator[tuple[live.Service, str]]:
    """A service with two workers, and a token of its user."""
    emulator = os.environ.get("FIRESTORE_EMULATOR_HOST")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        variables = {**live.deployed(folder), "THROTTLE_USER": "1000000/min"}
        if emulator:
            project = f"contention-{uuid.uuid4().hex[:12]}"
            variables |= {"APP_ENV": "staging", "FIRESTORE_EMULATOR_HOST": emulator, "GCP_PROJECT_ID": project}
            variables["MEMORY_DATABASE_URL"] = ""
        live.migrate(**variables)
        create = "from django.contrib.auth.models import User; User.objects.create_user('user-0')"
        live.manage("shell", "-c", create, **variables)
        token = live.manage("memory_tokens", "create", "user-0", **variables).strip()
        with live.service(folder, **{**variables, "WEB_CONCURRENCY": "2"}) as service:
            yield service, token


def run(rounds: int, clients: int) -> Outcome:
    """Rounds of each kind."""
    with deployed_service() as (service, token):
        load = Load(service.url, token, clients)
        for _ in range(rounds):
            load.post_into_a_new_session()
            load.patch_one_item(2)
            load.patch_one_item(clients)
        load.pool.shutdown()
        return load.outcome


def main() -> int:
    """Run, and print the figures; 1 if there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    outcome = run(options.rounds, options.clients)
    sys.stdout.write(json.dumps(outcome.summary(), indent=2) + "\n")
    return int(bool(outcome.problems))


if __name__ == "__main__":
    sys.exit(main())

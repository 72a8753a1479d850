"""Workers claim jobs with `select_for_update(skip_locked=True)` while calls fail and workers are killed.

    python -m tests.soak.jobs --jobs 1000 --processes 8 --queue django-tasks-db

What must hold in the end: no job ran twice; each job that is done ran once; a job that was begun and is not done
belongs to a worker that was killed or lost its connection; no job is left. `--queue django-tasks-db` installs that
package, in a pinned version, into a temporary folder and runs its `db_worker` unmodified; `--queue own` needs no
package.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from typing import Any, Final

import django

from .fleet import TIMEOUT, Fleet, Journal, Outcome, Plan

PACKAGES: Final = ("django-tasks-db==0.13.0", "django-tasks==0.12.0")
QUEUES: Final = ("own", "django-tasks-db")
NEW, BEGUN, DONE = "READY", "RUNNING", "SUCCESSFUL"

journal: Journal | None = None
"""Where the jobs of this process note that they ran."""


class Own:
    """A queue in five lines, as docs/transactions.md shows it."""

    def fill(self, count: int) -> None:
        """New jobs."""
        from .models import Job

        Job.objects.bulk_create([Job(id=f"job-{number:05}", number=number, state=NEW) for number in range(count)])

    def states(self) -> dict[int, str]:
        """The state of each job."""
        from .models import Job

        return dict(Job.objects.values_list("number", "state"))

    def left(self) -> int:
        """Jobs that nobody has begun."""
        from .models import Job

        return Job.objects.filter(state=NEW).count()

    def work(self, chance: random.Random) -> None:
        """Runs jobs until none is left."""
        from django.db import transaction

        from .models import Job

        while True:
            with transaction.atomic():
                new = Job.objects.select_for_update(skip_locked=True).filter(state=NEW).order_by("number")
                jobs = list(new[: chance.randint(1, 3)])
                Job.objects.filter(pk__in=[job.pk for job in jobs]).update(state=BEGUN)
            if not jobs:
                return
            for job in jobs:
                run(job.number)
                Job.objects.filter(pk=job.pk).update(state=DONE)


class TasksDb:
    """The queue and the worker of django-tasks-db."""

    def fill(self, count: int) -> None:
        """New jobs."""
        from .job_tasks import run_task

        for number in range(count):
            run_task.enqueue(number)

    def states(self) -> dict[int, str]:
        """The state of each job."""
        from django_tasks_db.models import DBTaskResult

        return {row.args_kwargs["args"][0]: row.status for row in DBTaskResult.objects.all()}

    def left(self) -> int:
        """Jobs that nobody has begun."""
        from django_tasks_db.models import DBTaskResult

        return DBTaskResult.objects.filter(status=NEW).count()

    def work(self, chance: random.Random) -> None:
        """Runs jobs until none is left."""
        from django_tasks_db.management.commands.db_worker import Worker

        Worker(
            queue_names=["default"],
            interval=0.1,
            batch=True,
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id=f"w-{chance.randrange(10**9)}",
            excluded_queue_names=[],
        ).run()


def queue_of(name: str) -> Own | TasksDb:
    """The queue of this name."""
    return Own() if name == "own" else TasksDb()


def run(number: int) -> None:
    """A job: notes that it ran."""
    if journal is None:
        raise RuntimeError("jobs run in worker processes")
    journal.note(ran=number)


def work(given: argparse.Namespace) -> None:
    """A worker process. A supervisor would restart one that lost its connection; here it goes on."""
    from django.db import OperationalError

    global journal
    journal = Journal(given.journal, given.over)
    journal.note(started=given.worker)
    chance = random.Random(f"{given.seed}-{given.worker}")  # noqa: S311
    while not journal.is_over:
        try:
            queue_of(given.queue).work(chance)
        except OperationalError as error:
            journal.note(failed=f"{type(error).__name__}: {error}"[:200])
        time.sleep(0.2)


def soak(given: argparse.Namespace) -> Outcome:
    """The parent: fills the queue, starts and kills workers until no job is left, and compares."""
    if given.queue != "own":
        folder = install()
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        sys.path.insert(0, folder)
    plan = Plan(given.seconds, given.processes, given.rate, given.kill_every, given.seed)
    fleet = Fleet("tests.soak.jobs", plan, {"queue": given.queue})
    configure(fleet.address, fleet.project, given.queue)
    queue = queue_of(given.queue)
    queue.fill(given.jobs)
    looked = time.monotonic()
    for _ in fleet.run():
        if time.monotonic() > looked + 2:
            looked = time.monotonic()
            fleet.is_over = queue.left() == 0
    compare(fleet, queue, given.jobs)
    return fleet.outcome


def compare(fleet: Fleet, queue: Own | TasksDb, count: int) -> None:
    """Compares the journals with the stored states."""
    states, ran, failed = queue.states(), Counter[int](), Counter[str]()
    for _, events in fleet.journals():
        ran.update(event["ran"] for event in events if "ran" in event)
        failed.update(event["failed"].partition(":")[0] for event in events if "failed" in event)
    outcome = fleet.outcome
    outcome.counts.update(states.values())
    outcome.counts.update({f"worker {name}": times for name, times in failed.items()})
    outcome.counts["ran"] = ran.total()
    unfinished = [number for number, state in states.items() if state == BEGUN]
    outcome.counts["begun, not run"] = sum(1 for number in unfinished if not ran[number])
    outcome.wrong += [f"job {number} ran {times} times" for number, times in ran.items() if times > 1]
    missing = [number for number in range(count) if states.get(number) not in (DONE, BEGUN)]
    outcome.wrong += [f"job {number} is {states.get(number)}" for number in missing]
    outcome.wrong += [f"job {n} is done and did not run" for n, state in states.items() if state == DONE and not ran[n]]
    allowed = 3 * (outcome.kills + failed.total())  # a worker claims at most three jobs at once
    if len(unfinished) > allowed:
        outcome.wrong.append(f"{len(unfinished)} jobs were begun and are not done, with {outcome.kills} kills")


def install() -> str:
    """A folder with the packages."""
    folder = tempfile.mkdtemp(prefix="soak-packages-")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *PACKAGES]
    subprocess.run(command, check=True)
    return folder


def configure(address: str, project: str, queue: str) -> None:
    """Django with the queue's models, on the emulator behind `address`."""
    from django.conf import settings

    packages = [] if queue == "own" else ["django_tasks", "django_tasks_db"]
    database: dict[str, Any] = {
        "ENGINE": "memory.backends.firestore",
        "NAME": "(default)",
        "PROJECT": project,
        "HOST": address,
        "OPTIONS": {"timeout": TIMEOUT},
    }
    settings.configure(
        INSTALLED_APPS=["tests.soak", *packages],
        USE_TZ=True,
        DATABASES={"default": database},
        SECRET_KEY=uuid.uuid4().hex,
        TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
    )
    django.setup()


def main() -> int:
    """Be the parent, or one of its workers; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--queue", choices=QUEUES, default="own")
    parser.add_argument("--seconds", type=float, default=1800, help="when to give up")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.02, help="the share of calls that fail")
    parser.add_argument("--kill-every", type=float, default=5, help="seconds; 0: nobody is killed")
    parser.add_argument("--seed", type=int, default=1)
    for name, kind in {"worker": int, "address": str, "project": str, "over": str, "journal": str}.items():
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker is not None:
        configure(given.address, given.project, given.queue)
        work(given)
        return 0
    outcome = soak(given)
    print(outcome.report())  # noqa: T201
    return bool(outcome.wrong)


if __name__ == "__main__":
    # Jobs that are found by their dotted path must see this module's journal, and not a second import of it.
    sys.modules["tests.soak.jobs"] = sys.modules["__main__"]
    sys.exit(main())

"""The task of `tests.soak.jobs` for django-tasks-db, which finds it by its dotted path."""

from __future__ import annotations

from django_tasks import task

from . import jobs


@task()
def run_task(number: int) -> None:
    """Notes that it ran."""
    jobs.run(number)

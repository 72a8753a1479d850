"""`manage.py bootstrap`: prepares the databases for `make run`."""

from __future__ import annotations

import io
import json
import secrets
import socket
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, router, transaction
from django.utils import timezone

from memory.interchange.entries import Context, Reject
from memory.interchange.load import Listeners, load
from memory.models import MemoryItem
from orchestra import demo

ADMIN = "admin"
HOST = "127.0.0.1"
PASSWORD_BYTES = 15
PAGES = (("Admin", "/admin/"), ("API", "/api/docs/"), ("Health", "/api/health"))


class Command(BaseCommand):
    """Creates databases, demonstration data and an admin user on the first run. Existing data is kept."""

    help = "Prepare the embedded databases and print the service's URLs. For development only."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the port of the server."""
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        """Check the port, migrate, load demonstration data into empty databases, print the URLs."""
        environment = getattr(settings, "APP_ENV", "development")
        if environment not in ("development", "test"):
            raise CommandError(f"bootstrap is for development, not for {environment}. Use `manage.py migrate` instead.")
        check_port(options["port"])
        try:
            password = prepare()
        except DatabaseError as error:
            raise CommandError(f"The databases cannot be used: {error}. They are {_places()}.") from error
        except OSError as error:
            raise CommandError(f"The databases cannot be created: {error.strerror}: {error.filename}.") from error
        self._print_urls(options["port"], password)

    def _print_urls(self, port: int, password: str | None) -> None:
        self.stdout.write("")
        for name, path in PAGES:
            self.stdout.write(f"  {name:8}http://{HOST}:{port}{path}")
        if password:
            self.stdout.write(f"\n  Log in as {ADMIN} with the password {password}  (shown only once)")
        else:
            self.stdout.write(f"\n  To set a new password: .venv/bin/python manage.py changepassword {ADMIN}")
        self.stdout.write("")
        self.stdout.flush()


def prepare() -> str | None:
    """Migrate all databases, and on the first run load data and create an admin. Return a new admin's password."""
    for config in settings.DATABASES.values():
        if isinstance(config["NAME"], Path):
            config["NAME"].parent.mkdir(parents=True, exist_ok=True)
    for alias in settings.DATABASES:
        call_command("migrate", database=alias, interactive=False, verbosity=0)
    if get_user_model().objects.filter(is_superuser=True).exists():
        return None
    if not MemoryItem.all_objects.exists():
        load_demonstration()
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    get_user_model().objects.create_superuser(username=ADMIN, password=password)
    return password


def load_demonstration() -> None:
    """Load all demonstration data in one transaction."""
    now = timezone.now()
    lines = "\n".join(json.dumps(record) for record in demo.records(now))
    with transaction.atomic(using=router.db_for_write(MemoryItem)):
        load(io.BytesIO(lines.encode()), Context(None, "demonstration", now), Listeners(_fail))


def _fail(reject: Reject) -> None:
    raise CommandError(f"A demonstration record cannot be stored: {reject.reason}")


def check_port(port: int) -> None:
    """Raise `CommandError` if the port is invalid or in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            reason = "not a valid port" if isinstance(error, OverflowError) else (error.strerror or str(error)).lower()
            raise CommandError(f"Port {port}: {reason}. Choose another one: make run PORT=8001") from error


def _places() -> str:
    return " and ".join(str(config["NAME"]) for config in settings.DATABASES.values())

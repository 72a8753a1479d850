"""`manage.py firestore_indexes`: writes, checks and deploys the composite indexes that the models need."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections, models, router

from ...indexes import deploy, manifest
from ...rpc import channel

ENGINE = "memory.backends.firestore"


class Command(BaseCommand):
    """Keeps `firestore.indexes.json` in sync with `Meta.indexes`, vector fields and expiration fields."""

    help = (
        "Writes firestore.indexes.json from the models and keeps other entries of the file. With --check, exits with 1 "
        "if entries are missing. With --deploy, creates the indexes that the database lacks through the Admin API."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--file", type=Path, default=Path("firestore.indexes.json"), help="path of the file")
        parser.add_argument("--database", help="the models' database; by default the first on Firestore, or all")
        parser.add_argument(
            "--ttl", action="append", metavar="FIELD", help="name of expiration fields; by default expiration"
        )
        parser.add_argument("--dimension", type=int, help="dimension of vector fields that do not declare one")
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--check", action="store_true", help="write nothing, and fail if entries are missing")
        action.add_argument("--deploy", action="store_true", help="create missing indexes in the database; idempotent")

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"] or self._firestore_alias()
        wanted = manifest.of_models(
            self._models(alias),
            manifest.Options(ttl=tuple(options["ttl"] or ("expiration",)), dimension=options["dimension"]),
        )
        for sentence in wanted.skipped:
            self.stderr.write(self.style.WARNING(f"skipped: {sentence}"))
        kept = self._read(options["file"])
        missing = wanted.missing_from(kept)
        if options["check"]:
            self._check(options["file"], missing)
            return
        complete = self._complete(kept, wanted)
        if options["deploy"]:
            self._deploy(alias, complete)
            return
        try:
            options["file"].write_text(complete.text(), encoding="utf-8")
        except OSError as error:
            raise CommandError(f"cannot write {options['file']}: {error.strerror}; use another --file") from error
        self.stdout.write(f"{options['file']}: {len(complete.indexes)} indexes, {len(missing)} new entries")

    def _firestore_alias(self) -> str | None:
        return next((alias for alias in connections if connections.settings[alias]["ENGINE"] == ENGINE), None)

    def _models(self, alias: str | None) -> list[type[models.Model]]:
        if alias is not None and alias not in connections.settings:
            raise CommandError(f"{alias!r} is not in DATABASES; choose from: {', '.join(connections.settings)}")
        return [
            model
            for model in apps.get_models(include_auto_created=True)
            if model._meta.managed and not model._meta.proxy
            if alias is None or router.allow_migrate_model(alias, model)
        ]

    def _read(self, path: Path) -> manifest.Manifest:
        try:
            return manifest.parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return manifest.Manifest()
        except OSError as error:
            raise CommandError(f"cannot read {path}: {error.strerror}; use another --file") from error
        except ValueError as error:
            raise CommandError(f"cannot read {path}: {error}; fix or delete it") from error

    def _complete(self, kept: manifest.Manifest, wanted: manifest.Manifest) -> manifest.Manifest:
        """The derived entries and other entries of the file. A derived field override replaces that of the file."""
        complete = manifest.Manifest(list(wanted.indexes), list(wanted.overrides))
        complete.add(kept.indexes)
        ours = {(one["collectionGroup"], one["fieldPath"]) for one in wanted.overrides}
        complete.overrides += [one for one in kept.overrides if (one["collectionGroup"], one["fieldPath"]) not in ours]
        return complete

    def _check(self, path: Path, missing: list[dict[str, Any]]) -> None:
        if missing:
            lines = "\n".join(f"  {one}" for one in missing)
            raise CommandError(f"{path} lacks {len(missing)} entries; run `manage.py firestore_indexes`:\n{lines}")
        self.stdout.write(f"{path} is complete")

    def _deploy(self, alias: str | None, complete: manifest.Manifest) -> None:
        if alias is None or connections.settings[alias]["ENGINE"] != ENGINE:
            raise CommandError(f"--deploy needs a Firestore database; set ENGINE to {ENGINE!r} or use --database")
        done = 0
        try:
            for line in deploy.deploy(channel.target(connections[alias].settings_dict), complete):
                done += 1
                self.stdout.write(line)
        except (DatabaseError, ImproperlyConfigured) as error:
            raise CommandError(f"failed after {done} steps: {error}") from error
        started = f"started {done} steps; Firestore builds indexes in the background"
        self.stdout.write(started if done else "nothing to do")

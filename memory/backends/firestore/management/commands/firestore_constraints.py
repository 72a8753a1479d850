"""`manage.py firestore_constraints --check | --repair`: whether unique columns have their markers."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import connections, router
from tqdm import tqdm

from memory.backends.firestore.constraints.audit import Audit, Report
from memory.backends.firestore.constraints.definitions import unique_keys

ENGINE: Final = "memory.backends.firestore"


class Command(BaseCommand):
    """Compares rows with the markers that keep them unique, and mends the markers."""

    help = (
        "Looks for rows without the markers that keep their columns unique, for markers without a row, and for rows "
        "that violate a constraint: they may be older than it, or written by others. --repair writes and removes "
        "markers; which of two rows may stay is yours to say. Exits with 1 if --check finds anything, or --repair "
        "leaves anything."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument(
            "models", nargs="*", metavar="app.Model", help="only these; all with unique columns otherwise"
        )
        parser.add_argument("--database", help="alias of a database on Firestore; the first one unless given")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--check", action="store_true", help="write nothing")
        what.add_argument("--repair", action="store_true", help="write missing markers and remove orphans")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run over the models one after the other."""
        alias = self._alias(options["database"])
        bar = partial(tqdm, file=self.stderr)
        reports = []
        for model in self._models(alias, options["models"]):
            with Audit(connections[alias], model, bar=bar) as audit:
                audit.read()
                reports.append(audit.compare(repair=options["repair"]))
            self._tell(reports[-1], repaired=options["repair"])
        violations = sum(len(report.violations) for report in reports)
        if violations:
            raise CommandError(f"{violations} violations: change or delete rows, then run with --repair.")
        if options["check"] and not all(report.is_clean for report in reports):
            raise CommandError("Markers and rows differ; --repair makes them agree.")

    def _alias(self, given: str | None) -> str:
        found = [alias for alias in connections if connections.settings[alias]["ENGINE"] == ENGINE]
        if given is not None and given not in found:
            raise CommandError(f"{given!r} is no database on Firestore; those are: {', '.join(found) or 'none'}.")
        if not found:
            raise CommandError(f"No database in DATABASES has ENGINE {ENGINE!r}.")
        return given or found[0]

    def _models(self, alias: str, names: list[str]) -> list[Any]:
        try:
            chosen: Iterable[Any] = [apps.get_model(name) for name in names] or apps.get_models(
                include_auto_created=True
            )
        except (LookupError, ValueError) as error:
            raise CommandError(f"{error} Name models as app_label.Model.") from error
        return [
            model
            for model in chosen
            if model._meta.managed and not model._meta.proxy and unique_keys(model)
            if router.allow_migrate_model(alias, model)
        ]

    def _tell(self, report: Report, repaired: bool) -> None:
        verb = "mended" if repaired else "found"
        self.stdout.write(
            f"{report.table}: {report.rows:,} rows, {report.markers:,} markers; {verb} {report.missing:,} missing, "
            f"{report.orphans:,} orphans; {len(report.violations):,} violations"
        )
        for violation in report.violations.values():
            self.stderr.write(self.style.ERROR(f"  {violation}"))

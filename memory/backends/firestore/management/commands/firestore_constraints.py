"""`manage.py firestore_constraints --check | --repair`: checks and repairs the markers of unique constraints."""

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
    """Compares rows with the markers of unique constraints, and repairs the markers."""

    help = (
        "Checks for rows without the markers of their unique constraints, for markers without a row, and for rows that "
        "violate a constraint, because they are older than it or were written by other clients. --repair creates and "
        "deletes markers; it does not change rows, so violations must be resolved by hand. Exits with 1 if --check "
        "finds a problem, or if violations remain after --repair."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument(
            "models", nargs="*", metavar="app.Model", help="models to check; by default all with unique constraints"
        )
        parser.add_argument("--database", help="alias of a Firestore database; by default the first one")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--check", action="store_true", help="only report, write nothing")
        what.add_argument("--repair", action="store_true", help="create missing markers and delete orphaned ones")

    def handle(self, *args: Any, **options: Any) -> None:
        """Checks the models in sequence."""
        alias = self._alias(options["database"])
        bar = partial(tqdm, file=self.stderr)
        reports = []
        for model in self._models(alias, options["models"]):
            with Audit(connections[alias], model, bar=bar) as audit:
                audit.read()
                reports.append(audit.compare(repair=options["repair"]))
            self._print(reports[-1], repaired=options["repair"])
        violations = sum(len(report.violations) for report in reports)
        if violations:
            raise CommandError(f"{violations} violations: change or delete the rows, then run with --repair.")
        if options["check"] and not all(report.is_clean for report in reports):
            raise CommandError("Markers and rows differ; run with --repair to repair the markers.")

    def _alias(self, given: str | None) -> str:
        found = [alias for alias in connections if connections.settings[alias]["ENGINE"] == ENGINE]
        if given is not None and given not in found:
            raise CommandError(f"{given!r} is not a Firestore database; choose from: {', '.join(found) or '(none)'}.")
        if not found:
            raise CommandError(f"No database in DATABASES has ENGINE {ENGINE!r}.")
        return given or found[0]

    def _models(self, alias: str, names: list[str]) -> list[Any]:
        try:
            chosen: Iterable[Any] = [apps.get_model(name) for name in names] or apps.get_models(
                include_auto_created=True
            )
        except (LookupError, ValueError) as error:
            raise CommandError(f"{error} Use the format app_label.Model.") from error
        return [
            model
            for model in chosen
            if model._meta.managed and not model._meta.proxy and unique_keys(model)
            if router.allow_migrate_model(alias, model)
        ]

    def _print(self, report: Report, repaired: bool) -> None:
        verb = "repaired" if repaired else "found"
        self.stdout.write(
            f"{report.table}: {report.rows:,} rows, {report.markers:,} markers; {verb} {report.missing:,} missing, "
            f"{report.orphans:,} orphans; {len(report.violations):,} violations"
        )
        for violation in report.violations.values():
            self.stderr.write(self.style.ERROR(f"  {violation}"))

"""`manage.py memory_erase USER_ID`: erase everything of a person, with a receipt. Also checks receipts."""

from __future__ import annotations

import getpass
import os
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils import timezone

from memory.conf import memory_settings
from memory.exceptions import StorageError, ValidationError
from memory.extras import missing
from memory.lifecycle import costs, erasure, receipts
from memory.lifecycle.commands import AuditedCommand
from memory.lifecycle.remains import remains


class Command(AuditedCommand):
    """The edge of `memory.lifecycle`: arguments, questions, files and exit codes."""

    help = "Erase everything of a person, and write a signed receipt. With --verify, look for remains instead."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's options."""
        parser.add_argument("user_id", nargs="?", help="The id of the person.")
        parser.add_argument("--dry-run", action="store_true", help="Print what would be erased and what it costs.")
        parser.add_argument("--no-input", action="store_true", help="Do not ask for confirmation.")
        parser.add_argument("--by", default="", metavar="NAME", help="Who asked for it, for the receipt.")
        parser.add_argument("--receipt", metavar="FILE", help="Where the receipt is written.")
        parser.add_argument(
            "--keep", type=float, default=erasure.KEEP.total_seconds() / 3600, metavar="HOURS",
            help="How long writes of the person are refused. Default: 24.",
        )  # fmt: skip
        parser.add_argument("--no-scan", action="store_true", help="Do not read the data of other agents.")
        parser.add_argument("--no-vacuum", action="store_true", help="Do not vacuum an SQLite file.")
        parser.add_argument("--end", action="store_true", help="End the tombstone: the person may be written again.")
        parser.add_argument("--verify", metavar="RECEIPT", help="Look for remains of the person of a receipt.")
        parser.add_argument("--public-key", metavar="FILE", help="With --verify: check the receipt with this key.")
        parser.add_argument("--new-key", action="store_true", help="Print a new key for MEMORY['RECEIPT_KEY'].")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one of the modes."""
        if options["new_key"]:
            self._new_key()
            return
        try:
            if options["verify"]:
                self._verify(options)
            elif not options["user_id"]:
                raise CommandError("Name the person: manage.py memory_erase USER_ID.")
            elif options["end"]:
                ended = erasure.end(options["user_id"])
                self.stdout.write("The tombstone has ended." if ended else "This person has no tombstone.")
            else:
                self._erase(options)
        except (StorageError, DatabaseError) as error:
            raise CommandError(f"{str(error).rstrip('. ')}. Run the command again to go on.") from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error

    def _erase(self, options: dict[str, Any]) -> None:
        user_id, scan = options["user_id"], not options["no_scan"]
        self._print_cost(costs.cost_of(user_id, scan=scan))
        if options["dry_run"]:
            return
        path = Path(options["receipt"] or f"erasure-{timezone.now():%Y%m%d-%H%M%S}.json")
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise CommandError(f"The receipt cannot be written to {path}. Nothing was erased.")
        if not options["no_input"]:
            self._confirm()
        seconds = erasure.settle_seconds(memory_settings.database)
        self.stdout.write(f"Erasing; this takes at least {seconds:.0f} s, until no write is under way.")
        done = erasure.erase(
            user_id,
            by=options["by"] or f"command: {getpass.getuser()}",
            keep=timedelta(hours=options["keep"]),
            scan=scan,
            vacuum=not options["no_vacuum"],
        )
        for table, count in done.counts.items():
            self.stdout.write(f"{table}: {count:,} erased")
        path.write_text(done.receipt, encoding="utf-8")
        signed = "" if memory_settings.receipt_key else ", not signed: MEMORY['RECEIPT_KEY'] is not set"
        self.stdout.write(f"Receipt: {path}{signed}")
        self.stdout.write(f"Writes of this person are refused until {done.until.isoformat(timespec='seconds')}.")

    def _confirm(self) -> None:
        try:
            answer = input("Erase all of this? It cannot be undone. Type 'yes': ")
        except EOFError as error:
            raise CommandError("Nothing was erased: nobody answered. Use --no-input.") from error
        if answer != "yes":
            raise CommandError("Nothing was erased.")

    def _print_cost(self, cost: costs.Cost) -> None:
        for table, count in cost.owned.items():
            if count:
                self.stdout.write(f"{table}: {count:,} to erase")
        for table, count in cost.looked_through.items():
            self.stdout.write(f"{table}: {count:,} to look through")
        if cost.is_firestore:
            numbers = f"{cost.reads:,} reads, {cost.deletes:,} deletions, {cost.writes:,} writes"
            self.stdout.write(f"Cost on Firestore: about {numbers}, {cost.price:.4f} US dollars.")

    def _verify(self, options: dict[str, Any]) -> None:
        try:
            text = Path(options["verify"]).read_text(encoding="utf-8")
            receipt = self._receipt(text, options["public_key"])
            found = list(remains(receipt, options["user_id"]))
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from error
        except ValueError as error:  # also an invalid receipt
            raise CommandError(str(error)) from error
        for one in found:
            self.stdout.write(f"{'kept' if one.kept else 'REMAINS'}: {one}")
        if any(not one.kept for one in found):
            raise CommandError(f"{sum(not one.kept for one in found):,} remains.")
        self.stdout.write("No remains.")
        if options["user_id"] is None:
            self.stdout.write("Ids were compared by digests. Name the person too to look for its bytes anywhere.")

    def _receipt(self, text: str, public_key: str | None) -> receipts.Receipt:
        if public_key:
            receipt = receipts.checked(text, Path(public_key).read_text(encoding="utf-8"))
            self.stdout.write(f"Signature valid. {receipts.summary(receipt)}")
            return receipt
        if memory_settings.receipt_key:
            public = receipts.public_pem(receipts.private_key(memory_settings.receipt_key))
            receipt = receipts.checked(text, public)
            self.stdout.write(f"Signature valid. {receipts.summary(receipt)}")
            return receipt
        self.stdout.write("The signature is not checked: give --public-key.")
        return receipts.read(text)[0]

    def _new_key(self) -> None:
        if missing("encryption"):
            raise CommandError('This needs an extra: pip install "orchestra-memory[encryption]".')
        private, public = receipts.new_key()
        self.stdout.write(f"{private}\n{public}".rstrip())

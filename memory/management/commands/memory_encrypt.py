"""`manage.py memory_encrypt`: write what is stored as `MEMORY["ENCRYPT"]` says, after a change of it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from memory import sealing
from memory.conf import memory_settings
from memory.lifecycle.commands import AuditedCommand
from memory.models import AgentData, MemoryItem, SearchIndex
from memory.tombstones import tombstones

AT_ONCE: Final = 100


class Command(AuditedCommand):
    """Items, agent data, then search indexes, which are made anew."""

    help = (
        "Encrypt what MEMORY['ENCRYPT'] names, and decrypt what it does not name any more: items and agent data are "
        "written again, and search indexes are made anew. The command can be interrupted and run again; --after "
        "continues behind the id that it printed last."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The user and the id to continue from."""
        parser.add_argument("--user", help="only the records of this user, or agent")
        parser.add_argument("--after", default="", help="only records with a greater id")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write all records again."""
        using, after = memory_settings.database, options["after"]
        for model, owner, names in (
            (MemoryItem, "user_id", ("text_content", "metadata")),
            (AgentData, "agent_id", ("content", "metadata")),
        ):
            rows: Any = model.all_objects.using(using)
            if options["user"]:
                rows = rows.filter(**{owner: options["user"]})
            count, last = 0, after
            while some := list(rows.filter(pk__gt=last).order_by("pk")[:AT_ONCE]):
                last, living = some[-1].pk, tombstones.without_erased(map(sealing.owner_of, some), using)
                sealing.ensure_keys(living, using)
                count += rows.bulk_update([one for one in some if sealing.owner_of(one) in living], names)
                if options["verbosity"] > 1:
                    self.stdout.write(f"{model._meta.label}: {count}, up to {last}")
            self.stdout.write(f"{count} {model._meta.verbose_name_plural} written")
        self.stdout.write(f"{self._indexes(using, options['user'])} search indexes made anew")

    def _indexes(self, using: str, user: str | None) -> int:
        from memory.search.encrypted import is_searched  # search is an extra
        from memory.search.packing import erase, pack  # as above

        indexes = SearchIndex.objects.using(using).order_by("pk").values_list("user_id", flat=True)
        users = sorted(tombstones.without_erased(indexes.filter(user_id=user) if user else indexes, using))
        for one in users:
            if is_searched():
                pack(one, using, rebuild=True, lease=0)
            else:
                erase(one, using)
        return len(users)

"""How often the valid item ranks above what it superseded: `python -m benchmarks.supersession`.

Asks the held-out questions about updates of `tests/search/data/kinds` on a new SQLite file, as any user's search does:
once with the items as they are, and once with the newest item of each question superseding the older ones. The older
ones are the rest of the question's evidence, or, for questions of one item, what `tests/search/data/supersedes.json`
names, which a person chose from the texts. Prints a JSON line per kind, and one for all.

`above`: of the questions with one of the items among the first `LIMIT`, the share with the valid item before all that
it superseded. `first`: the share with the valid item among the first ten.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "tests" / "search" / "data"
KINDS = ("assistant", "chinese", "facts", "german", "japanese", "mixed", "support", "tools")
LIMIT, FIRST = 100, 10
LEAST = 0.95


def asked(conversation: Any, named: Mapping[str, list[str]]) -> list[tuple[str, str, str, set[str]]]:
    """Questions about updates: the question, who asks, the valid item, and those that it superseded."""
    places = {one.id: place for place, one in enumerate(conversation.passages)}
    found = []
    for label in conversation.labels:
        if not label.category.endswith("/update"):
            continue
        *old, new = sorted(label.evidence, key=lambda one: places[one])
        if older := {*old, *named.get(new, ())}:
            found.append((label.question, label.asker, new, older))
    superseded = {one for _, _, _, older in found for one in older}
    return [one for one in found if one[2] not in superseded]  # an item that another question's item superseded


def ranks(user: str, question: str, asker: str) -> list[str]:
    """The ids that a search returns, without the user's id."""
    from memory.models import MemoryItem

    found = MemoryItem.objects.search(question, user_id=user, limit=LIMIT, asker=asker)
    return [str(item.pk).removeprefix(f"{user}:") for item in found]


def outcome(order: list[str], new: str, old: set[str]) -> tuple[bool, bool, bool]:
    """Whether one of the items was found, whether the valid one is before the others, and among the first ten."""
    places = {one: place for place, one in enumerate(order)}
    older = min((places[one] for one in old if one in places), default=LIMIT)
    at = places.get(new, LIMIT)
    return min(at, older) < LIMIT, at < older, at < FIRST


def measure(kind: str, named: Mapping[str, Mapping[str, list[str]]]) -> dict[str, list[tuple[bool, bool, bool]]]:
    """The outcomes without and with supersession."""
    from dataclasses import replace

    from memory.models import MemoryItem
    from memory.search.labelled import read_conversations
    from memory.search.packing import pack
    from memory.search.stored import items_of

    outcomes: dict[str, list[tuple[bool, bool, bool]]] = {"before": [], "after": []}
    for conversation in read_conversations((DATA / "kinds" / f"{kind}_heldout.json").read_text("utf-8")):
        user = conversation.id
        questions = asked(conversation, named.get(user, {}))
        passages = [replace(one, id=f"{user}:{one.id}") for one in conversation.passages]
        MemoryItem.objects.bulk_create(items_of(passages, user))
        pack(user, "memory")
        for question, asker, new, old in questions:
            outcomes["before"].append(outcome(ranks(user, question, asker), new, old))
        links: dict[str, set[str]] = defaultdict(set)
        for _, _, new, old in questions:
            links[new] |= old
        for new, old in links.items():
            item = MemoryItem.objects.get(pk=f"{user}:{new}")
            item.supersedes = sorted(f"{user}:{one}" for one in old)
            item.save(update_fields=["supersedes"])
        for question, asker, new, old in questions:
            outcomes["after"].append(outcome(ranks(user, question, asker), new, old))
    return outcomes


def share(outcomes: list[tuple[bool, bool, bool]]) -> dict[str, Any]:
    """The figures of a line."""
    found = [one for one in outcomes if one[0]]
    if not found:
        return {"found": 0}
    return {
        "above": round(sum(one[1] for one in found) / len(found), 3),
        "first": round(sum(one[2] for one in outcomes) / len(outcomes), 3),
        "found": len(found),
    }


def main() -> None:
    """Print JSON lines; exit with 1 below the least share."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            APP_ENV="test",
            DJANGO_SETTINGS_MODULE="settings",
            DATABASE_URL=f"sqlite:///{folder}/service.sqlite3",
            MEMORY_DATABASE_URL=f"sqlite:///{folder}/memory.sqlite3",
        )
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", database="memory", verbosity=0)
        named = json.loads((DATA / "supersedes.json").read_text("utf-8"))
        every: dict[str, list[tuple[bool, bool, bool]]] = {"before": [], "after": []}
        for kind in KINDS:
            outcomes = measure(kind, named.get(kind, {}))
            line = {"kind": kind, "questions": len(outcomes["after"])}
            print(json.dumps({**line, **{name: share(some) for name, some in outcomes.items()}}), flush=True)
            for name, some in outcomes.items():
                every[name] += some
        total = {name: share(some) for name, some in every.items()}
        print(json.dumps({"kind": "all", "questions": len(every["after"]), **total}), flush=True)
        sys.exit(total["after"]["above"] < LEAST)


if __name__ == "__main__":
    main()

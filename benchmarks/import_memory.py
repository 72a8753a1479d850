"""Memory and time of importing a large ChatGPT export: `python benchmarks/import_memory.py [--megabytes 1000]`.

Writes the export and a database of its own into a temporary folder (about three times the size), imports it with
`manage.py memory_import` in a process of its own, prints that process' peak memory, and removes the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from tests.interchange.samples import chatgpt_export  # noqa: E402

MEGABYTE = 1_000_000


def write_export(path: Path, size: int) -> int:
    """Write conversations of 100 messages of 2,000 characters up to `size` bytes; return the number of messages."""
    pieces = [json.dumps(with_longer_texts(each), ensure_ascii=False) for each in chatgpt_export(5_000)]
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        while file.tell() < size:
            piece = pieces[count % len(pieces)].replace("conversation-", f"conversation-{count}-")
            file.write(("," if count else "") + piece)
            count += 1
        file.write("]")
    return count * 100


def with_longer_texts(conversation: dict[str, Any]) -> dict[str, Any]:
    """The conversation with texts repeated ten times."""
    for node in conversation["mapping"].values():
        if node["message"]:
            content = node["message"]["content"]
            content["parts"] = ["\n".join([part] * 10) for part in content["parts"] if part]
    return conversation


def main() -> None:
    """Generate an export, import it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="import-memory-") as folder:
        path = Path(folder) / "conversations.json"
        messages = write_export(path, options.megabytes * MEGABYTE)
        environment = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{folder}/default.sqlite3",
            "MEMORY_DATABASE_URL": f"sqlite:///{folder}/memory.sqlite3",
        }
        manage = [sys.executable, str(PROJECT / "manage.py")]
        subprocess.run([*manage, "migrate", "--database=memory", "-v0"], env=environment, check=True)  # noqa: S603
        before = time.perf_counter()
        subprocess.run([*manage, "memory_import", "--user-id=ada", str(path)], env=environment, check=True)  # noqa: S603
        seconds = time.perf_counter() - before
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        size = path.stat().st_size
    print(f"{size / MEGABYTE:,.0f} MB, {messages:,} messages: {seconds:,.0f} s, {peak / MEGABYTE:,.0f} MB of memory")


if __name__ == "__main__":
    main()

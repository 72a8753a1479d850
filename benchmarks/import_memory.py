"""Rate and memory of importing a large ChatGPT export.

    python benchmarks/import_memory.py --messages 1000000
    python benchmarks/import_memory.py --messages 20000 --rounds 3 --paired ../other-checkout
    python benchmarks/import_memory.py --messages 20000 --engine firestore      # FIRESTORE_EMULATOR_HOST is set

Writes the export and databases into a temporary folder, imports it with `manage.py memory_import` in processes of their
own, and prints for each run the time, the CPU time and the peak memory. `--paired` runs another checkout in turns with
this one and prints the ratios of their rates. `--embedder none` imports without vectors. The words of the messages are
made up and as frequent as in a language (Zipf), since terms and vectors of repeated words are cheaper.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from tests.interchange.samples import chatgpt_export  # noqa: E402

MEGABYTE = 1_000_000
VOCABULARY = 20_000
SETTINGS = "import_benchmark_settings"


@dataclass(frozen=True)
class Run:
    """The figures of one import: seconds, CPU seconds and bytes."""

    seconds: float
    cpu: float
    memory: int


def texts(made: random.Random) -> Iterator[str]:
    """Texts of 3 to 60 words."""
    words = ["".join(made.choices("aeioubcdfglmnprst", k=made.randint(2, 9))) for _ in range(VOCABULARY)]
    weights = list(accumulate(1 / (place + 1) for place in range(VOCABULARY)))
    while True:
        yield " ".join(made.choices(words, cum_weights=weights, k=made.randint(3, 60)))


def write_export(path: Path, messages: int) -> None:
    """Write conversations of 100 messages, one at a time."""
    made = random.Random(7)
    said = texts(made)
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, start in enumerate(range(0, messages, 100)):
            (conversation,) = chatgpt_export(min(100, messages - start), seed=number)
            for node in conversation["mapping"].values():
                if node["message"] and node["message"]["content"]["parts"] != [""]:
                    node["message"]["content"]["parts"] = [next(said)]
            conversation["conversation_id"] = str(uuid.UUID(int=made.getrandbits(128)))
            file.write(("," if number else "") + json.dumps(conversation))
        file.write("]")


def environment_of(project: Path, folder: Path, options: argparse.Namespace) -> dict[str, str]:
    """Databases in the folder, and settings with the embedder that was chosen."""
    lines = ["from settings import *"]
    if options.embedder == "none":
        lines.append('MEMORY = {**MEMORY, "EMBEDDER": None}')
    databases = {"DATABASE_URL": f"sqlite:///{folder}/default.sqlite3"}
    if options.engine == "sqlite":
        databases["MEMORY_DATABASE_URL"] = f"sqlite:///{folder}/memory.sqlite3"
    else:
        databases["GCP_PROJECT_ID"] = f"import-{uuid.uuid4().hex[:8]}"
        lines.append('DATABASES["memory"]["OPTIONS"]["timeout"] = 60')
    (folder / f"{SETTINGS}.py").write_text("\n".join(lines))
    path = os.pathsep.join([str(folder), str(project)])
    return {**os.environ, **databases, "DJANGO_SETTINGS_MODULE": SETTINGS, "PYTHONPATH": path}


def run(project: Path, export: Path, options: argparse.Namespace) -> Run:
    """Import into empty databases."""
    with tempfile.TemporaryDirectory(prefix="import-", dir=export.parent) as name:
        environment = environment_of(project, Path(name), options)
        manage = [sys.executable, "-W", "ignore", str(project / "manage.py")]
        if options.engine == "sqlite":
            subprocess.run([*manage, "migrate", "--database=memory", "-v0"], env=environment, check=True, cwd=project)  # noqa: S603
        command = [*manage, "memory_import", "--user-id=ada", str(export)]
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=project)  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"The import failed with status {os.waitstatus_to_exitcode(status)}.")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def report(name: str, runs: Sequence[Run], messages: int) -> None:
    """Print the medians of the runs."""
    seconds, cpu = (statistics.median(getattr(each, field) for each in runs) for field in ("seconds", "cpu"))
    peak = max(each.memory for each in runs)
    print(
        f"{name}: {seconds:,.1f} s ({messages / seconds:,.0f}/s), {cpu:,.1f} s of CPU ({messages / cpu:,.0f}/s), "
        f"{peak / MEGABYTE:,.0f} MB of memory"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate an export, import it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--paired", type=Path, metavar="CHECKOUT")
    parser.add_argument("--engine", choices=["sqlite", "firestore"], default="sqlite")
    parser.add_argument("--embedder", choices=["default", "none"], default="default")
    options = parser.parse_args(arguments)
    projects = {"this": PROJECT, **({"other": options.paired.resolve()} if options.paired else {})}
    runs: dict[str, list[Run]] = {name: [] for name in projects}
    with tempfile.TemporaryDirectory(prefix="import-memory-") as folder:
        export = Path(folder) / "conversations.json"
        write_export(export, options.messages)
        print(f"{export.stat().st_size / MEGABYTE:,.0f} MB, {options.messages:,} messages")
        for _ in range(options.rounds):
            for name, project in projects.items():
                runs[name].append(run(project, export, options))
    for name, some in runs.items():
        report(name, some, options.messages)
    if options.paired:
        pairs: list[tuple[Any, Any]] = list(zip(runs["other"], runs["this"], strict=True))
        for field in ("seconds", "cpu"):
            ratios = [getattr(other, field) / getattr(this, field) for other, this in pairs]
            print(f"ratio of rates by {field}: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


if __name__ == "__main__":
    main()

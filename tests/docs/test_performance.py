"""The bars of the documentation are those of the benchmarks."""

import re
from pathlib import Path

import pytest

from benchmarks import engine

DOCS = Path(__file__).resolve().parents[2] / "docs"

ROWS = {
    "READ_BAR": ("the engine's read of 2,000 / the library's", "read 2,000 as model instances"),
    "GET_BAR": ("the engine's `get()` / the library's", "`get()` by primary key, 200 times"),
    "CREATE_BAR": ("the engine's `create()` / the library's", "`create()`, 200 times"),
}


@pytest.mark.parametrize("name", ROWS)
def test_bars_of_the_engine(name: str) -> None:
    """Both pages have the bar with which `benchmarks.engine` compares a ratio."""
    for page, start in zip(("performance.md", "performance-engine.md"), ROWS[name], strict=True):
        [row] = [line for line in (DOCS / page).read_text().splitlines() if line.startswith(f"| {start}")]
        bar = row.split("|")[4]
        assert float(re.findall(r"[\d.]+", bar)[0]) == getattr(engine, name)

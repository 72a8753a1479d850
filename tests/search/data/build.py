"""Make `tuning.json` and `heldout.json` of the conversations in `sources/`.

A source is one conversation, which is one user's memory:

    speakers: M=Maya, T=Tom
    # session | 2025-03-14 19:05
    M: a turn
    T^kiln: a turn that a question refers to by its label
    # plain questions
    What did Tom build? | kiln | single
    # oblique questions
    Which oven for clay was made at home? | kiln | single

Plain questions use the ordinary words for a thing, which often are the words that were said; oblique ones avoid them.
A question's category in the result is `kind/category`. The folder of a source is the half that it belongs to, its
file's name the conversation's id. Run `python -m tests.search.data.build` after a change; a test compares the result
with what is stored.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

FOLDER = Path(__file__).parent
HALVES = ("tuning", "heldout")
# Written by others than who wrote the search, with other questions: docs/search.md, "What it finds".
FRIENDS = ("friends", "friends_heldout")
SETS = (*HALVES, *FRIENDS)
KINDS = ("plain", "oblique")
CATEGORIES = ("single", "multi", "temporal", "name", "detail", "inference")
BETWEEN_TURNS = timedelta(minutes=1)

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_QUESTIONS = {f"# {kind} questions": kind for kind in KINDS}
_SESSION = re.compile(r"# session \| (\d{4}-\d{2}-\d{2} \d{2}:\d{2})")
_TURN = re.compile(r"([A-Z])(?:\^([a-z0-9-]+))?: (\S.*)")


class SourceError(ValueError):
    """A line of a source does not read; the message says which and why."""


@dataclass(frozen=True)
class Turn:
    """What one speaker said; `time` is ISO 8601 in UTC."""

    id: str
    session: str
    speaker: str
    time: str
    text: str


@dataclass(frozen=True)
class Question:
    """What somebody asks later, and the ids of all turns that an answer rests on."""

    question: str
    evidence: list[str]
    category: str


@dataclass(frozen=True)
class Conversation:
    """One user's memory, with the questions about it."""

    id: str
    turns: list[Turn]
    questions: list[Question]


@dataclass
class _Reader:
    """What has been read of one source so far."""

    id: str
    speakers: Mapping[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    sessions: int = 0
    clock: datetime = _BEFORE_ALL
    asks: str = ""  # the kind of the questions that follow

    def line(self, line: str) -> None:
        """Take the next line that is not empty."""
        if line.startswith("speakers: "):
            self.speakers = dict(pair.split("=") for pair in line.removeprefix("speakers: ").split(", "))
        elif line in _QUESTIONS:
            self.asks = _QUESTIONS[line]
        elif heading := _SESSION.fullmatch(line):
            self._session(heading[1])
        elif self.asks:
            self._question(line)
        else:
            self._turn(line)

    def _session(self, started: str) -> None:
        clock = datetime.fromisoformat(started).replace(tzinfo=UTC)
        if clock <= self.clock:
            raise SourceError("the session starts before the one above it has ended; move it or its date")
        self.clock, self.sessions = clock, self.sessions + 1

    def _turn(self, line: str) -> None:
        match = _TURN.fullmatch(line)
        if match is None or not self.sessions or match[1] not in self.speakers:
            raise SourceError("not a turn of a known speaker in a session; write `M: text` or `M^label: text`")
        speaker, label, text = match.groups()
        session = f"{self.id}-s{self.sessions:02}"
        number = sum(turn.session == session for turn in self.turns) + 1
        turn = Turn(f"{session}-t{number:02}", session, self.speakers[speaker], self.clock.isoformat(), text)
        if label in self.labels:
            raise SourceError(f"the label {label!r} is taken; choose another")
        if label:
            self.labels[label] = turn.id
        self.turns.append(turn)
        self.clock += BETWEEN_TURNS

    def _question(self, line: str) -> None:
        question, labels, category = (part.strip() for part in line.split("|"))
        unknown = [label for label in labels.split() if label not in self.labels]
        if unknown or category not in CATEGORIES:
            raise SourceError(f"unknown labels {unknown} or category {category!r}; categories are {CATEGORIES}")
        evidence = [self.labels[label] for label in labels.split()]
        self.questions.append(Question(question, evidence, f"{self.asks}/{category}"))


def read(name: str, text: str) -> Conversation:
    """The conversation `name` from its source; raises SourceError with the number of the line at fault."""
    reader = _Reader(name)
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            if line.strip():
                reader.line(line.strip())
        except ValueError as error:
            raise SourceError(f"{name}, line {number}: {error}") from error
    return Conversation(reader.id, reader.turns, reader.questions)


def read_half(half: str) -> list[Conversation]:
    """The conversations of `sources/<half>/`, by name."""
    return [read(path.stem, path.read_text("utf-8")) for path in sorted((FOLDER / "sources" / half).glob("*.txt"))]


def dump(conversations: Iterable[Conversation]) -> str:
    """The JSON that `manage.py memory_evaluate` takes."""
    return json.dumps({"conversations": [asdict(one) for one in conversations]}, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write both files."""
    for half in HALVES:
        (FOLDER / f"{half}.json").write_text(dump(read_half(half)), "utf-8")


if __name__ == "__main__":
    main()

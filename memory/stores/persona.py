"""Personas: arguments of a search, not stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..exceptions import ValidationError


@dataclass(frozen=True)
class PersonaConfig:
    """A persona. `traits` are weights by name. Raises `ValidationError`, by field, for values of wrong types."""

    name: str
    description: str = ""
    traits: Mapping[str, float] = field(default_factory=dict, hash=False)
    prompt_template: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        problems = {name: problem for name, problem in self._problems().items() if problem}
        if problems:
            raise ValidationError(problems)

    def _problems(self) -> dict[str, str]:
        texts = {
            name: "" if isinstance(getattr(self, name), str) else "This must be a string."
            for name in ("name", "description", "prompt_template")
        }
        return {
            **texts,
            "name": texts["name"] or ("" if self.name else "This must not be empty."),
            "traits": "" if _are_weights(self.traits) else "This must map names to numbers.",
            "metadata": "" if isinstance(self.metadata, Mapping) else "This must be a map.",
        }


def _are_weights(traits: object) -> bool:
    return isinstance(traits, Mapping) and all(
        isinstance(name, str) and isinstance(weight, int | float) and not isinstance(weight, bool)
        for name, weight in traits.items()
    )

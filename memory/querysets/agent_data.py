"""Agent data, by agent and type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from .records import RecordQuerySet

if TYPE_CHECKING:
    from ..models import AgentData  # noqa: F401  (in a string below)


class AgentDataQuerySet(RecordQuerySet["AgentData"]):
    """Agent data."""

    def for_agent(self, agent_id: str) -> Self:
        """One agent's data."""
        return self.filter(agent_id=agent_id)

    def of_type(self, *data_types: str) -> Self:
        """Data of any of these types."""
        return self.filter(data_type__in=data_types)

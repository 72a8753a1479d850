"""The components of the service, and the report of their status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver

from ..conf import memory_settings
from .checks import CacheCheck, Check, DatabaseCheck, Finding, MigrationsCheck
from .runner import Runner

OK, DEGRADED, UNAVAILABLE = "ok", "degraded", "unavailable"


@dataclass(frozen=True)
class Component:
    """A component: its name in the response, its check, and the status of the service if it fails."""

    name: str
    check: Check
    failed: str
    # The usual engine; `details` lists the engine only if it differs.
    expected: str | None = None

    def details(self, finding: Finding) -> dict[str, Any]:
        """The engine and the failure; empty if the check passed with the expected engine."""
        if finding.failure:
            return {"engine": finding.engine, "failure": finding.failure}
        return {} if self.expected in (None, finding.engine) else {"engine": finding.engine}

    def measured(self, finding: Finding) -> dict[str, Any]:
        """`details` with the engine and the latency in milliseconds."""
        took = {} if finding.seconds is None else {"latency_ms": round(finding.seconds * 1000, 1)}
        return {"engine": finding.engine, **self.details(finding), **took}


@dataclass(frozen=True)
class Report:
    """The results of all components."""

    findings: Mapping[Component, Finding]

    @property
    def status(self) -> str:
        """ok, degraded or unavailable."""
        failed = {component.failed for component, finding in self.findings.items() if finding.failure}
        return next((status for status in (UNAVAILABLE, DEGRADED) if status in failed), OK)

    @property
    def components(self) -> dict[str, bool]:
        """Whether each component is healthy."""
        return {component.name: not finding.failure for component, finding in self.findings.items()}

    @property
    def details(self) -> dict[str, dict[str, Any]]:
        """`Component.details` of each component, without empty ones."""
        details = {component.name: component.details(finding) for component, finding in self.findings.items()}
        return {name: entry for name, entry in details.items() if entry}

    @property
    def measurements(self) -> dict[str, dict[str, Any]]:
        """`Component.measured` of each component, for staff only."""
        return {component.name: component.measured(finding) for component, finding in self.findings.items()}


SERVICE = (
    Component("app", DatabaseCheck(None), failed=UNAVAILABLE),
    Component("storage_firestore", DatabaseCheck("memory.MemoryItem"), failed=UNAVAILABLE, expected="Firestore"),
    Component("storage_redis", CacheCheck(), failed=DEGRADED, expected="Redis"),
)
READINESS = (
    Component("app", MigrationsCheck(None), failed=UNAVAILABLE),
    Component("storage_firestore", MigrationsCheck("memory.MemoryItem"), failed=UNAVAILABLE),
)
runner = Runner()


@receiver(setting_changed)
def _clear_results(**kwargs: Any) -> None:
    runner.clear()


def examine(components: Sequence[Component]) -> Report:
    """Run the components' checks, within `MEMORY["HEALTH_TIMEOUT"]` seconds."""
    findings = runner.run([component.check for component in components], memory_settings.health_timeout)
    return Report({component: findings[component.check] for component in components})

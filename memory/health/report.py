"""What is checked, and what the findings say of the service."""

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
    """A part of the service: its key in the answer, its check, and what its failure makes of the whole."""

    name: str
    check: Check
    failed: str
    # The engine that goes without saying: `details` name another one.
    expected: str | None = None

    def details(self, finding: Finding) -> dict[str, Any]:
        """What there is to say about it; nothing where it is as its name says, and well."""
        if finding.failure:
            return {"engine": finding.engine, "failure": finding.failure}
        return {} if self.expected in (None, finding.engine) else {"engine": finding.engine}

    def measured(self, finding: Finding) -> dict[str, Any]:
        """`details` in full: the engine always, and how long it took, in milliseconds."""
        took = {} if finding.seconds is None else {"latency_ms": round(finding.seconds * 1000, 1)}
        return {"engine": finding.engine, **self.details(finding), **took}


@dataclass(frozen=True)
class Report:
    """What all components' checks found."""

    findings: Mapping[Component, Finding]

    @property
    def status(self) -> str:
        """ok, degraded or unavailable."""
        failed = {component.failed for component, finding in self.findings.items() if finding.failure}
        return next((status for status in (UNAVAILABLE, DEGRADED) if status in failed), OK)

    @property
    def components(self) -> dict[str, bool]:
        """Which of them answer."""
        return {component.name: not finding.failure for component, finding in self.findings.items()}

    @property
    def details(self) -> dict[str, dict[str, Any]]:
        """By component, what `Component.details` says; components of which there is nothing to say are left out."""
        said = {component.name: component.details(finding) for component, finding in self.findings.items()}
        return {name: details for name, details in said.items() if details}

    @property
    def measurements(self) -> dict[str, dict[str, Any]]:
        """By component, what `Component.measured` says: for those who run the service, not for everybody."""
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
def _ask_anew(**kwargs: Any) -> None:
    runner.forget()


def examine(components: Sequence[Component]) -> Report:
    """Run the components' checks, within `MEMORY["HEALTH_TIMEOUT"]` seconds."""
    findings = runner.run([component.check for component in components], memory_settings.health_timeout)
    return Report({component: findings[component.check] for component in components})

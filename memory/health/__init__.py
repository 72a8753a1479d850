"""Health checks of the databases and the cache, and the views that report them.

    checks -> runner -> report -> views

A check queries one backend. The runner runs checks concurrently and shares their results. A report derives the status
of the service from the results, and each view has a list of components.
"""

from ..extras import MissingExtra
from .checks import FAILURES, CacheCheck, Check, DatabaseCheck, Finding, MigrationsCheck, UnhealthyError, failure_class
from .report import DEGRADED, OK, READINESS, SERVICE, UNAVAILABLE, Component, Report, examine, runner
from .runner import Runner

try:
    from .views import HealthView, LiveView, ReadyView, urlpatterns
except ModuleNotFoundError as error:
    raise MissingExtra("memory.health", "api") from error

__all__ = [
    "DEGRADED",
    "FAILURES",
    "OK",
    "READINESS",
    "SERVICE",
    "UNAVAILABLE",
    "CacheCheck",
    "Check",
    "Component",
    "DatabaseCheck",
    "Finding",
    "HealthView",
    "LiveView",
    "MigrationsCheck",
    "ReadyView",
    "Report",
    "Runner",
    "UnhealthyError",
    "examine",
    "failure_class",
    "runner",
    "urlpatterns",
]

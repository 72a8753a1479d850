"""Is the service there? Checks of what it stands on, and the views that tell load balancers and people.

    checks -> runner -> report -> views

A check asks one question of one backend, the runner asks many side by side and shares what it finds, a report says what
the findings make of the whole, and a view holds the components that it reports on.
"""

from .checks import FAILURES, CacheCheck, Check, DatabaseCheck, Finding, MigrationsCheck, UnhealthyError, failure_class
from .report import DEGRADED, OK, READINESS, SERVICE, UNAVAILABLE, Component, Report, examine, runner
from .runner import Runner
from .views import HealthView, LiveView, ReadyView, urlpatterns

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

"""The filter of settings in error pages and mails."""

import re

from django.views.debug import SafeExceptionReporterFilter


class ReporterFilter(SafeExceptionReporterFilter):
    """Django's filter, extended to credentials and URLs that may contain a password."""

    hidden_settings = re.compile(f"{SafeExceptionReporterFilter.hidden_settings.pattern}|CRED|DSN", re.IGNORECASE)

"""What error pages and mails may show of the settings."""

import re

from django.views.debug import SafeExceptionReporterFilter


class ReporterFilter(SafeExceptionReporterFilter):
    """Django's filter, which also hides credentials and URLs that may hold a password."""

    hidden_settings = re.compile(f"{SafeExceptionReporterFilter.hidden_settings.pattern}|CRED|DSN", re.IGNORECASE)

"""The service's settings with django-unfold, for `test_unfold.py`.

Without the service's Content-Security-Policy: unfold's Alpine.js evaluates texts as scripts.
"""

from settings import *  # noqa: F403
from settings import INSTALLED_APPS as APPS
from settings import MIDDLEWARE as ALL

INSTALLED_APPS = ["unfold", *APPS]
MIDDLEWARE = [name for name in ALL if name != "orchestra.middleware.ContentSecurityPolicyMiddleware"]

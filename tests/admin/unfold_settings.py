"""The service's settings with django-unfold, for `test_unfold.py`."""

from settings import *  # noqa: F403
from settings import INSTALLED_APPS as OURS

INSTALLED_APPS = ["unfold", *OURS]

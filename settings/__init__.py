"""`DJANGO_SETTINGS_MODULE=settings`; `APP_ENV` picks the environment: development, test, staging or production."""

import sys
from importlib import import_module

from .environment import ConfigurationError, app_env

try:
    _chosen = import_module(f".{app_env()}", __name__)
except ConfigurationError as error:
    sys.exit(f"Configuration error: {error}")

globals().update({name: value for name, value in vars(_chosen).items() if name.isupper()})

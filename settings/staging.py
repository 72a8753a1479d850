"""Settings for staging: those of production with other variables."""

from .production import *  # noqa: F403

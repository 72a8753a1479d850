"""Staging is production with staging's variables: what is tried here is what runs there."""

from .production import *  # noqa: F403

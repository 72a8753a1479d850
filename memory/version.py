"""The version of `orchestra-memory`. This is the only place that sets it."""

__version__ = "0.2.0"

"""The error for a framework that is not installed."""

DISTRIBUTION = "orchestra-memory"


def missing(extra: str, error: ImportError) -> ImportError:
    """The error to raise from `error`: it names the extra to install."""
    message = f'This adapter needs {error.name or "its framework"}: pip install "{DISTRIBUTION}[{extra}]".'
    return ImportError(message, name=error.name)

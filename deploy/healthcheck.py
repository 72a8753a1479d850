"""The container's health check: exits with 0 if the service is ready for requests.

The request has a host name from `ALLOWED_HOSTS`, because Django rejects others.
"""

import http.client
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from settings.environment import port, words

SECONDS = 5


def served_host() -> str:
    """The first of `ALLOWED_HOSTS`, without a wildcard."""
    host = (words("ALLOWED_HOSTS") or ["localhost"])[0].lstrip(".")
    return "localhost" if host == "*" else host


def main() -> None:
    """Request `/api/health/ready`; exit with a message if it fails."""
    connection = http.client.HTTPConnection("127.0.0.1", port("PORT", 8000), timeout=SECONDS)
    try:
        connection.request("GET", "/api/health/ready", headers={"Host": served_host()})
        answer = connection.getresponse()
    except OSError as error:
        sys.exit(f"The service does not respond: {error}")
    if answer.status != http.HTTPStatus.OK:
        sys.exit(f"The service is not ready: {answer.status} {answer.read(1000).decode(errors='replace')}")


if __name__ == "__main__":
    main()

"""gunicorn -c deploy/gunicorn.conf.py orchestra.wsgi, from the project's folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from settings.environment import integer

bind = f"0.0.0.0:{integer('PORT', 8000, least=1)}"
workers = integer("WEB_CONCURRENCY", 2, least=1)  # processes
threads = integer("WEB_THREADS", 4, least=1)  # in each process
worker_class = "gthread"
timeout = 30  # seconds without a sign of life after which a worker is replaced
graceful_timeout = 20  # seconds that requests have to end when the service is stopped
keepalive = 5  # seconds
# Slow leaks in anybody's code end here; the jitter keeps workers from restarting together.
max_requests = 10_000
max_requests_jitter = 1_000
# Heartbeats of the workers; a container's disk may be slow.
MEMORY = Path("/dev/shm")  # noqa: S108  (gunicorn makes a file of its own there)
worker_tmp_dir = str(MEMORY) if MEMORY.is_dir() else None
accesslog = "-"
errorlog = "-"
# Nobody manages the workers from inside; no socket, then.
control_socket_disable = True

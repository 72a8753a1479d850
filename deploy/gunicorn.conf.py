"""gunicorn's configuration. Run in the project's folder: gunicorn -c deploy/gunicorn.conf.py orchestra.wsgi"""

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from deploy.allocator import return_freed_memory
from deploy.bodies import BodyWorker
from deploy.probes import ProbeWorker
from settings.environment import ConfigurationError, integer, port, refuse_implicit_development

MAX_WORKERS = 1_000

return_freed_memory()  # workers inherit it

try:
    refuse_implicit_development()
    bind = f"0.0.0.0:{port('PORT', 8000)}"
    workers = integer("WEB_CONCURRENCY", 2, least=1, most=MAX_WORKERS)  # processes
    threads = integer("WEB_THREADS", 4, least=1, most=MAX_WORKERS)  # in each process
except ConfigurationError as error:
    sys.exit(f"Configuration error: {error}")


class Worker(BodyWorker, ProbeWorker):
    """gthread, with threads of their own for the health endpoints."""


worker_class = Worker
timeout = 30  # seconds without a heartbeat after which a worker is replaced
graceful_timeout = 20  # seconds for requests to finish when the service stops
keepalive = 5  # seconds that an idle connection stays open
# Workers restart after this many requests, which limits memory leaks. The jitter avoids simultaneous restarts.
max_requests = 10_000
max_requests_jitter = 1_000
# Workers write heartbeats to a file; a container's disk may be slow.
MEMORY = Path("/dev/shm")  # noqa: S108  (gunicorn creates its own file there)
worker_tmp_dir = str(MEMORY) if MEMORY.is_dir() else None


preload_app = True  # workers share the memory of what this process loads, and start at once


def on_starting(server: object) -> None:
    """Load models before the port is opened and workers are forked, which then have no models of their own."""
    from orchestra.warm import warm_up  # needs Django's settings, which this process has loaded

    warm_up()
    gc.collect()
    gc.freeze()  # a worker's collections do not write to the shared pages


def post_worker_init(worker: object) -> None:
    """Let threads take turns more often than every 5 ms.

    A probe takes several turns, and each may wait for all threads that compute.
    """
    sys.setswitchinterval(0.0005)


accesslog = "-"
# Without the query string and the referrer, since search texts are parameters.
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(M)sms "%(a)s" %({x-request-id}o)s'
errorlog = "-"
# Workers are not managed from inside the container, so no socket is needed.
control_socket_disable = True
